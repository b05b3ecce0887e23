"""Topics of a run, read from beginning to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import TopicPartition

from crm_online.errors import BrokerUnavailable
from streams.consumer import Consumer
from streams.topics import SINGLE_PARTITION

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings

__all__ = ["Reader", "places"]

STALL_SECONDS: Final = 60.0


def places(settings: Settings, noun: str) -> list[TopicPartition]:
    """Return the partitions of a topic, given by its noun."""
    count = 1 if noun in SINGLE_PARTITION else settings.partitions
    return [TopicPartition(settings.topic(noun), partition) for partition in range(count)]


class Reader:
    """Reads one topic from its beginning, and on from there with each call.

    Parameters
    ----------
    settings
        Of the run.
    noun
        Of the topic.
    """

    def __init__(self, settings: Settings, noun: str) -> None:
        self._consumer: Any = Consumer(settings)
        self._places = places(settings, noun)

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._consumer.start()
        self._consumer.assign(self._places)
        await self._consumer.seek_to_beginning(*self._places)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def ends(self) -> dict[int, int]:
        """Return the present end of each partition."""
        found = await self._consumer.end_offsets(self._places)
        return {place.partition: end for place, end in found.items()}

    async def read(self) -> AsyncIterator[tuple[int, Sequence[Record]]]:
        """Read on to the present end: partitions, each with some records in log order."""
        left = await self._consumer.end_offsets(self._places)
        clock = asyncio.get_running_loop().time
        deadline = clock() + STALL_SECONDS
        while left:
            fetched = await self._consumer.getmany(timeout_ms=200)
            deadline = clock() + STALL_SECONDS if fetched else deadline
            if clock() > deadline:
                raise BrokerUnavailable(
                    f"{self._places[0].topic} was not read for {STALL_SECONDS:.0f} s: check the "
                    "brokers"
                )
            for place, records in fetched.items():
                yield place.partition, records
            for place in list(left):
                # Compaction and control records leave offsets without a record.
                if await self._consumer.position(place) >= left[place]:
                    del left[place]
