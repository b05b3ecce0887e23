"""Appends events evenly, and takes the time when their scores arrive at readers."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition
from redis.asyncio import Redis

from crm_online import Settings
from crm_online.log import Message
from crm_online.simulation.raw import RawEvent
from crm_online.sinks.redis.keys import Keys
from streams.consumer import Consumer
from streams.feeding import partition_of
from streams.producer import OutputProducer

__all__ = ["Appended", "Arrivals", "Reader", "append_evenly", "cached_at", "read_along"]

TICK_SECONDS: Final = 0.005
DRAIN_SECONDS: Final = 20.0
PROBE: Final = "probe-"
_MESSAGE_ID: Final = re.compile(rb'"message_?[iI]d":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Appended:
    """When events were appended, by the broker's clock in seconds: by message id and by probe."""

    events: dict[bytes, float]
    probes: dict[str, float]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Seconds from append to arrival, into Kafka and into Redis; how many never arrived."""

    kafka: list[float]
    redis: list[float]
    missing: int


class Reader:
    """Reads a topic as it grows, and keeps when each message id arrived first."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.arrived: dict[bytes, float] = {}

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            for records in (await self._consumer.getmany(timeout_ms=500)).values():
                now = time.time()
                for record in records:
                    found = _MESSAGE_ID.search(record.value or b"")
                    if found:
                        self.arrived.setdefault(found.group(1), now)

    async def arrivals(self, appended: Appended, cached: Mapping[str, float]) -> Arrivals:
        """Wait for what is under way, and compare."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline and not (  # noqa: ASYNC110 - two readers fill what is waited for
            self.arrived.keys() >= appended.events.keys()
            and cached.keys() >= appended.probes.keys()
        ):
            await asyncio.sleep(0.1)
        kafka = _between(appended.events, self.arrived)
        redis = _between(appended.probes, cached)
        missing = len(appended.events) - len(kafka) + len(appended.probes) - len(redis)
        return Arrivals(kafka, redis, missing)


def _between(begun: Mapping[Any, float], ended: Mapping[Any, float]) -> list[float]:
    return [ended[name] - at for name, at in begun.items() if name in ended]


@asynccontextmanager
async def read_along(settings: Settings) -> AsyncIterator[Reader]:
    """Read the scores from now on."""
    consumer: Any = Consumer(settings)
    await consumer.start()
    places = [TopicPartition(settings.topic("scores"), p) for p in range(settings.partitions)]
    consumer.assign(places)
    for place, end in (await consumer.end_offsets(places)).items():
        consumer.seek(place, end)
    reader = Reader(consumer)
    task = asyncio.create_task(reader.run())
    try:
        yield reader
    finally:
        await _end(task)
        await consumer.stop()


@asynccontextmanager
async def cached_at(settings: Settings) -> AsyncIterator[dict[str, float]]:
    """Yield a dict that fills with probes and the times when their scores came into the cache."""
    found: dict[str, float] = {}
    client: Any = Redis.from_url(settings.redis.get_secret_value(), decode_responses=True)
    await client.config_set("notify-keyspace-events", "K$")
    listener = client.pubsub()
    await listener.psubscribe(f"__keyspace@0__:{Keys(settings.app).scores(PROBE + '*')}")

    async def listen() -> None:
        async for said in listener.listen():
            if said["type"] == "pmessage":
                probe = said["channel"].partition("{")[2].partition("}")[0]
                found.setdefault(probe, time.time())

    task = asyncio.create_task(listen())
    try:
        yield found
    finally:
        await _end(task)
        await listener.aclose()
        await client.aclose()


async def append_evenly(
    settings: Settings, events: Sequence[RawEvent], rate: float, probe_every: int
) -> Appended:
    """Append events at an even rate; returns when all are delivered.

    Parameters
    ----------
    settings
        Where to.
    events
        In order; each with a message id of its own.
    rate
        Events per second.
    probe_every
        Each so many-th event gets a customer of its own; 0: none does.
    """
    producer, probes = OutputProducer(settings, _fail), dict[str, bytes]()
    sent: list[tuple[asyncio.Future[Any], list[bytes]]] = []
    await producer.start()
    began, done = time.monotonic(), 0
    while done < len(events):
        due = min(int((time.monotonic() - began) * rate) + 1, len(events))
        waiting = defaultdict[int, list[Message]](list)
        for number in range(done, due):
            event = events[number]
            if probe_every and number % probe_every == 0:
                event = _probe(event, number)
                probes[event.customer] = _id_of(event.value)
            key = event.customer.encode()
            waiting[partition_of(key, settings.partitions)].append(Message(key, event.value))
        for partition, messages in waiting.items():
            futures = await producer.send(settings.topic("events"), partition, messages)
            sent += [(futures[-1], [_id_of(message.value or b"") for message in messages])]
        done = due
        await asyncio.sleep(TICK_SECONDS)
    times = {name: (await future).timestamp / 1000.0 for future, names in sent for name in names}
    await producer.stop()
    return Appended(times, {probe: times[name] for probe, name in probes.items()})


def _probe(event: RawEvent, number: int) -> RawEvent:
    customer = f"{PROBE}{number}-{event.at:.3f}"
    value = event.value.replace(f'"{event.customer}"'.encode(), f'"{customer}"'.encode())
    return RawEvent(event.at, customer, value)


def _id_of(value: bytes) -> bytes:
    found = _MESSAGE_ID.search(value)
    return found.group(1) if found else b""


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _fail(error: BaseException) -> None:
    raise error
