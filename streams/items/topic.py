"""The items topic as it stands: read in full, and written to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from crm_online.catalogue.records import CatalogueItem, item_message, read_item
from streams.topics import partition_count
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work
from streams.upkeep.writing import writing

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["read_items", "write_items"]


async def read_items(settings: Settings, work: Work | None = None) -> dict[str, CatalogueItem]:
    """Return the items that stand on the topic, by id, in the order of their last change.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers.
    ConfigurationError
        Where there is no such topic.
    SnapshotError
        Where a newer version of the program wrote a record.
    """
    await asyncio.to_thread(partition_count, settings, "items")
    found: dict[str, CatalogueItem] = {}
    async with Scan(settings, work or Work()) as scan:
        bounds = await scan.bounds("items", 1)
        async for _, records in scan.read("items", bounds, "reading the catalogue"):
            for record in records:
                item = None if record.value is None else read_item(record.key, record.value)
                if item is not None:
                    found.pop(item.item_id, None)
                    found[item.item_id] = item
                elif record.value is None:
                    found.pop((record.key or b"").decode(errors="replace"), None)
    return found


async def write_items(settings: Settings, items: Iterable[CatalogueItem]) -> None:
    """Write items, and return when all of them are durable.

    Raises
    ------
    BrokerUnavailable
        Where the broker did not take them all; to write them again does no harm.
    """
    messages = [item_message(item) for item in items]
    if messages:
        async with writing(settings) as writer:
            await writer.write("items", 0, messages)
