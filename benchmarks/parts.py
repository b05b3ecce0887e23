"""What each part of scoring costs: `Scorer.process` step by step, without Kafka."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from crm_online import InProcess, Settings
from crm_online.catalogue import Catalogue
from crm_online.customers.partition import Partition, PartitionRestore
from crm_online.log import Effects, LogRecord, Message
from crm_online.models.active import ActiveModels
from crm_online.models.snapshots import ModelSnapshot, SnapshotReader
from crm_online.publishing import Publisher
from crm_online.recommending import Recommender
from crm_online.replica import RERANKER, Replica
from crm_online.simulation.raw import RawEvent
from crm_online.stepping import Stepper

__all__ = ["PARTS", "Parts", "Warm", "batches", "measure", "on_log", "warm_up"]

PARTS = (
    "decode + step",
    "features + predict",
    "recommend",
    "encode",
    "checkpoint",
    "follow interactions",
)


@dataclass(frozen=True, slots=True)
class Warm:
    """What a scorer starts from when it takes over: its state topic, the models published."""

    state: Sequence[LogRecord]
    models: Sequence[ModelSnapshot]


@dataclass(frozen=True, slots=True)
class Parts:
    """What one run came to.

    Parameters
    ----------
    microseconds
        CPU time per event by part.
    lists
        Lists of next items computed per event.
    scores, outcomes
        Records written per event.
    """

    microseconds: dict[str, float]
    lists: float
    scores: float
    outcomes: float

    @property
    def total(self) -> float:
        """Microseconds per event, all parts."""
        return sum(self.microseconds.values())


def on_log(events: Sequence[RawEvent], first: int = 0) -> list[LogRecord]:
    """Put events on a log of one partition, each at its own time."""
    return [
        LogRecord(offset, int(event.at * 1000), event.customer.encode(), event.value)
        for offset, event in enumerate(events, first)
    ]


def batches(records: Sequence[LogRecord], size: int) -> Iterator[Sequence[LogRecord]]:
    """Cut a log as the transport does."""
    for first in range(0, len(records), size):
        yield records[first : first + size]


def warm_up(settings: Settings, records: Sequence[LogRecord]) -> Warm:
    """Score and learn a history; return all that it leaves behind."""
    both = InProcess(settings)
    state: dict[bytes | None, Message] = {}
    for batch in batches(records, settings.max_batch):
        for effects in both.process(0, batch):
            for message in [*effects.snapshots, *filter(None, [effects.progress])]:
                state[message.key] = message
    published = [m for slot in both.learner.slots.values() for m in slot.publish()]
    published += both.learner.publish_next_item() + both.learner.publish_ranker()
    reader = SnapshotReader(settings.signing_key.get_secret_value().encode())
    return Warm(_as_records(state.values()), reader.apply(_as_records(published)))


def _as_records(messages: Iterable[Message]) -> list[LogRecord]:
    return [LogRecord(n, 0, *message) for n, message in enumerate(messages)]


class _Stopwatch:
    """CPU time by part: what else the machine does is not counted."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._last = time.process_time()

    def lap(self, part: str) -> None:
        now = time.process_time()
        self.seconds[part] += now - self._last
        self._last = now


class _Scorer:
    """The steps of `Scorer.process`, with a stopwatch between them."""

    def __init__(self, settings: Settings, warm: Warm) -> None:
        self.stepper, self.models = Stepper(settings), ActiveModels(settings)
        self.replica = Replica(settings)
        self.recommender = Recommender(settings, self.replica, Catalogue())
        self.publisher = Publisher(settings)
        for snapshot in warm.models:
            if snapshot.name == "next_item":
                self.replica.load(snapshot)
            elif snapshot.name == RERANKER:
                self.replica.adopt(snapshot)
            else:
                self.models.adopt(snapshot)
        self.partition = Partition(0)
        restore = PartitionRestore(self.partition)
        restore.apply(warm.state)
        restore.finish()
        self.counts: defaultdict[str, int] = defaultdict(int)

    def process(self, records: Sequence[LogRecord], watch: _Stopwatch) -> None:
        for batch in self.stepper.step(self.partition, records):
            watch.lap("decode + step")
            scored = self.models.score(batch.rows)
            scored.keep(batch.opened)
            watch.lap("features + predict")
            offers = self.recommender.recommend(batch)
            watch.lap("recommend")
            effects = self.publisher.effects(batch, scored, offers)
            watch.lap("encode")
            self.publisher.checkpoint(batch, effects)
            watch.lap("checkpoint")
            self._follow(effects)
            watch.lap("follow interactions")
            self._count(effects)

    def _follow(self, effects: Effects) -> None:
        for message in effects.outputs.get("interactions", ()):
            self.replica.apply([LogRecord(self.replica.offset + 1, 0, *message)])

    def _count(self, effects: Effects) -> None:
        for noun, messages in effects.outputs.items():
            self.counts[noun] += len(messages)


def measure(settings: Settings, warm: Warm, records: Sequence[LogRecord]) -> Parts:
    """Score events with warm models, customers and session index.

    Parameters
    ----------
    settings
        Of the whole program.
    warm
        What the events before left behind.
    records
        What follows on the same log.
    """
    scorer = _Scorer(settings, warm)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)  # as a worker does
    watch = _Stopwatch()
    for batch in batches(records, settings.max_batch):
        scorer.process(batch, watch)
    size, counts = len(records), scorer.counts
    return Parts(
        {part: watch.seconds[part] / size * 1e6 for part in PARTS},
        counts["recommendations"] / size,
        counts["scores"] / size,
        counts["outcomes"] / size,
    )
