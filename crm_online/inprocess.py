"""Scoring and learning in one process without Kafka: the same `Scorer`, the same `Learner`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from crm_online.catalogue import CatalogueItem
from crm_online.learning import Learner
from crm_online.log import Effects, LogRecord, Message, Record
from crm_online.models.active import LEARNERS_OWN
from crm_online.models.snapshots import SnapshotReader
from crm_online.scoring import Scorer
from crm_online.settings import Settings

__all__ = ["InProcess"]


class InProcess:
    """A scorer and a learner that hand each other what the topics carry elsewhere.

    Parameters
    ----------
    settings
        Of the whole program.
    partitions
        How many partitions to hold.
    items
        The catalogue, if there is one.

    Examples
    --------
    >>> both = InProcess(Settings())
    >>> raw = b'{"type": "page", "userId": "c-1", "timestamp": "2026-03-01T12:00:00Z"}'
    >>> [effects] = both.process(0, [LogRecord(0, 1_772_366_400_000, b"c-1", raw)])
    >>> len(effects.outputs["scores"])
    1
    """

    def __init__(
        self, settings: Settings, partitions: int = 1, items: Iterable[CatalogueItem] = ()
    ) -> None:
        self.learner = Learner(settings)
        self.scorer = Scorer(settings, self.learner.replica)
        self.scorer.catalogue.take(items)
        key = settings.signing_key.get_secret_value().encode()
        self._reader = SnapshotReader(key, LEARNERS_OWN)
        self._ends = {"outcomes": 0, "interactions": 0, "models": 0}
        for partition in range(partitions):
            self.scorer.restore(partition).finish()

    def process(self, partition: int, records: Sequence[Record]) -> Iterator[Effects]:
        """Score a batch, and learn from what it settles before the next is scored.

        Parameters
        ----------
        partition
            One of those held.
        records
            In log order.

        Yields
        ------
        Effects
            As `Scorer.process` yields them.
        """
        for effects in self.scorer.process(partition, records):
            for noun in ("interactions", "outcomes"):
                written = self._append(noun, effects.outputs.get(noun, ()))
                if written:
                    self.learner.process(noun, written)
            published = self._append("models", self.learner.publish())
            for snapshot in self._reader.apply(published):
                self.scorer.adopt(snapshot)
            yield effects

    def _append(self, noun: str, messages: Sequence[Message]) -> list[LogRecord]:
        start = self._ends[noun]
        self._ends[noun] += len(messages)
        return [
            LogRecord(offset, 0, message.key, message.value, message.headers)
            for offset, message in enumerate(messages, start)
        ]
