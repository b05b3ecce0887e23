"""The role `learn`: learns from outcomes and interactions; publishes signed snapshots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

import msgspec

from crm_online.errors import BrokerUnavailable, SnapshotError
from crm_online.learning import Learner
from crm_online.log import Message, Record
from crm_online.metrics import QualityUpdate
from crm_online.models.snapshots import SnapshotReader
from crm_online.settings import Settings
from streams.batches import IDLE_SECONDS, Batch, Generation
from streams.figures import RoleFigures
from streams.followers import read_whole
from streams.lease import Lease, LeaseLost
from streams.producer import OutputProducer
from streams.roles.inputs import check_starts, find_inputs
from streams.roles.tasks import Stop, Tasks
from streams.stacks import tell

__all__ = ["LearnOwner", "LearnRole"]

PUBLISH_POLL_SECONDS: Final = 0.02

_quality: Final = msgspec.json.Decoder(QualityUpdate).decode


class LearnRole:
    """Learns from outcomes and interactions; publishes signed snapshots.

    Parameters
    ----------
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    lease
        Whether the inputs are still ours; nothing is published without it.
    """

    nouns: ClassVar = ("outcomes", "interactions", "models", "metrics")
    waits_for: ClassVar = ""

    def __init__(self, settings: Settings, stop: Stop, lease: Lease | None = None) -> None:
        self._settings = settings
        self._stop = stop
        self._tasks = Tasks(stop)
        self._busy = asyncio.Lock()
        self._owned: set[str] = set()
        self._starts: dict[str, int] = {}
        self._next: dict[str, int] = {}
        self._generation = -1
        self._round = 0
        self._restoring: asyncio.Future[None] | None = None
        self._at_end = False
        self.restoring = (0, 0)
        self._published = {"small": 0.0, "whole": 0.0, "ranker": 0.0, "next_item": 0.0}
        self.producer = OutputProducer(settings, stop, lease)
        self.learner = Learner(settings)
        self._consumed = self._batches = 0
        self._seconds = 0.0
        self._quality: dict[tuple[str, str, str], float] = {}

    def figures(self) -> RoleFigures:
        """Say what was done so far."""
        return RoleFigures(
            consumed=self._consumed,
            produced=self.producer.delivered,
            batches=self._batches,
            batch_seconds=self._seconds,
            quality=self._quality,
        )

    async def open(self) -> None:
        """Connect, and compile what learning needs, before the group is joined."""
        self.learner.replica.model.warm_up()
        self.learner.replica.content.warm_up()
        await self.producer.start()
        self._tasks.begin(self._publish())

    async def close(self) -> None:
        """Let go of everything."""
        await self._tasks.end()
        await self.producer.stop()

    async def restore(self, generation: Generation) -> None:
        """Take the newest snapshots, once per generation; they say where to go on.

        It is given up where the group rebalances again, or the lease is lost.
        """
        if generation.number == self._generation:
            return
        current = self._round
        async with self._busy:
            if self._round != current:
                return
            self._restoring = restoring = asyncio.ensure_future(self._restore())
            try:
                await asyncio.wait([restoring])
            finally:
                restoring.cancel()
            if restoring.cancelled():
                return
            try:
                restoring.result()
            except SnapshotError as error:
                self._stop(error)
            else:
                self._generation = generation.number if self._round == current else -1

    async def _restore(self) -> None:
        await self.producer.start()
        self.learner = Learner(self._settings)
        snapshots = SnapshotReader(self._settings.signing_key.get_secret_value().encode())
        newest: dict[str, Any] = {}

        def keep(records: Sequence[Record]) -> None:
            self.restoring = (self.restoring[0] + len(records), 0)
            newest.update({s.name: s for s in snapshots.apply(records)})

        async with read_whole(self._settings, "models", keep, self._stop):
            inputs = await asyncio.to_thread(find_inputs, self._settings)
        ids = {noun: each.topic_id for noun, each in inputs.items()}
        starts = self.learner.restore(newest.values(), ids)
        self.learner.take_over(snapshots.standing)
        self._starts = check_starts(starts, inputs)
        self._next = dict(self._starts)

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
                    if self._holds(noun) and event.message.generation_id == self._generation:
                        self._step(noun, event.value)
                        self._learn(noun, event.value.records)
                        self._at_end = event.value.records[-1].offset + 1 >= event.value.end
                        event.ack()
            except Exception as error:  # a bug: never go on past it  # noqa: BLE001
                self._stop(error)
                return

    def _learn(self, noun: str, records: Sequence[Record]) -> None:
        began = time.perf_counter()
        self.learner.process(noun, records)
        self._seconds += time.perf_counter() - began
        self._batches += 1
        self._consumed += len(records)

    def _step(self, noun: str, batch: Batch) -> None:
        """Move on by a batch; behind a gap, snapshots would call learned what nobody read."""
        applied = self._next.get(noun, 0)
        batch.follow(applied)
        self._next[noun] = max(applied, batch.records[-1].offset + 1)

    async def idle(self) -> None:
        """Publish what was learned while the inputs are ours; take nothing more until restored."""
        self._give_up()
        try:
            async with asyncio.timeout(IDLE_SECONDS), self._busy:
                await self._publish_small()
                await self._publish_ranker()
                await self._publish_whole()
        except TimeoutError:
            tell(asyncio.all_tasks())
            self._stop(
                BrokerUnavailable(
                    f"what was learned was not published within {IDLE_SECONDS:.0f} s of a "
                    "rebalance: check the broker"
                )
            )
        self._generation = -1

    def lose(self) -> None:
        """Publish nothing more, and take nothing, until restored."""
        self._give_up()
        self._generation = -1
        self.producer.abandon()

    def _give_up(self) -> None:
        """Let no restore that is under way count."""
        self._round += 1
        if self._restoring is not None:
            self._restoring.cancel()

    async def _publish(self) -> None:
        settings = self._settings
        duties = {
            "small": (settings.model_publish_seconds, self._publish_small),
            "ranker": (settings.model_publish_seconds, self._publish_ranker),
            "whole": (settings.metrics_publish_seconds, self._publish_whole),
            "next_item": (settings.next_item_publish_seconds, self._publish_next_item),
        }
        while True:
            await asyncio.sleep(PUBLISH_POLL_SECONDS)
            for name, (seconds, publish) in duties.items():
                waited = time.monotonic() - self._published[name]
                if waited >= seconds or (name == "small" and self._at_end):
                    async with self._busy:
                        await publish()

    async def _publish_small(self) -> None:
        if self._holds("outcomes"):
            self._published["small"] = time.monotonic()
            await self._deliver(self.learner.publish())

    async def _publish_ranker(self) -> None:
        if self._holds("interactions"):
            self._published["ranker"] = time.monotonic()
            await self._deliver(self.learner.publish_ranker())

    async def _publish_whole(self) -> None:
        if self._holds("outcomes"):
            self._published["whole"] = time.monotonic()
            await self._deliver(self.learner.publish_whole())
            reports = self.learner.metrics()
            self._quality.update(_settled(reports))
            await self._deliver(reports, "metrics")

    async def _publish_next_item(self) -> None:
        if self._holds("interactions"):
            self._published["next_item"] = time.monotonic()
            await self._deliver(self.learner.publish_next_item())

    def _holds(self, noun: str) -> bool:
        return self._generation >= 0 and noun in self._owned

    async def _deliver(self, messages: Sequence[Message], noun: str = "models") -> None:
        with suppress(LeaseLost):
            await self.producer.deliver(self._settings.topic(noun), 0, messages)


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

    def lose(self) -> None:
        """Publish nothing more."""
        self._role.lose()


def _settled(reports: Sequence[Message]) -> Iterator[tuple[tuple[str, str, str], float]]:
    """Return model, window and figure to its value, of the reports on quality."""
    for report in reports:
        if ("ce_type", b"crm.quality.updated") in report.headers:
            read = _quality(report.value or b"")
            for name, value in read.figures.items():
                if value is not None:
                    yield (read.model, read.window, name), value
