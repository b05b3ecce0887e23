"""Events onto the log: batched by partition, paced, and held back at barriers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.partitioner import murmur2

from crm_online.internal import tick
from crm_online.log import Message
from crm_online.simulation.replay import Barrier, Pace, RateLimit, Send, Step, Tick
from streams.producer import OutputProducer
from streams.topics import partition_count
from streams.watcher import Watcher

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Fed", "Feeder", "feed", "partition_of"]

FLUSH_EVENTS = 500
IN_FLIGHT = 64


def partition_of(key: bytes, partitions: int) -> int:
    """Return where Java's and aiokafka's default partitioner put a key.

    Examples
    --------
    >>> partition_of(b"c-1", 8)
    7
    """
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class Fed(NamedTuple):
    """What came of a feed.

    Parameters
    ----------
    sent
        How many events were put on the topic.
    too_late
        How many of them the scorers only counted; 0 where nobody waited for them.
    """

    sent: int
    too_late: int = 0


class Feeder:
    """Appends events to the partitions of the events topic, in order.

    Parameters
    ----------
    producer
        Started; its failures end the feed.
    settings
        Of the whole program.
    partitions
        How many the events topic has.
    """

    def __init__(self, producer: OutputProducer, settings: Settings, partitions: int) -> None:
        self._producer = producer
        self._topic = settings.topic("events")
        self._key = settings.signing_key.get_secret_value().encode()
        self._waiting: list[list[Message]] = [[] for _ in range(partitions)]
        self._in_flight: list[asyncio.Future[object]] = []
        self._partitions = partitions
        self.sent = 0

    async def send(self, customer: str, value: bytes) -> None:
        """Append one event under its customer's key."""
        key = customer.encode()
        waiting = self._waiting[partition_of(key, self._partitions)]
        waiting.append(Message(key, value))
        self.sent += 1
        if len(waiting) >= FLUSH_EVENTS:
            await self.flush(wait=len(self._in_flight) > IN_FLIGHT)

    async def tick(self, at: float) -> None:
        """Append a tick at this event time to every partition."""
        for waiting in self._waiting:
            waiting.append(tick(self._key, at=at))
        await self.flush()

    async def flush(self, *, wait: bool = True) -> None:
        """Hand over what waits; with `wait`, until the broker has all of it."""
        for partition, waiting in enumerate(self._waiting):
            if waiting:
                self._in_flight += await self._producer.send(self._topic, partition, waiting)
                self._waiting[partition] = []
        if wait:
            await asyncio.gather(*self._in_flight)
            self._in_flight.clear()


async def feed(
    steps: Iterable[Step],
    settings: Settings,
    *,
    pace: Pace | None = None,
    rate: RateLimit | None = None,
    advance: Callable[[int], None] = lambda _: None,
    gate: Callable[[], Awaitable[None]] | None = None,
    settle: bool = False,
) -> Fed:
    """Put a planned replay on the events topic; returns what came of it.

    Parameters
    ----------
    steps
        From `plan_replay`.
    settings
        Of the whole program.
    pace, rate
        Event time against real time, and the most events a second.
    advance
        Called with the number of events sent, now and then.
    gate
        Awaited now and then before more is sent: holds the feed back while readers lag.
    settle
        Wait at the end until the scorers have applied all of it.

    Raises
    ------
    BrokerUnavailable
        Where the broker is away, or a barrier waits in vain for a worker.
    """
    partitions = await asyncio.to_thread(partition_count, settings, "events")
    states = await asyncio.to_thread(partition_count, settings, "state")
    pace = pace or Pace(None, time.monotonic)
    rate = rate or RateLimit(None, time.monotonic)
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with _started(OutputProducer(settings, lambda error: _fail(failed, error))) as producer:
        feeder = Feeder(producer, settings, partitions)
        async with Watcher(settings, partitions, states) as watcher:
            work = asyncio.ensure_future(_run(steps, feeder, watcher, pace, rate, advance, gate))
            try:
                await asyncio.wait({work, failed}, return_when=asyncio.FIRST_COMPLETED)
                if failed.done():
                    failed.result()
                await work
                if settle:
                    await watcher.wait_applied()
            finally:  # it must not outlive its clients, whatever ends the wait
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
    return Fed(feeder.sent, min(watcher.too_late(), feeder.sent))


async def _run(
    steps: Iterable[Step],
    feeder: Feeder,
    watcher: Watcher,
    pace: Pace,
    rate: RateLimit,
    advance: Callable[[int], None],
    gate: Callable[[], Awaitable[None]] | None,
) -> None:
    for step in steps:
        if isinstance(step, Send):
            wait = max(pace.delay(step.event.at), rate.delay())
            if wait > 0.0:
                await feeder.flush(wait=False)
                await asyncio.sleep(wait)
            await feeder.send(step.event.customer, step.event.value)
            if feeder.sent % FLUSH_EVENTS == 0:
                advance(feeder.sent)
                if gate is not None:
                    await feeder.flush()
                    await gate()
        elif isinstance(step, Barrier):
            await feeder.flush()
            await watcher.wait_applied()
            await watcher.wait_learned()
        elif isinstance(step, Tick):
            await feeder.tick(step.at)
    await feeder.flush()
    advance(feeder.sent)


@asynccontextmanager
async def _started(producer: OutputProducer) -> AsyncIterator[OutputProducer]:
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def _fail(failed: asyncio.Future[None], error: BaseException) -> None:
    if not failed.done():
        failed.set_exception(error)
