"""The small job on every system in turn, as often as asked for, on one broker."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from typing import Final

from confluent_kafka.admin import AdminClient

from benchmarks.pinned import program
from benchmarks.small.events import generate
from benchmarks.small.measuring import Completed, Integers, completed, follow, read
from benchmarks.small.systems import OURS, System, command
from crm_online import Settings
from crm_online.log import Message
from streams.admin import Admin
from streams.connection import admin_options
from streams.producer import OutputProducer
from streams.topics import TopicPlan

__all__ = ["PARTITIONS", "SmallRuns"]

PARTITIONS: Final = 4
APP: Final = "small"
AT_ONCE: Final = 10_000


class SmallRuns:
    """Runs systems over the same events.

    Parameters
    ----------
    kafka
        Address of the broker.
    events, customers
        How many there are.
    seconds
        After which a run ends; a slow system completes only some of them.
    """

    def __init__(self, kafka: str, events: int, customers: int, seconds: float) -> None:
        self._settings = Settings(app=APP, kafka=kafka, partitions=PARTITIONS)
        self._seconds = seconds
        self._runs = 0
        self._expected: list[Integers] = []
        self._source = self._create("events")
        asyncio.run(self._feed(events, customers))

    def run(self, system: System) -> Completed:
        """Let one system do the job, from its start; it is killed at the end."""
        self._runs += 1
        output = self._create(f"out{self._runs}")
        if system.name == OURS:
            self._create(f"out{self._runs}-state", compact=True)
        environment = {
            "BENCH_KAFKA": self._settings.kafka,
            "BENCH_SOURCE": self._source,
            "BENCH_OUTPUT": output,
            "BENCH_PARTITIONS": str(PARTITIONS),
        }
        events = sum(map(len, self._expected))
        with program(command(system), environment, end=signal.SIGKILL) as running:
            follow(running, self._settings, output, PARTITIONS, events, self._seconds)
        found = completed(read(self._settings, output, PARTITIONS), self._expected)
        AdminClient(admin_options(self._settings)).delete_topics(
            [output]
        )  # else they fill the disk
        return found

    def _create(self, noun: str, *, compact: bool = False) -> str:
        name = self._settings.topic(noun)
        config = {"message.timestamp.type": "LogAppendTime"}
        config |= {"cleanup.policy": "compact"} if compact else {}
        Admin(self._settings).create([TopicPlan(name, PARTITIONS, 1, config)])
        return name

    async def _feed(self, events: int, customers: int) -> None:
        def fail(error: BaseException) -> None:
            raise error

        producer = OutputProducer(self._settings, fail)
        await producer.start()
        for partition, made in enumerate(generate(events, customers, PARTITIONS)):
            self._expected.append(made.counts)
            for some in _cut(made.messages):
                await producer.deliver(self._source, partition, some)
        await producer.stop()


def _cut(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for first in range(0, len(messages), AT_ONCE):
        yield messages[first : first + AT_ONCE]
