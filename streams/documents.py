"""Writes the OpenAPI and the AsyncAPI document, which are made from the code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from streams.asyncapi import asyncapi_document
from streams.configuration import only
from streams.web.application import openapi_document

__all__ = ["documents", "main", "write_documents"]


def documents() -> dict[str, dict[str, Any]]:
    """Make both documents, by file name."""
    return {"openapi.json": openapi_document(), "asyncapi.json": asyncapi_document(only())}


def write_documents(folder: Path) -> list[Path]:
    """Write them.

    Parameters
    ----------
    folder
        Which is there.

    Returns
    -------
    list of Path
        What was written.
    """
    written = []
    for name, document in documents().items():
        path = folder / name
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


def main() -> None:
    """Write them into the folder named on the command line, else ``docs``."""
    write_documents(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))


if __name__ == "__main__":
    main()
