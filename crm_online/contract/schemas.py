"""JSON Schemas of everything that is published, one file each."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from crm_online.actions.rules import RuleSet
from crm_online.contract.events import SEGMENT_EVENT
from crm_online.contract.items import CatalogueItem
from crm_online.contract.records import RECORDS, DeadLetterHeaders

__all__ = ["main", "schemas", "write_schemas"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Make every schema: a record's under its ``ce_type``.

    Returns
    -------
    dict
        File name to schema.
    """
    made = {
        "event.json": SEGMENT_EVENT.json_schema(),
        "rules.json": RuleSet.model_json_schema(),
        "item.json": CatalogueItem.model_json_schema(),
        "dead-letter.headers.json": DeadLetterHeaders.model_json_schema(),
    }
    # What is always written is always there, also where a reader may do without it.
    made |= {f"{n}.json": r.model_json_schema(mode="serialization") for n, r in RECORDS.items()}
    return {name: {"$schema": _DIALECT} | schema for name, schema in made.items()}


def write_schemas(folder: Path) -> list[Path]:
    """Write one file for each schema.

    Parameters
    ----------
    folder
        Made where it is missing.

    Returns
    -------
    list of Path
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in sorted(schemas().items()):
        path = folder / name
        path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


def main() -> None:
    """Write the schemas into the folder named on the command line, else ``schemas``."""
    write_schemas(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas"))


if __name__ == "__main__":
    main()
