"""Figures as tables for people, and as one JSON object for programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from rich.table import Table

from streams.screen import screen

__all__ = ["print_json", "print_models", "print_table"]

_DECIMALS: Final = {"mae": 1, "seconds": 1, "sum_ratio": 2, "lift_10": 2, "megabytes": 1}


def print_json(report: Mapping[str, Any]) -> None:
    """Write one object on one line of standard output."""
    sys.stdout.write(orjson.dumps(report).decode() + "\n")


def print_models(report: Mapping[str, Any], heads: Mapping[str, str]) -> None:
    """Print the figures of the scorer and of all baselines, a model per row.

    Parameters
    ----------
    report
        With `scorer` and `baselines`.
    heads
        Names of figures to what stands above their column.
    """
    models = {"crm-online": report["scorer"], **report["baselines"]}
    rows = [
        [name.replace("_", " "), *(shown(figures[key], _DECIMALS.get(key, 4)) for key in heads)]
        for name, figures in models.items()
    ]
    print_table(["", *heads.values()], rows)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column to the left, the others to the right."""
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    screen().print(table)


def shown(figure: float | None, decimals: int) -> str:
    """Round a figure for people; a dash where there is none.

    Examples
    --------
    >>> shown(0.73691, 4), shown(None, 4)
    ('0.7369', '–')
    """
    return "–" if figure is None else f"{figure:,.{decimals}f}"
