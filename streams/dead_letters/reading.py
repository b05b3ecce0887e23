"""Parts of topics, read up to their present ends, without a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from crm_online.errors import BrokerUnavailable
from streams.consumer import Consumer
from streams.dead_letters.letters import Letter, Letters
from streams.topics import partition_count

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings

__all__ = ["LetterReader", "broker_errors"]

STALL_SECONDS: Final = 30.0


@contextmanager
def broker_errors(settings: Settings) -> Iterator[None]:
    """Say of a broker's error where it was and what to check."""
    try:
        yield
    except KafkaError as error:
        raise BrokerUnavailable(
            f"Kafka at {settings.kafka} does not answer ({error}): check CRM_KAFKA, "
            "CRM_KAFKA_SECURITY_PROTOCOL and the credentials"
        ) from error


class LetterReader:
    """Reads the dead letters, and the events that were put back.

    Parameters
    ----------
    settings
        Of the whole program.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        BrokerUnavailable
            Where no broker answers, or it refuses us.
        """
        self._consumer = Consumer(self._settings)
        try:
            with broker_errors(self._settings):
                await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def places(self, noun: str) -> list[TopicPartition]:
        """Return the partitions of a topic.

        Raises
        ------
        ConfigurationError
            Where there is no such topic.
        """
        topic = self._settings.topic(noun)
        count = await asyncio.to_thread(partition_count, self._settings, noun)
        return [TopicPartition(topic, partition) for partition in range(count)]

    async def letters(self) -> Letters:
        """Read all dead letters, and which were put back; their bytes are not kept."""
        letters = Letters()
        async for place, records in self._scan(dict.fromkeys(await self.places("dead-letters"), 0)):
            letters.apply(place.partition, records)
        return letters

    async def records(self, letters: Collection[Letter]) -> AsyncIterator[tuple[Letter, Record]]:
        """Read the records of letters again, partition by partition in log order.

        Those that retention has taken meanwhile are left out.
        """
        topic = self._settings.topic("dead-letters")
        wanted = {(each.partition, each.offset): each for each in letters}
        starts: dict[TopicPartition, int] = {}
        for partition, offset in sorted(wanted, reverse=True):
            starts[TopicPartition(topic, partition)] = offset
        async with aclosing(self._scan(starts)) as scan:
            async for place, records in scan:
                for record in records:
                    letter = wanted.pop((place.partition, record.offset), None)
                    if letter is not None:
                        yield letter, record
                if not wanted:
                    return

    async def bounds(self, places: Sequence[TopicPartition]) -> dict[int, tuple[int, int]]:
        """Return the first offset and the present end of partitions of one topic."""
        with broker_errors(self._settings):
            lows = await self._consumer.beginning_offsets(places)
            ends = await self._consumer.end_offsets(places)
        return {place.partition: (lows[place], ends[place]) for place in places}

    async def events(self, starts: Mapping[int, int]) -> AsyncIterator[tuple[int, Record]]:
        """Read partitions of the events topic from offsets on."""
        topic = self._settings.topic("events")
        places = {TopicPartition(topic, p): offset for p, offset in starts.items()}
        async for place, records in self._scan(places):
            for record in records:
                yield place.partition, record

    async def _scan(
        self, starts: Mapping[TopicPartition, int]
    ) -> AsyncGenerator[tuple[TopicPartition, Sequence[Record]], None]:
        """Read to the present end: partitions, each with some records in log order."""
        if not starts:
            return
        with broker_errors(self._settings):
            left = await self._seek(starts)
            clock = asyncio.get_running_loop().time
            deadline = clock() + STALL_SECONDS
            while left:
                fetched = await self._consumer.getmany(timeout_ms=200)
                for place, records in fetched.items():
                    yield place, records
                deadline = clock() + STALL_SECONDS if fetched else deadline
                for place in list(left):
                    # Control records leave offsets without a record.
                    if await self._consumer.position(place) >= left[place]:
                        del left[place]
                if left and clock() > deadline:
                    raise BrokerUnavailable(
                        f"Kafka at {self._settings.kafka} sent nothing for {STALL_SECONDS:.0f} s: "
                        "check the brokers"
                    )

    async def _seek(self, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Go to the offsets, or to what retention has left; returns the ends to be reached."""
        lows = await self._consumer.beginning_offsets(list(starts))
        ends = await self._consumer.end_offsets(list(starts))
        begin = {place: max(offset, lows[place]) for place, offset in starts.items()}
        left = {place: end for place, end in ends.items() if end > begin[place]}
        self._consumer.assign(list(left))
        for place in left:
            self._consumer.seek(place, begin[place])
        return left
