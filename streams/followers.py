"""Follows a topic in full, without a consumer group, for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from crm_online.errors import SnapshotError
from crm_online.log import Record
from crm_online.settings import Settings
from streams.consumer import Consumer

__all__ = ["Follower", "read_whole"]

FIRST_BACKOFF_SECONDS: Final = 0.5
LAST_BACKOFF_SECONDS: Final = 30.0
ABSENT_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


class Follower:
    """Hands every record of one partition to a callback, in order and once.

    Parameters
    ----------
    settings
        Where Kafka is.
    topic
        Name of the topic.
    apply
        Called with records in log order. An exception from it is a bug and ends the process.
    stop
        Called with that exception, or where the log does not hold the position.
    start
        Offset to begin at; ``None`` is the beginning.
    partition
        Single-partition topics have all their records in partition 0.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        apply: Callable[[Sequence[Record]], None],
        stop: Callable[[BaseException], None],
        *,
        start: int | None = None,
        partition: int = 0,
    ) -> None:
        self._settings = settings
        self._tp = TopicPartition(topic, partition)
        self._apply = apply
        self._stop = stop
        self._position = start
        self._caught_up = asyncio.Event()

    @property
    def position(self) -> int:
        """Offset behind the last record applied; 0 before the first contact."""
        return self._position or 0

    async def caught_up(self) -> None:
        """Return when all that stood in the topic at first contact has been applied."""
        await self._caught_up.wait()

    async def run(self) -> None:
        """Follow; returns only after `stop` was called. Broker errors are retried with backoff."""
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            before = self._position
            try:
                await self._follow()
            except KafkaError as error:
                backoff = FIRST_BACKOFF_SECONDS if self._position != before else backoff
                _log.warning("following %s again in %.1f s: %r", self._tp.topic, backoff, error)
            except Exception as error:  # noqa: BLE001 - never end silently
                self._stop(error)
                return
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_SECONDS)

    async def _follow(self) -> None:
        consumer = Consumer(self._settings, auto_offset_reset="none")
        try:
            await consumer.start()
            await self._read(consumer)
        finally:
            await consumer.stop()

    async def _read(self, consumer: Any) -> None:
        tp = self._tp
        await self._wait_for_topic(consumer)
        consumer.assign([tp])
        low = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        self._position = self._begin(low, end)
        consumer.seek(tp, self._position)
        if self._position >= end:  # a fetch that finds nothing would wait
            self._caught_up.set()
        while True:
            try:
                fetched = await consumer.getmany(tp, timeout_ms=500)
            except OffsetOutOfRangeError:
                return  # retention overtook us: `_begin` says so and goes on from what is left
            for records in fetched.values():
                self._apply(records)
                self._position = records[-1].offset + 1
            # Compaction and control records leave offsets without a record.
            self._position = await consumer.position(tp)
            if self._position >= end:
                self._caught_up.set()

    async def _wait_for_topic(self, consumer: Any) -> None:
        while self._tp.topic not in await consumer.topics():
            if not self._caught_up.is_set():
                _log.info("%s does not exist yet: waiting for it", self._tp.topic)
                self._caught_up.set()
            await asyncio.sleep(ABSENT_SECONDS)

    def _begin(self, low: int, end: int) -> int:
        at = low if self._position is None else self._position
        where = f"{self._tp.topic}[{self._tp.partition}]@{at}"
        if at > end:
            raise SnapshotError(
                f"{where} lies beyond the end of the topic ({end}): it was made anew; start the "
                "worker again, and where it says so again, stop all workers and run `crm-online "
                "adopt`"
            )
        if at < low:
            _log.warning("%s is gone by retention: going on at %d", where, low)
        return max(at, low)


@asynccontextmanager
async def read_whole(
    settings: Settings,
    noun: str,
    apply: Callable[[Sequence[Record]], None],
    stop: Callable[[BaseException], None],
) -> AsyncIterator[None]:
    """Read a single-partition topic to its present end, and follow it until the block ends.

    Parameters
    ----------
    settings
        Where Kafka is.
    noun
        Of the topic.
    apply, stop
        As of `Follower`.
    """
    follower = Follower(settings, settings.topic(noun), apply, stop)
    reading = asyncio.ensure_future(follower.run())
    try:
        await follower.caught_up()
        yield
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
