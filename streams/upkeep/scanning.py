"""Topics read from somewhere to their present end, without a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from crm_online.customers.partition import Partition, PartitionRestore
from crm_online.errors import BrokerUnavailable
from streams.consumer import Consumer

if TYPE_CHECKING:
    from crm_online.log import Message, Record
    from crm_online.settings import Settings
    from streams.upkeep.work import Work

__all__ = ["Scan"]

STALL_SECONDS: Final = 60.0
FETCH_BYTES: Final = 4 * 1024 * 1024


class Scan:
    """Reads topics to their present ends.

    Parameters
    ----------
    settings
        Of the whole program.
    work
        Told of every record.
    """

    def __init__(self, settings: Settings, work: Work) -> None:
        self._settings = settings
        self._work = work
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        BrokerUnavailable
            Where no broker answers, or it refuses us.
        """
        self._consumer = Consumer(
            self._settings,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        try:
            await self._consumer.start()
        except KafkaError as error:
            await self._consumer.stop()
            raise self._away(error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def bounds(self, noun: str, partitions: int) -> dict[int, tuple[int, int]]:
        """Partition to its first offset and its present end."""
        places = [TopicPartition(self._settings.topic(noun), p) for p in range(partitions)]
        if not places:
            return {}
        lows = await self._consumer.beginning_offsets(places)
        ends = await self._consumer.end_offsets(places)
        return {place.partition: (lows[place], ends[place]) for place in places}

    async def read(
        self, noun: str, spans: Mapping[int, tuple[int, int]], word: str
    ) -> AsyncIterator[tuple[int, Sequence[Record]]]:
        """Read spans of offsets of a topic: partitions, each with some records in log order.

        Parameters
        ----------
        noun
            Of the topic.
        spans
            Partition to the first offset, and the one behind the last.
        word
            What is being done, for the progress bar.

        Raises
        ------
        BrokerUnavailable
            Where the broker sends nothing for a minute.
        """
        topic = self._settings.topic(noun)
        left = {TopicPartition(topic, p): end for p, (at, end) in spans.items() if end > at}
        self._work.begin(word, sum(end - spans[tp.partition][0] for tp, end in left.items()))
        self._consumer.assign(list(left))
        for tp in left:
            self._consumer.seek(tp, spans[tp.partition][0])
        clock = asyncio.get_running_loop().time
        deadline = clock() + STALL_SECONDS
        while left:
            fetched = await self._fetch()
            for tp, records in fetched.items():
                end = left.get(tp, 0)
                wanted = records if records[-1].offset < end else _before(records, end)
                if wanted:
                    yield tp.partition, wanted
            deadline = clock() + STALL_SECONDS if fetched else deadline
            for tp in list(left):
                # Compaction and control records leave offsets without a record.
                if await self._consumer.position(tp) >= left[tp]:
                    del left[tp]
                    self._consumer.pause(tp)
            if clock() > deadline:
                raise self._away(f"it sent nothing for {STALL_SECONDS:.0f} s")

    async def partition(
        self, number: int, bounds: tuple[int, int], word: str, noun: str = "state"
    ) -> tuple[Partition, list[Message]]:
        """Read a partition of a state topic as its next owner would.

        Returns
        -------
        tuple of Partition and list of Message
            The partition, and what its owner would write again over older records.
        """
        held = Partition(number)
        restore = PartitionRestore(held)
        async for _, records in self.read(noun, {number: bounds}, word):
            restore.apply(records)
        restore.finish()
        return held, restore.overtaken()

    async def _fetch(self) -> dict[TopicPartition, list[Any]]:
        try:
            found: dict[TopicPartition, list[Any]] = await self._consumer.getmany(timeout_ms=200)
        except KafkaError as error:
            raise self._away(error) from error
        self._work.advance(sum(map(len, found.values())))
        return found

    def _away(self, why: object) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"Kafka at {self._settings.kafka} cannot be read ({why}): check CRM_KAFKA, "
            "CRM_KAFKA_SECURITY_PROTOCOL and the credentials"
        )


def _before(records: Sequence[Record], end: int) -> list[Record]:
    return [record for record in records if record.offset < end]
