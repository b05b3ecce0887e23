"""How far the readers of a log have come: what a replay waits for at its barriers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

from aiokafka import TopicPartition

from crm_online.customers.progress import Progress, read_progress
from crm_online.errors import BrokerUnavailable
from crm_online.internal import PROGRESS_KEY
from streams.consumer import Consumer

if TYPE_CHECKING:
    from types import TracebackType

    from crm_online.settings import Settings

__all__ = ["Watcher"]

STALL_SECONDS = 60.0
# A partition's own record follows the snapshots of its batch: it is among the last ones.
LOOK_BACK: Final = 1000


class Watcher:
    """Follows the scorers' own records and the learner's snapshots from now on.

    Parameters
    ----------
    settings
        Of the whole program.
    partitions
        How many partitions the events topic has.
    states
        How many the state topic has: fewer where some were added and not yet adopted.
    stall_seconds
        How long no reader may make progress before a wait gives up.
    """

    def __init__(
        self,
        settings: Settings,
        partitions: int,
        states: int,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._settings = settings
        self._state = [TopicPartition(settings.topic("state"), p) for p in range(states)]
        self._events = [TopicPartition(settings.topic("events"), p) for p in range(partitions)]
        self._begun: dict[TopicPartition, int] = {}
        self._models = TopicPartition(settings.topic("models"), 0)
        self._outcomes = TopicPartition(settings.topic("outcomes"), 0)
        self._stall_seconds = stall_seconds
        self._applied = dict.fromkeys(range(partitions), (-1, -1))
        self._standing: dict[int, Progress] = {}
        self._before: dict[int, int] = {}
        self._learned = (-1, -1)
        self._first_outcome = 0
        self._consumer = Consumer(settings)

    async def __aenter__(self) -> Self:
        """Begin at the present end of the topics."""
        try:
            await self._consumer.start()
            self._consumer.assign([*self._state, self._models])
            await self._look_back()
            self._begun = await self._consumer.end_offsets(self._events)
            self._first_outcome = await self._outcomes_end()
        except BaseException:  # Ctrl-C among them: aiokafka wants to be closed
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop following."""
        await self._consumer.stop()

    async def wait_applied(self) -> None:
        """Wait until the scorers have applied all that stands on the events topic now.

        Raises
        ------
        BrokerUnavailable
            Where no scorer makes progress.
        """
        ends = await self._consumer.end_offsets(self._events)
        sent = {place.partition: end for place, end in ends.items() if end > self._begun[place]}
        await self._wait(
            lambda: all(self._applied[p][1] >= end - 1 for p, end in sent.items()), "score"
        )

    async def wait_learned(self) -> None:
        """Wait until the learner has published what it learned from all outcomes so far.

        Raises
        ------
        BrokerUnavailable
            Where no learner makes progress.
        """
        end = await self._outcomes_end()
        if end > self._first_outcome:
            await self._wait(lambda: self._learned[1] >= end - 1, "learn")

    def too_late(self) -> int:
        """Return how many events the scorers have only counted since we began."""
        counted = {p: read.too_late - self._before.get(p, 0) for p, read in self._standing.items()}
        return sum(max(0, count) for count in counted.values())

    async def _look_back(self) -> None:
        """Read how many events were too late so far, and stand at the end of the topics."""
        await self._consumer.seek_to_end(self._models)
        begins = await self._consumer.beginning_offsets(self._state)
        ends = await self._consumer.end_offsets(self._state)
        for place, end in ends.items():
            self._consumer.seek(place, max(begins[place], end - LOOK_BACK))
        try:
            async with asyncio.timeout(self._stall_seconds):
                while any([await self._consumer.position(p) < end for p, end in ends.items()]):
                    await self._read()
        except TimeoutError:
            raise BrokerUnavailable(
                f"{self._settings.topic('state')} was not read within {self._stall_seconds:.0f} s: "
                "check the brokers"
            ) from None
        self._before = {p: read.too_late for p, read in self._standing.items()}
        self._applied = dict.fromkeys(self._applied, (-1, -1))  # what counts comes from now on

    async def _wait(self, done: Callable[[], bool], role: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stall_seconds
        while not done():
            if await self._read():
                deadline = loop.time() + self._stall_seconds
            elif loop.time() > deadline:
                raise BrokerUnavailable(
                    f"no worker with role {role} made progress for {self._stall_seconds:.0f} s; "
                    "start `crm-online worker`, or send without waiting by --max-ahead none"
                )

    async def _read(self) -> bool:
        found = await self._consumer.getmany(timeout_ms=200)
        for place, records in found.items():
            for record in records:
                if place == self._models:
                    self._take_model(record.key, record.value)
                elif record.key == PROGRESS_KEY and record.value:
                    self._take_progress(place.partition, read_progress(record.value))
        return bool(found)

    def _take_progress(self, partition: int, read: Progress) -> None:
        if read.place >= self._applied[partition]:
            self._applied[partition] = read.place
            self._standing[partition] = read

    def _take_model(self, key: bytes | None, value: bytes | None) -> None:
        if key == b"quality" and value:
            read = json.loads(value)
            self._learned = max(self._learned, (int(read.get("epoch", 0)), int(read["offset"])))

    async def _outcomes_end(self) -> int:
        ends = await self._consumer.end_offsets([self._outcomes])
        return int(ends[self._outcomes])
