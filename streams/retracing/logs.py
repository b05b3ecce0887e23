"""The log that is read anew: a file as one partition, or the events topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

from crm_online.errors import ConfigurationError
from crm_online.log import LogRecord
from streams.topics import partition_count

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings
    from streams.steps import History
    from streams.upkeep.scanning import Scan

__all__ = ["log_of_file", "log_of_topic"]


def log_of_file(settings: Settings, history: History) -> Iterator[Sequence[Record]]:
    """Read the events of a file as if they stood on a partition of their own."""
    offsets, waiting = count(), list[LogRecord]()
    for event in history.events():
        history.passed += 1
        key = event.customer.encode()
        waiting.append(LogRecord(next(offsets), int(event.at * 1000), key, event.value))
        if len(waiting) >= settings.max_batch:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


async def log_of_topic(
    settings: Settings, scan: Scan
) -> AsyncIterator[tuple[int, Sequence[Record]]]:
    """Read the events topic from its beginning to its present end, a partition at a time.

    Raises
    ------
    ConfigurationError
        Where the topic is not there, or retention has removed its beginning.
    """
    spans = await scan.bounds("events", partition_count(settings, "events"))
    for partition, (first, _) in spans.items():
        if first:
            raise ConfigurationError(
                f"{settings.topic('events')}[{partition}] begins at offset {first}: what its "
                "customers were before cannot be read any more; raise retention.ms of the topic"
            )
    for partition, span in spans.items():
        async for _, records in scan.read("events", {partition: span}, "reading the log"):
            yield partition, records
