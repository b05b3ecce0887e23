"""No silent stop: notices topics that were deleted, and reading that stands still for no reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.settings import Settings
from streams.consumer import Consumer

__all__ = ["Probe", "Seen", "Watchdog"]

ANSWER_SECONDS: Final = 10.0
# A broker that comes back lists topics only once it has read the controller's log.
GONE_SECONDS: Final = 10.0
SHOWN: Final = 3


class Seen(NamedTuple):
    """What a role's reading looks like at one moment.

    Parameters
    ----------
    progress
        Anything that is another as soon as something moved.
    positions
        Place to the offset up to which its records are read and done with.
    waits_for
        What is known and reported to be away, such as ``"the cache"``; else empty.
    joined
        Whether the group gave us our part, if only of nothing.
    """

    progress: object
    positions: Mapping[TopicPartition, int]
    waits_for: str
    joined: bool


class Probe:
    """Asks the broker on a connection of its own: the one that reads may hang.

    Parameters
    ----------
    settings
        Where Kafka is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: Any = None

    async def topics(self) -> frozenset[str] | None:
        """Return the topics there are; ``None`` where no broker answers."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if self._consumer is None:
                    await self._connect()
                return frozenset(await self._consumer.topics())
        except (KafkaError, TimeoutError):
            return None

    async def ends(self, places: Collection[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        """Return where partitions end; ``None`` where nobody knows."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found: Mapping[TopicPartition, int] = await self._consumer.end_offsets(places)
                return found
        except (KafkaError, TimeoutError):
            return None

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _connect(self) -> None:
        consumer = Consumer(self._settings)
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer


class Watchdog:
    """Raises where a role reads nothing for too long though records wait, or its topics are gone.

    Waiting for a broker or a cache that is away is no stall: it is reported, and it ends.

    Parameters
    ----------
    role
        Its name.
    topics
        All that it reads and writes, in full.
    stall_seconds
        How long reading may stand still.
    clock
        Seconds.
    """

    def __init__(
        self,
        role: str,
        topics: Iterable[str],
        stall_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waits_for = ""
        self._role = role
        self._used = frozenset(topics)
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._there: frozenset[str] = frozenset()
        self._gone: dict[str, float] = {}
        self._progress: object = None
        self._moved = clock()

    def look(
        self,
        seen: Seen,
        topics: frozenset[str] | None,
        ends: Mapping[TopicPartition, int] | None,
    ) -> None:
        """Take one look.

        Parameters
        ----------
        seen
            The role.
        topics, ends
            What the broker says; ``None`` where it does not answer.

        Raises
        ------
        ConfigurationError
            Where a topic was deleted.
        BrokerUnavailable
            Where reading stood still for too long.
        """
        self.waits_for = "the broker" if topics is None else seen.waits_for
        if topics is not None:
            self._check_topics(topics)
        why = "" if self.waits_for else _reason(seen, ends)
        if not why or seen.progress != self._progress:
            # Time counts from the first look that finds a reason, not from the last without.
            self._progress, self._moved = seen.progress if why else None, self._clock()
        still = self._clock() - self._moved
        if still > self._stall_seconds:
            raise BrokerUnavailable(
                f"the role {self._role} has stood still for {still:.0f} s (CRM_STALL_SECONDS): "
                f"{why}; look into the broker's log, and start the worker again"
            )

    def _check_topics(self, topics: frozenset[str]) -> None:
        now = self._clock()
        self._there |= topics & self._used
        missing = self._there - topics
        self._gone = {topic: self._gone.get(topic, now) for topic in missing}
        for topic, since in sorted(self._gone.items()):
            if now - since >= GONE_SECONDS:
                raise ConfigurationError(
                    f"{topic} was deleted under the worker: create it with `crm-online topics`, "
                    "run `crm-online reset` if states were made from it or stood on it, and start "
                    "the worker again"
                )


def _reason(seen: Seen, ends: Mapping[TopicPartition, int] | None) -> str:
    """Say why reading should go on and might not; empty where there is nothing to read."""
    if not seen.joined:
        return "its group does not let it in"
    if ends is None:
        return "the broker does not say where its partitions end"
    behind = [
        f"{place.topic}[{place.partition}]@{position} of {ends[place]}"
        for place, position in sorted(seen.positions.items())
        if position < ends.get(place, 0)
    ]
    more = f" and {len(behind) - SHOWN} more" if len(behind) > SHOWN else ""
    return f"it is at {', '.join(behind[:SHOWN])}{more}" if behind else ""
