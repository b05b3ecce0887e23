"""How far the readers of a log have come: what a replay waits for at its barriers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from crm_online.errors import BrokerUnavailable
from crm_online.internal import PROGRESS_KEY
from streams.connection import consumer_options

if TYPE_CHECKING:
    from types import TracebackType

    from crm_online.settings import Settings

__all__ = ["Watcher"]

STALL_SECONDS = 60.0


class Watcher:
    """Follows the scorers' own records and the learner's snapshots from now on.

    Parameters
    ----------
    settings
        Of the whole program.
    partitions
        How many partitions the events topic has.
    stall_seconds
        How long no reader may make progress before a wait gives up.
    """

    def __init__(
        self, settings: Settings, partitions: int, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._settings = settings
        self._state = [TopicPartition(settings.topic("state"), p) for p in range(partitions)]
        self._events = [TopicPartition(settings.topic("events"), p) for p in range(partitions)]
        self._begun: dict[TopicPartition, int] = {}
        self._models = TopicPartition(settings.topic("models"), 0)
        self._outcomes = TopicPartition(settings.topic("outcomes"), 0)
        self._stall_seconds = stall_seconds
        self._applied = dict.fromkeys(range(partitions), -1)
        self._learned = -1
        self._first_outcome = 0
        self._consumer = AIOKafkaConsumer(**consumer_options(settings))

    async def __aenter__(self) -> Self:
        """Begin at the present end of the topics."""
        await self._consumer.start()
        self._consumer.assign([*self._state, self._models])
        await self._consumer.seek_to_end(*self._state, self._models)
        self._begun = await self._consumer.end_offsets(self._events)
        self._first_outcome = await self._outcomes_end()
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
            lambda: all(self._applied[p] >= end - 1 for p, end in sent.items()), "score"
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
            await self._wait(lambda: self._learned >= end - 1, "learn")

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
                    as_of = int(json.loads(record.value)["as_of"])
                    self._applied[place.partition] = max(self._applied[place.partition], as_of)
        return bool(found)

    def _take_model(self, key: bytes | None, value: bytes | None) -> None:
        if key == b"quality" and value:
            self._learned = max(self._learned, int(json.loads(value)["offset"]))

    async def _outcomes_end(self) -> int:
        ends = await self._consumer.end_offsets([self._outcomes])
        return int(ends[self._outcomes])
