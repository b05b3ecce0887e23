"""What `crm-online items list` and `show` print."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table
from rich.text import Text

from streams.exits import EXIT_FAILED, counted, say
from streams.items.topic import read_items
from streams.screen import screen

if TYPE_CHECKING:
    from crm_online.catalogue import CatalogueItem
    from crm_online.settings import Settings

__all__ = ["list_items", "show_item"]


def list_items(
    settings: Settings, *, unavailable: bool = False, limit: int = 20, json: bool = False
) -> int:
    """Print items, the last changed first; returns 0.

    Parameters
    ----------
    settings
        Of the whole program.
    unavailable
        Only those that are not available.
    limit
        At most so many.
    json
        Print JSON in place of a table.
    """
    found = asyncio.run(read_items(settings))
    wanted = [i for i in reversed(found.values()) if not (unavailable and i.available)]
    shown = list(islice(wanted, limit))
    gone = sum(not item.available for item in found.values())
    if json:
        about = {"total": len(found), "unavailable": gone, "items": list(map(_plain, shown))}
        sys.stdout.write(json_module.dumps(about, indent=2) + "\n")
        return 0
    if shown:
        table = Table("item", "name", "category", "price", "available", box=None, pad_edge=False)
        for item in shown:
            table.add_row(*map(Text, _cells(item)))
        screen().print(table)
    say(f"{counted(len(found), 'item')}, {gone:,} not available; {len(shown):,} shown")
    return 0


def show_item(settings: Settings, item_id: str, *, json: bool = False) -> int:
    """Print one item; returns 1 where the catalogue does not hold it.

    Parameters
    ----------
    settings
        Of the whole program.
    item_id
        Which one.
    json
        Print JSON in place of lines.
    """
    item = asyncio.run(read_items(settings)).get(item_id)
    if item is None:
        say(f"the catalogue holds no item {item_id!r}")
        return EXIT_FAILED
    if json:
        sys.stdout.write(json_module.dumps(_plain(item), indent=2) + "\n")
        return 0
    for name, cell in zip(
        ("item", "name", "category", "price", "available"), _cells(item), strict=True
    ):
        screen().print(Text(f"{name:<10} {cell}"))
    return 0


def _plain(item: CatalogueItem) -> object:
    return msgspec.to_builtins(item)


def _cells(item: CatalogueItem) -> tuple[str, ...]:
    price = "" if item.price is None else f"{item.price:g} {item.currency}".strip()
    return item.item_id, item.name, item.category, price, "yes" if item.available else "no"
