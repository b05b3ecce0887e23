"""The readable and the JSON output of `crm-online config`."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.screen import screen

if TYPE_CHECKING:
    from streams.configuration import InForce

__all__ = ["show_settings"]


def show_settings(rows: Sequence[InForce], *, json: bool, console: Console | None = None) -> None:
    """Print every setting with its value and origin.

    Parameters
    ----------
    rows
        From `in_force`.
    json
        One object by name in place of the table.
    console
        Where to; standard output by default.
    """
    console = console or screen()
    if json:
        found = {row.name: {"value": row.value, "origin": row.origin} for row in rows}
        console.out(json_module.dumps(found, indent=2), highlight=False)
        return
    table = Table("setting", "from", "value", box=None, pad_edge=False)
    for row in rows:
        style = "" if row.origin == "default" else "bold"
        # As text: an address in brackets is no markup.
        table.add_row(*(Text(text) for text in _cells(row)), style=style)
    with console.capture() as capture:
        console.print(table)
    # A table fills its lines with blanks up to the widest value.
    console.out("\n".join(line.rstrip() for line in capture.get().splitlines()), highlight=False)


def _cells(row: InForce) -> tuple[str, str, str]:
    if row.value is None:
        return row.name, row.origin, "not set"
    text = row.value if isinstance(row.value, str) else json_module.dumps(row.value)
    return row.name, row.origin, text
