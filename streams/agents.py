"""What each role does with a batch, and what it needs around it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from crm_online.errors import SinkUnavailable
from crm_online.internal import tick
from crm_online.learning import Learner
from crm_online.log import Record
from crm_online.models.snapshots import SnapshotReader
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from crm_online.sinks.redis import CacheWriter, connect
from streams.followers import Follower
from streams.processor import Processor
from streams.producer import OutputProducer
from streams.batches import Generation

__all__ = ["CacheRole", "LearnRole", "ScoreRole", "Stop"]

Stop = Callable[[BaseException], None]
PUBLISH_POLL_SECONDS: Final = 0.02
TICK_POLL_SECONDS: Final = 1.0
FIRST_WAIT_SECONDS: Final = 1.0
LAST_WAIT_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)


class Tasks:
    """Background work of a role; an exception in it ends the process."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._running: list[asyncio.Task[None]] = []

    def begin(self, work: Any) -> None:
        """Run a coroutine until `end`."""
        self._running.append(asyncio.ensure_future(self._guard(work)))

    async def end(self) -> None:
        """Cancel all, and wait until they are gone."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def _guard(self, work: Any) -> None:
        try:
            await work
        except Exception as error:  # nothing may end silently  # noqa: BLE001
            self._stop(error)


class ScoreRole:
    """Scores every event; follows models and interactions in full; moves time on when idle.

    Parameters
    ----------
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    """

    def __init__(self, settings: Settings, stop: Stop) -> None:
        self._settings = settings
        self._stop = stop
        self._key = settings.signing_key.get_secret_value().encode()
        self._tasks = Tasks(stop)
        self._snapshots = SnapshotReader(self._key)
        self.scorer = Scorer(settings)
        self.producer = OutputProducer(settings, stop, idempotent=settings.idempotent_producer)
        self.processor = Processor(self.scorer, self.producer, settings, stop)

    async def open(self) -> None:
        """Connect, and catch up with what is followed, before the group is joined."""
        self.scorer.replica.model.warm_up()
        await self.producer.start()
        await self._follow("models", self._adopt)
        replica = self.scorer.replica
        await self._follow("interactions", replica.apply, replica.offset + 1)
        self._tasks.begin(self._tick_when_idle())

    async def close(self) -> None:
        """Let go of everything."""
        await self._tasks.end()
        await self.producer.stop()

    async def _follow(
        self, noun: str, apply: Callable[[Sequence[Record]], None], start: int | None = None
    ) -> None:
        topic = self._settings.topic(noun)
        follower = Follower(self._settings, topic, apply, self._stop, start=start)
        self._tasks.begin(follower.run())
        await follower.caught_up()

    def _adopt(self, records: Sequence[Record]) -> None:
        for snapshot in self._snapshots.apply(records):
            self.scorer.adopt(snapshot)

    async def _tick_when_idle(self) -> None:
        while True:
            await asyncio.sleep(TICK_POLL_SECONDS)
            for partition in self.processor.owned:
                await self._tick(partition)

    async def _tick(self, partition: int) -> None:
        """Move event time on in a live partition that has fallen idle."""
        newest, held = self.processor.newest(partition), self.scorer.partitions.get(partition)
        if newest is None or held is None:
            return
        lag, idle = held.progress.lag, time.time() - newest / 1000.0
        if lag is None or lag > self._settings.live_skew_seconds:
            return
        if idle >= self._settings.idle_seconds:
            message = tick(self._key, lag_seconds=lag)
            await self.processor.append("events", partition, message)


class LearnRole:
    """Learns from outcomes and interactions; publishes signed snapshots.

    Parameters
    ----------
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    """

    def __init__(self, settings: Settings, stop: Stop) -> None:
        self._settings = settings
        self._stop = stop
        self._tasks = Tasks(stop)
        self._busy = asyncio.Lock()
        self._owned: set[str] = set()
        self._starts: dict[str, int] = {}
        self._generation = -1
        self._at_end = False
        self._published = {"small": 0.0, "next_item": 0.0}
        self.producer = OutputProducer(settings, stop, idempotent=settings.idempotent_producer)
        self.learner = Learner(settings)

    async def open(self) -> None:
        """Connect, and compile what learning needs, before the group is joined."""
        self.learner.replica.model.warm_up()
        await self.producer.start()
        self._tasks.begin(self._publish())

    async def close(self) -> None:
        """Publish what was learned, and let go."""
        await self._tasks.end()
        async with self._busy:
            await self._publish_small()
        await self.producer.stop()

    async def restore(self, generation: Generation) -> None:
        """Take the newest snapshots, once per generation; they say where to go on."""
        if generation.number == self._generation:
            return
        self._generation = generation.number
        async with self._busy:
            self.learner = Learner(self._settings)
            snapshots = SnapshotReader(self._settings.signing_key.get_secret_value().encode())
            newest: dict[str, Any] = {}

            def keep(records: Sequence[Record]) -> None:
                newest.update({s.name: s for s in snapshots.apply(records)})

            async with _followed(self._settings, "models", keep, self._stop):
                self._starts = self.learner.restore(newest.values())

    def owned(self, noun: str, *, owned: bool) -> None:
        """Take note whether one of the two inputs is ours."""
        self._owned.discard(noun)
        if owned:
            self._owned.add(noun)

    def start_of(self, noun: str) -> int:
        """Return the offset of an input to go on from."""
        return self._starts.get(noun, 0)

    async def run(self, noun: str, stream: Any) -> None:
        """Learn from the batches of one input; the body of an agent."""
        async for event in stream.noack().events():
            try:
                async with self._busy:
                    if event.message.generation_id == self._generation and noun in self._owned:
                        self.learner.process(noun, event.value.records)
                        self._at_end = event.value.records[-1].offset + 1 >= event.value.end
                        event.ack()
            except Exception as error:  # a bug: never go on past it  # noqa: BLE001
                self._stop(error)
                return

    async def idle(self) -> None:
        """Return when no batch is being learned; take no other until restored."""
        self._generation = -1
        async with self._busy:
            pass

    async def _publish(self) -> None:
        while True:
            await asyncio.sleep(PUBLISH_POLL_SECONDS)
            waited = time.monotonic() - self._published["small"]
            if self._at_end or waited >= self._settings.model_publish_seconds:
                async with self._busy:
                    await self._publish_small()
            waited = time.monotonic() - self._published["next_item"]
            if waited >= self._settings.next_item_publish_seconds:
                async with self._busy:
                    await self._publish_next_item()

    async def _publish_small(self) -> None:
        if "outcomes" in self._owned:
            self._published["small"] = time.monotonic()
            await self._deliver(self.learner.publish())

    async def _publish_next_item(self) -> None:
        if "interactions" in self._owned:
            self._published["next_item"] = time.monotonic()
            await self._deliver(self.learner.publish_next_item())

    async def _deliver(self, messages: Any) -> None:
        await self.producer.deliver(self._settings.topic("models"), 0, messages)


class LearnOwner:
    """Positions one input of the learner: its snapshots say where, never the group's commits.

    Parameters
    ----------
    role
        Whose input it is.
    noun
        ``"outcomes"`` or ``"interactions"``.
    """

    def __init__(self, role: LearnRole, noun: str) -> None:
        self._role = role
        self._noun = noun

    async def idle(self) -> None:
        """Finish the batch in hand."""
        await self._role.idle()

    async def restore(self, generation: Generation, partitions: frozenset[int]) -> None:
        """Take the newest snapshots."""
        await self._role.restore(generation)
        self._role.owned(self._noun, owned=0 in partitions)

    def resume_at(self) -> Mapping[int, int]:
        """Return where to go on."""
        return {0: self._role.start_of(self._noun)}


class CacheRole:
    """Writes scores and recommendations to Redis; waits while it is away, and loses nothing.

    Parameters
    ----------
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    """

    def __init__(self, settings: Settings, stop: Stop) -> None:
        self._stop = stop
        self._client = connect(settings)
        self._writer = CacheWriter(settings, self._client)
        self.written = 0

    async def open(self) -> None:
        """Do nothing: the cache is connected to at the first write."""

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()

    async def run(self, noun: str, stream: Any) -> None:
        """Write the batches of one topic; the body of an agent."""
        async for event in stream.noack().events():
            try:
                await self._write(noun, event.value.records)
                event.ack()
            except Exception as error:  # wrong credentials, or a bug  # noqa: BLE001
                self._stop(error)
                return

    async def _write(self, noun: str, records: Sequence[Record]) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                done = await self._writer.write(
                    records if noun == "scores" else (),
                    records if noun == "recommendations" else (),
                )
            except SinkUnavailable as error:
                _log.warning("the cache is away, trying again in %.0f s: %s", wait, error)
                await asyncio.sleep(wait)
                wait = min(2.0 * wait, LAST_WAIT_SECONDS)
            else:
                self.written += done.records
                for _, rejection in done.rejected:
                    _log.error("a record of %s was not cached: %s", noun, rejection.message)
                return


@asynccontextmanager
async def _followed(
    settings: Settings, noun: str, apply: Callable[[Sequence[Record]], None], stop: Stop
) -> AsyncIterator[None]:
    """Read a single-partition topic to its present end."""
    follower = Follower(settings, settings.topic(noun), apply, stop)
    reading = asyncio.ensure_future(follower.run())
    try:
        await follower.caught_up()
        yield
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
