"""Stale writes: what a worker that was paused may still put behind its successor's records."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from crm_online.log import Message, Record
from crm_online.settings import Settings
from streams.connection import consumer_options

__all__ = ["WRITER", "Guard", "written_by"]

WRITER: Final = "writer"
POLL_SECONDS: Final = 0.5
BACKOFF_SECONDS: Final = 2.0

Correct = Callable[[int, Sequence[Record]], Awaitable[None]]

_log = logging.getLogger(__name__)


def written_by(messages: Sequence[Message], writer: bytes) -> list[Message]:
    """Say in each message who wrote it, so that its partition's owner can tell strangers' ones."""
    mark = (WRITER, writer)
    return [Message(key, value, [*headers, mark]) for key, value, headers in messages]


class Guard:
    """Follows the compacted topic of partitions just gained, and has older writes corrected.

    A worker that was stopped for longer than its session timeout and goes on sends what it had
    in hand, behind its successor's newer snapshots. Compaction would then keep the stale one.
    So, for as long as such a pause may last, the owner reads what others write and puts the
    right record behind it.

    Parameters
    ----------
    settings
        Where Kafka is; ``max_pause_seconds``.
    topic
        Name of the compacted topic.
    writer
        Our own mark.
    correct
        Awaited with a partition and the records in it that others wrote.
    """

    def __init__(self, settings: Settings, topic: str, writer: bytes, correct: Correct) -> None:
        self._settings = settings
        self._topic = topic
        self._mark = (WRITER, writer)
        self._correct = correct
        self._watched: dict[int, tuple[int, float]] = {}

    def watch(self, positions: Mapping[int, int]) -> None:
        """Follow partitions from these offsets on, for ``max_pause_seconds``."""
        until = time.monotonic() + self._settings.max_pause_seconds
        self._watched |= {partition: (start, until) for partition, start in positions.items()}

    def leave(self, partitions: Collection[int]) -> None:
        """Stop following partitions that are no longer ours."""
        for partition in partitions:
            self._watched.pop(partition, None)

    async def run(self) -> None:
        """Follow for as long as the process lives; broker errors are retried."""
        while True:
            consumer = AIOKafkaConsumer(**consumer_options(self._settings))
            try:
                await consumer.start()
                while True:
                    await self._look(consumer)
            except KafkaError as error:
                _log.warning("watching %s again soon: %r", self._topic, error)
                await asyncio.sleep(BACKOFF_SECONDS)
            finally:
                await consumer.stop()

    async def _look(self, consumer: Any) -> None:
        now = time.monotonic()
        self._watched = {p: at for p, at in self._watched.items() if at[1] > now}
        if not self._watched:
            await asyncio.sleep(POLL_SECONDS)
            return
        places = {TopicPartition(self._topic, p): at[0] for p, at in self._watched.items()}
        if consumer.assignment() != set(places):
            consumer.assign(list(places))
            for place, position in places.items():
                consumer.seek(place, position)
        fetched = await consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000))
        for place, records in fetched.items():
            if place.partition in self._watched:
                await self._take(place.partition, records)

    async def _take(self, partition: int, records: Sequence[Record]) -> None:
        foreign = [record for record in records if self._mark not in record.headers]
        if foreign:
            await self._correct(partition, foreign)
        watched = self._watched.get(partition)
        if watched is not None:
            self._watched[partition] = (records[-1].offset + 1, watched[1])
