"""Stale writes: what a worker that was paused may still put behind its successor's records."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from crm_online.errors import BrokerUnavailable
from crm_online.internal import PROGRESS_KEY
from crm_online.log import Header, Message, Record
from crm_online.settings import Settings
from streams.consumer import Consumer
from streams.deliveries import Deliveries, Place
from streams.lease import LeaseLost

__all__ = ["Guard", "followed"]

POLL_SECONDS: Final = 0.5
BACKOFF_SECONDS: Final = 2.0

# The header of a partition's own record that says up to where its owner has seen to the outputs.
FOLLOWED: Final = "followed"

Correct = Callable[[str, int, Sequence[Record]], Awaitable[bool]]

_log = logging.getLogger(__name__)


class Guard:
    """Has what others write behind our records of partitions just gained put right.

    A worker that was stopped for longer than its session timeout and goes on sends what it had
    in hand, behind its successor's newer records. Compaction would then keep the stale ones.
    So, for as long as such a pause may last, the owner reads what others write to its compacted
    topics. Own records are not read back: every delivery says which offsets it took.

    Parameters
    ----------
    settings
        Where Kafka is; ``max_pause_seconds``.
    nouns
        Of the compacted topics that are written to.
    deliveries
        Of the producer that writes to them.
    correct
        Awaited with a noun, a partition and the last record of each key among those that others
        wrote there; tells whether it could see to them now.
    """

    def __init__(
        self,
        settings: Settings,
        nouns: Sequence[str],
        deliveries: Deliveries,
        correct: Correct,
    ) -> None:
        self._settings = settings
        self._nouns = {settings.topic(noun): noun for noun in nouns}
        self._deliveries = deliveries
        self._correct = correct
        self._until: dict[int, float] = {}
        self._read: dict[TopicPartition, int] = {}
        self._right: dict[TopicPartition, int] = {}
        self._left: dict[TopicPartition, dict[Any, Record]] = {}
        self._watches = 0
        self._gained = asyncio.Event()

    async def watch(
        self, partitions: Collection[int], read: Mapping[Place, int], correct: Correct
    ) -> None:
        """Follow partitions just gained for ``max_pause_seconds``.

        What came since the owner before us looked is seen to at once, while nothing of ours stands
        behind it.

        Parameters
        ----------
        partitions
            Those gained.
        read
            Topic and partition to the offset up to which all is as it should be; others are
            followed from where they end now.
        correct
            As the parameter of the same name of this class, for these first records.

        Raises
        ------
        BrokerUnavailable
            Where Kafka does not answer.
        LeaseLost
            Where what is to be written over may not be written any more.
        """
        places = [TopicPartition(topic, p) for topic in self._nouns for p in partitions]
        if not places:
            return
        consumer = Consumer(self._settings)
        try:
            await consumer.start()
            ends = await consumer.end_offsets(places)
            for place, end in ends.items():
                records = await self._fetch(consumer, place, read.get(place, end), end)
                if records:
                    await correct(self._nouns[place.topic], place.partition, [*records.values()])
        except LeaseLost:
            raise
        except KafkaError as error:
            raise BrokerUnavailable(
                f"Kafka at {self._settings.kafka} does not say what others wrote ({error!r}): "
                "check CRM_KAFKA"
            ) from error
        finally:
            await consumer.stop()
        self._until |= dict.fromkeys(
            partitions, time.monotonic() + self._settings.max_pause_seconds
        )
        self._read |= ends
        self._right |= ends
        self._list()
        self._gained.set()

    def sign(self, partition: int, messages: Sequence[Message]) -> Sequence[Message]:
        """Say in the partition's own record up to where all is right, for who comes after us.

        What was read and is not yet written over must be found again, should we end before it is.
        """
        if partition not in self._until:
            return messages
        right = {tp.topic: at for tp, at in self._right.items() if tp.partition == partition}
        header: Header = FOLLOWED, json.dumps(right).encode()
        return [
            message._replace(headers=[*message.headers, header])
            if message.key == PROGRESS_KEY
            else message
            for message in messages
        ]

    def leave(self, partitions: Collection[int]) -> None:
        """Stop following partitions that are no longer ours."""
        for partition in partitions:
            self._until.pop(partition, None)
        self._list()

    async def run(self) -> None:
        """Follow for as long as the process lives; broker errors are retried."""
        while True:
            consumer = Consumer(self._settings)
            try:
                await consumer.start()
                while True:
                    await self._wait()
                    await self._look(consumer)
            except KafkaError as error:
                _log.warning("watching for stale writes again soon: %r", error)
                await asyncio.sleep(BACKOFF_SECONDS)
            finally:
                await consumer.stop()

    def _list(self) -> None:
        self._watches += 1
        self._read = {tp: at for tp, at in self._read.items() if tp.partition in self._until}
        self._right = {tp: at for tp, at in self._right.items() if tp in self._read}
        self._left = {tp: left for tp, left in self._left.items() if tp in self._read}
        self._deliveries.watch(self._places())

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(topic, p) for topic in self._nouns for p in self._until]

    async def _wait(self) -> None:
        """Sleep until it is time for another look: at once where partitions were gained."""
        try:
            async with asyncio.timeout(POLL_SECONDS if self._until else None):
                await self._gained.wait()
        except TimeoutError:
            pass
        self._gained.clear()

    async def _look(self, consumer: Any) -> None:
        now = time.monotonic()
        over = [p for p, until in self._until.items() if until <= now]
        if over:
            self.leave(over)
        if not self._until:
            return
        watches = self._watches
        ends = await consumer.end_offsets(self._places())
        await self._deliveries.settle()
        for place, end in ends.items():
            start = self._read.setdefault(place, end)
            for ranged in self._deliveries.foreign(place, start, end):
                found = await self._fetch(consumer, place, *ranged)
                self._left.setdefault(place, {}).update(found)
            if watches != self._watches:
                return  # what was ours is another's, or the other way round
            self._read[place] = end
            self._deliveries.pass_over(place, end)
            if await self._see_to(place) and place in self._read:
                self._right[place] = end

    async def _see_to(self, place: TopicPartition) -> bool:
        """Have what is left put right; returns whether nothing is left."""
        left = self._left.pop(place, None)
        if not left:
            return True
        done = await self._correct(self._nouns[place.topic], place.partition, [*left.values()])
        if not done:
            self._left.setdefault(place, left)
        return done

    async def _fetch(
        self, consumer: Any, place: TopicPartition, start: int, end: int
    ) -> dict[Any, Record]:
        """Read a range; returns the last record of each key."""
        found: dict[Any, Record] = {}
        if start >= end:
            return found
        consumer.assign([place])
        consumer.seek(place, start)
        try:
            while await consumer.position(place) < end:
                fetched = await consumer.getmany(place, timeout_ms=int(POLL_SECONDS * 1000))
                for records in fetched.values():
                    found |= {r.key: r for r in records if r.offset < end}
        finally:
            consumer.unsubscribe()
        return found


def followed(remarks: Sequence[Header], partition: int) -> dict[Place, int]:
    """Return up to where the owner that wrote a partition's own record had followed."""
    said = json.loads(dict(remarks).get(FOLLOWED, b"{}"))
    return {(topic, partition): offset for topic, offset in said.items()}
