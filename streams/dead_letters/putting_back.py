"""Events put back onto the log, each with a record of it before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from crm_online.log import Message
from streams.dead_letters.letters import Letter
from streams.dead_letters.marks import PUT_BACK, Mark, Place
from streams.feeding import partition_of
from streams.producer import OutputProducer

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.dead_letters.mending import Mended
    from streams.dead_letters.reading import LetterReader

__all__ = ["PutBack", "putting_back"]


class PutBack:
    """Puts events back in three steps, each durable before the next.

    1. ``begun``: says on the dead letters where on the log the event will be;
    2. the event itself, under its customer's key;
    3. ``done``: from here on it is refused.

    Whoever finds the first without the third looks on the log for the second.

    Parameters
    ----------
    settings
        Of the whole program.
    reader
        Connected.
    producer
        Started.
    failures
        What the producer reports its failures to.
    """

    def __init__(
        self,
        settings: Settings,
        reader: LetterReader,
        producer: OutputProducer,
        failures: list[BaseException],
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._producer = producer
        self._failures = failures
        self._partitions = 0

    async def put_back(self, events: Sequence[Mended]) -> None:
        """Take all three steps with some events."""
        marks = await self.begin(events)
        await self.append(events)
        await self.finish([event.letter for event in events], marks)

    async def begin(self, events: Sequence[Mended]) -> list[Mark]:
        """Say where on the log events will be: the first step."""
        places = await self._reader.places("events")
        self._partitions = len(places)
        bounds = await self._reader.bounds(places)
        marks = []
        for event in events:
            partition = self._partition(event)
            marks.append(Mark("begun", event.letter.digest, partition, bounds[partition][1]))
        await self._record([event.letter for event in events], marks)
        return marks

    async def append(self, events: Sequence[Mended]) -> None:
        """Append the events: the second step."""
        sorted_: defaultdict[int, list[Message]] = defaultdict(list)
        for event in events:
            headers = [(PUT_BACK, str(event.letter.place).encode())]
            message = Message(event.customer.encode(), event.value, headers)
            sorted_[self._partition(event)].append(message)
        await self._deliver(self._settings.topic("events"), sorted_)

    async def finish(self, letters: Sequence[Letter], marks: Sequence[Mark]) -> None:
        """Say that the events are there: the third step."""
        done = [Mark("done", each.letter, each.partition, each.offset) for each in marks]
        await self._record(letters, done)

    async def landed(self, letters: Collection[Letter]) -> tuple[set[Place], set[Place]]:
        """Look on the log for events whose put-back was begun and not finished.

        Returns
        -------
        tuple of set of Place
            Those that are there; those of which nobody can tell, since that part of the log is
            gone.
        """
        begun = [(mark, letter.place) for letter in letters for mark in letter.begun]
        if not begun:
            return set(), set()
        bounds = await self._reader.bounds(await self._reader.places("events"))
        gone, starts = set(), dict[int, int]()
        wanted: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
        for mark, place in begun:
            low, end = bounds.get(mark.partition, (0, -1))
            if low <= mark.offset <= end:
                wanted[mark.partition, str(place).encode()].append(mark.offset)
                starts[mark.partition] = min(mark.offset, starts.get(mark.partition, mark.offset))
            else:
                gone.add(place)
        named = {str(place).encode(): place for _, place in begun}
        found = set()
        async for partition, record in self._reader.events(starts):
            name = dict(record.headers).get(PUT_BACK, b"")
            if any(record.offset >= first for first in wanted.get((partition, name), ())):
                found.add(named[name])
        return found, gone - found

    def _partition(self, event: Mended) -> int:
        return partition_of(event.customer.encode(), self._partitions)

    async def _record(self, letters: Sequence[Letter], marks: Sequence[Mark]) -> None:
        sorted_: defaultdict[int, list[Message]] = defaultdict(list)
        for letter, mark in zip(letters, marks, strict=True):
            sorted_[letter.partition].append(mark.message(letter.place))
        await self._deliver(self._settings.topic("dead-letters"), sorted_)

    async def _deliver(self, topic: str, messages: dict[int, list[Message]]) -> None:
        try:
            for partition, waiting in messages.items():
                await self._producer.deliver(topic, partition, waiting)
        except KafkaError as error:
            raise (self._failures[0] if self._failures else error) from error


@asynccontextmanager
async def putting_back(settings: Settings, reader: LetterReader) -> AsyncIterator[PutBack]:
    """Connect a producer for putting events back.

    Parameters
    ----------
    settings
        Of the whole program.
    reader
        Connected.
    """
    failures: list[BaseException] = []
    producer = OutputProducer(settings, failures.append)
    await producer.start()
    try:
        yield PutBack(settings, reader, producer, failures)
    finally:
        await producer.stop()
