"""The whole job on a real Kafka: workers with the role `score`, everything on, learned models."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.pinned import Program, cpu_seconds, worker
from crm_online import Settings
from crm_online.internal import PROGRESS_KEY
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.replay import Send
from streams.admin import Admin
from streams.connection import consumer_options
from streams.feeding import feed
from streams.watcher import Watcher

__all__ = ["Run", "score", "warm_up"]

STALL_SECONDS: Final = 300.0
JOIN_SECONDS: Final = 90.0
SETTLE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Run:
    """Workers from their first batch to their last.

    Parameters
    ----------
    events
        Applied between the first progress record and the last, outputs and snapshots durable.
    seconds
        Between the two, by the broker's clock.
    cpu_seconds
        User and system time of the workers in between, all threads.
    lists
        Lists of next items written per event.
    """

    events: int
    seconds: float
    cpu_seconds: float
    lists: float

    @property
    def events_per_second(self) -> float:
        """Events durably applied per second."""
        return self.events / self.seconds


@dataclass(slots=True)
class _Progress:
    """What the workers' own records say, and their CPU time beside them."""

    applied: dict[int, int] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    cpu: list[tuple[float, float]] = field(default_factory=list)

    def take(self, partition: int, written: float, as_of: int) -> None:
        self.times.append(written)
        self.events.append(as_of - self.applied[partition])
        self.applied[partition] = as_of

    def run(self, lists: int) -> Run:
        first, last = min(self.times), max(self.times)
        clock, cpu = zip(*self.cpu, strict=True)
        began, ended = np.interp([first, last], clock, cpu)
        events = sum(self.events) - self.events[self.times.index(first)]
        return Run(events, last - first, float(ended - began), lists / sum(self.events))


async def warm_up(settings: Settings, events: Sequence[RawEvent]) -> None:
    """Let a worker score and learn a history: customers, models and session index are warm then."""
    count = settings.partitions
    async with Watcher(settings, count, count, stall_seconds=STALL_SECONDS) as watcher:
        await feed(map(Send, events), settings)
        with worker(settings, "score,learn"):
            await watcher.wait_applied()
            await watcher.wait_learned()


async def score(
    settings: Settings, events: Sequence[RawEvent], *, workers: int = 1, roles: str = "score"
) -> Run:
    """Let fresh workers score events.

    One worker finds all of them on the log. Several are in the group before the first is appended,
    so that no rebalance falls into the measurement.

    Parameters
    ----------
    settings
        Where they are to be put.
    events
        What follows what was scored so far.
    workers
        Processes, dealt out over the cores that are not the broker's.
    roles
        Of each worker.
    """
    async with _at_end(settings, "state") as state:
        progress = _Progress(await _applied(settings, state))
        lists = await _end(settings, state, "recommendations")
        with ExitStack() as running:
            if workers == 1:
                await feed(map(Send, events), settings)
            started = [
                running.enter_context(worker(settings, roles, core=n)) for n in range(workers)
            ]
            if workers > 1:
                await _joined(settings, workers)
                await feed(map(Send, events), settings)
            await _follow(state, progress, started, await _applied(settings, state))
        return progress.run(await _end(settings, state, "recommendations") - lists)


async def _joined(settings: Settings, workers: int) -> None:
    admin, group = Admin(settings), f"{settings.app}-score"
    deadline = time.monotonic() + JOIN_SECONDS
    while await asyncio.to_thread(admin.members, group) < workers:
        if time.monotonic() > deadline:
            raise RuntimeError("the workers did not join their group")
        await asyncio.sleep(0.5)
    await asyncio.sleep(SETTLE_SECONDS)


async def _follow(
    state: Any, progress: _Progress, running: Sequence[Program], wanted: dict[int, int]
) -> None:
    """Read progress records until all events are applied."""
    deadline = time.monotonic() + STALL_SECONDS
    while progress.applied != wanted:
        for found in (await state.getmany(timeout_ms=50)).values():
            for record in found:
                if record.key == PROGRESS_KEY:
                    as_of = json.loads(record.value)["as_of"]
                    if as_of > progress.applied[record.partition]:
                        progress.take(record.partition, record.timestamp / 1000.0, as_of)
                    deadline = time.monotonic() + STALL_SECONDS
        if any(each.poll() is not None for each in running) or time.monotonic() > deadline:
            raise RuntimeError("a worker ended, or they make no progress")
        progress.cpu.append((time.time(), sum(cpu_seconds(each.pid) for each in running)))


@asynccontextmanager
async def _at_end(settings: Settings, noun: str) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(**consumer_options(settings))
    await consumer.start()
    try:
        places = [TopicPartition(settings.topic(noun), p) for p in range(settings.partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        for place in places:  # seeking is lazy
            await consumer.position(place)
        yield consumer
    finally:
        await consumer.stop()


async def _applied(settings: Settings, consumer: Any) -> dict[int, int]:
    """Offset of the last event of each partition."""
    ends = await consumer.end_offsets(
        [TopicPartition(settings.topic("events"), p) for p in range(settings.partitions)]
    )
    return {place.partition: end - 1 for place, end in ends.items()}


async def _end(settings: Settings, consumer: Any, noun: str) -> int:
    """How many records a topic has."""
    ends = await consumer.end_offsets(
        [TopicPartition(settings.topic(noun), p) for p in range(settings.partitions)]
    )
    return sum(ends.values())
