"""The role `score` on a real Kafka, everything on: one core for the broker, one for the worker."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from crm_online import Settings
from crm_online.internal import PROGRESS_KEY
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.replay import Send
from streams.connection import consumer_options
from streams.embedded import RealKafka
from streams.feeding import feed
from streams.topics import create_missing
from streams.watcher import Watcher

__all__ = ["Run", "measure"]

BROKER_CORE, WORKER_CORE = 0, 1
STALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """One worker process from its first batch to its last.

    Parameters
    ----------
    events
        Applied between its first progress record and its last.
    seconds
        Between the two.
    cpu_seconds
        User and system time of the worker in between, all threads.
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
    """What the worker's own records say, and its CPU time beside them."""

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


async def measure(warm: Sequence[RawEvent], runs: Sequence[Sequence[RawEvent]]) -> list[Run]:
    """Let a history teach the models, then let a fresh worker score each of the others.

    Parameters
    ----------
    warm
        Events scored by one worker and learned by another before anything is measured.
    runs
        Events that follow, appended before the worker that scores them starts.
    """
    pinned = len(os.sched_getaffinity(0)) > 1 and shutil.which("taskset") is not None
    if pinned:
        os.sched_setaffinity(0, {BROKER_CORE})
    with RealKafka(cores=[BROKER_CORE] if pinned else []) as kafka:
        settings = Settings(kafka=kafka.address)
        await asyncio.to_thread(create_missing, settings)
        await _warm_up(settings, warm)
        return [await _score(settings, events, pinned=pinned) for events in runs]


async def _warm_up(settings: Settings, events: Sequence[RawEvent]) -> None:
    async with Watcher(settings, settings.partitions, settings.partitions) as watcher:
        await feed(map(Send, events), settings)
        with _worker(settings, "score,learn", pinned=False):
            await watcher.wait_applied()
            await watcher.wait_learned()


async def _score(settings: Settings, events: Sequence[RawEvent], *, pinned: bool) -> Run:
    async with _at_end(settings, "state", settings.partitions) as state:
        progress = _Progress(await _applied(settings, state))
        lists = await _end(settings, state, "recommendations")
        await feed(map(Send, events), settings)
        with _worker(settings, "score", pinned=pinned) as worker:
            await _follow(state, progress, worker, await _applied(settings, state))
        return progress.run(await _end(settings, state, "recommendations") - lists)


async def _follow(
    state: Any, progress: _Progress, worker: subprocess.Popen[bytes], wanted: dict[int, int]
) -> None:
    """Read progress records until all events are applied."""
    deadline = time.monotonic() + STALL_SECONDS
    while progress.applied != wanted:
        for found in (await state.getmany(timeout_ms=50)).values():
            for record in found:
                if record.key == PROGRESS_KEY:
                    as_of = json.loads(record.value)["as_of"]
                    progress.take(record.partition, record.timestamp / 1000.0, as_of)
                    deadline = time.monotonic() + STALL_SECONDS
        if worker.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the worker ended, or makes no progress")
        progress.cpu.append((time.time(), _cpu_seconds(worker.pid)))


@contextmanager
def _worker(settings: Settings, roles: str, *, pinned: bool) -> Iterator[subprocess.Popen[bytes]]:
    pin = ["taskset", "-c", str(WORKER_CORE)] if pinned else []
    command = [*pin, sys.executable, "-m", "streams", "worker", "--roles", roles]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb+") as log:
        worker = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=os.environ | {"CRM_KAFKA": settings.kafka},
        )
        try:
            yield worker
            worker.send_signal(signal.SIGTERM)
            worker.wait()
        except BaseException:
            worker.kill()
            worker.wait()
            log.seek(0)
            sys.stderr.buffer.write(log.read()[-3000:])
            raise


@asynccontextmanager
async def _at_end(settings: Settings, noun: str, partitions: int) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(**consumer_options(settings))
    await consumer.start()
    try:
        places = [TopicPartition(settings.topic(noun), p) for p in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
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


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
