"""The role `score`: scores every event; follows models, interactions and items in full."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import ClassVar, Final

from crm_online.internal import tick
from crm_online.log import Record
from crm_online.models.active import LEARNERS_OWN
from crm_online.models.snapshots import SnapshotReader
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from streams.figures import RoleFigures
from streams.followers import Follower
from streams.lease import Lease, LeaseLost
from streams.processor import Processor
from streams.producer import OutputProducer
from streams.roles.tasks import Stop, Tasks

__all__ = ["ScoreRole"]

TICK_POLL_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class ScoreRole:
    """Scores every event; follows models, interactions and items in full; ticks when idle.

    Parameters
    ----------
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    lease
        Whether the partitions are still ours; nothing is written without it.
    """

    nouns: ClassVar = (
        "events",
        "state",
        "scores",
        "recommendations",
        "outcomes",
        "interactions",
        "models",
        "dead-letters",
    )
    waits_for: ClassVar = ""

    def __init__(self, settings: Settings, stop: Stop, lease: Lease | None = None) -> None:
        self._settings = settings
        self._stop = stop
        self._key = settings.signing_key.get_secret_value().encode()
        self._tasks = Tasks(stop)
        self._snapshots = SnapshotReader(self._key, LEARNERS_OWN)
        self.scorer = Scorer(settings)
        self.producer = OutputProducer(settings, stop, lease)
        self.processor = Processor(self.scorer, self.producer, settings, stop)
        self._models_at: dict[str, float] = {}

    def figures(self) -> RoleFigures:
        """Say what was done so far."""
        counted = self.processor.figures
        return RoleFigures(
            consumed=counted.events,
            produced=self.producer.delivered,
            batches=counted.batches,
            batch_seconds=counted.seconds,
            restored=counted.restored,
            restore_seconds=counted.restore_seconds,
            rejected=self.scorer.rejected,
            repairs=self.scorer.repairs,
            models_at=self._models_at,
        )

    @property
    def restoring(self) -> tuple[int, int]:
        """Records read back so far, and offsets that are left to read."""
        return self.processor.restoring

    async def open(self) -> None:
        """Connect, and catch up with what is followed, before the group is joined."""
        self.scorer.replica.model.warm_up()
        self.scorer.replica.content.warm_up()
        await self.producer.start()
        await self._follow("models", self._adopt)
        replica = self.scorer.replica
        await self._follow("interactions", replica.apply, replica.offset + 1)
        await self._follow("items", self._list)
        self._tasks.begin(self._tick_when_idle())
        self._tasks.begin(self.processor.guard.run())

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
            self._models_at[snapshot.name] = records[-1].timestamp / 1000.0

    def _list(self, records: Sequence[Record]) -> None:
        """Take records of the catalogue; what is none is said once per fetch and read over."""
        catalogue = self.scorer.catalogue
        before = catalogue.refused
        catalogue.apply(records)
        if catalogue.refused > before:
            _log.warning(
                "%s: %d records are no items and were read over; `crm-online items load` writes "
                "right ones",
                self._settings.topic("items"),
                catalogue.refused - before,
            )

    async def _tick_when_idle(self) -> None:
        while True:
            await asyncio.sleep(TICK_POLL_SECONDS)
            for partition in self.processor.owned:
                if partition in self.processor.owned:  # still, behind the tick before
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
            with suppress(LeaseLost):
                await self.processor.append("events", partition, message)
