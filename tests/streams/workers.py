"""Counting workers in processes of their own, and what they left on the topics."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from crm_online.log import Message
from crm_online.settings import Settings
from streams import checkpoint
from streams.connection import client_options
from streams.producer import OutputProducer
from tests.streams.counting import Counting

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests/streams/counting.py"
PATIENCE_SECONDS = 60.0
PARTITIONS = 4


def fail(error: BaseException) -> None:
    raise error


def counting_settings(app: str, address: str, **more: object) -> Settings:
    given = {"app": app, "kafka": address, "partitions": PARTITIONS, "declare_topics": False}
    return Settings.model_validate(given | {"session_timeout_seconds": 6.0} | more)


class Worker:
    """One process; its output goes to a file in the folder."""

    def __init__(self, settings: Settings, folder: Path, pause_seconds: float = 0.0) -> None:
        self.log = folder / f"worker-{time.monotonic_ns()}.log"
        given = settings.model_dump(mode="json", exclude_defaults=True)
        if settings.kafka_password is not None:
            given["kafka_password"] = settings.kafka_password.get_secret_value()
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, SCRIPT, json.dumps(given), str(pause_seconds)],
                stdout=out,
                stderr=out,
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def figure(self, name: str) -> int:
        found = re.findall(rf"{name}=(\d+)", self.said())
        return int(found[-1]) if found else 0

    def owned(self) -> int:
        found = re.findall(r"FIGURES .*\[([\d, ]*)\]$", self.said(), re.MULTILINE)
        return len(found[-1].split(",")) if found and found[-1] else 0

    async def until(self, condition: Callable[[Worker], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition(self):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self.said()[-3000:])
            await asyncio.sleep(0.05)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


async def write_events(settings: Settings, count: int, keys: int = 50) -> None:
    """Append events to every partition alike; their keys tell the partition, too."""
    producer = OutputProducer(settings, fail)
    await producer.start()
    try:
        for partition in range(settings.partitions):
            events = [
                Message(b"%d-%d" % (partition, i % keys), b"{}")
                for i in range(count // settings.partitions)
            ]
            await producer.deliver(settings.topic("events"), partition, events)
    finally:
        await producer.stop()


async def read_keys(settings: Settings, noun: str) -> Counter[bytes]:
    """Count the values on a topic."""
    consumer = AIOKafkaConsumer(
        **client_options(settings), auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        every = [TopicPartition(settings.topic(noun), p) for p in range(settings.partitions)]
        ends = {tp: end for tp, end in (await consumer.end_offsets(every)).items() if end}
        consumer.assign(list(ends))
        found: Counter[bytes] = Counter()
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found.update(record.value for record in records)
    finally:
        await consumer.stop()
    return found


async def counted(settings: Settings) -> dict[bytes, int]:
    """Read back what all workers together have counted and made durable."""
    machine = Counting()
    await checkpoint.restore(
        range(settings.partitions),
        machine,
        settings,
        source=settings.topic("events"),
        state=settings.topic("state"),
    )
    return {key: n for held in machine.partitions.values() for key, (_, n) in held.counts.items()}


async def until_counted(settings: Settings, total: int, *workers: Worker) -> dict[bytes, int]:
    """Wait until so many events are counted; fails where it takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum((counts := await counted(settings)).values()) < total:
        if time.monotonic() > deadline:
            raise AssertionError("\n".join(worker.said()[-3000:] for worker in workers))
        await asyncio.sleep(0.2)
    return counts


async def append(settings: Settings, noun: str, partition: int, *messages: Message) -> None:
    """Write as another worker would, beside those that run."""
    failures: list[BaseException] = []
    producer = OutputProducer(settings, failures.append)
    await producer.start()
    await producer.deliver(settings.topic(noun), partition, messages)
    await producer.stop()
    assert not failures
