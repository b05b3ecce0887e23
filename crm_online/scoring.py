"""Scorer.process(batch): the whole story of scoring, on one screen.

A batch of one partition of ``crm.events`` goes through five steps. The first is sequential
and knows no model; the others take the batch as a whole. What they cause is delivered by
whoever called, in the order that `Effects` states.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from crm_online.catalogue import Catalogue
from crm_online.cleaning import Repairs
from crm_online.customers.partition import Partition, PartitionRestore
from crm_online.log import Effects, Record
from crm_online.models.active import ActiveModels
from crm_online.models.snapshots import ModelSnapshot
from crm_online.publishing import Publisher
from crm_online.recommending import Recommender
from crm_online.replica import NEXT_ITEM, RERANKER, Replica
from crm_online.rescoring import rescoring, those_ahead
from crm_online.settings import Settings
from crm_online.slices import Slice
from crm_online.stepping import Stepper

__all__ = ["Scorer"]


class Scorer:
    """Scores the customers of the partitions it holds; never learns.

    Parameters
    ----------
    settings
        Of the whole program.
    replica
        Of the next-item model, where it is shared with a learner; one of its own by default.

    Examples
    --------
    >>> from crm_online.log import LogRecord
    >>> scorer = Scorer(Settings())
    >>> start = scorer.restore(0).finish()
    >>> raw = b'{"type": "track", "event": "Product Viewed", "userId": "c-1", "messageId": "m-1",'
    >>> raw += b' "timestamp": "2026-03-01T12:00:00Z", "properties": {"product_id": "p-1"}}'
    >>> [effects] = scorer.process(0, [LogRecord(start, 1_772_366_400_000, b"c-1", raw)])
    >>> sorted(effects.outputs), effects.as_of
    (['interactions', 'recommendations', 'scores'], 0)
    """

    def __init__(self, settings: Settings, replica: Replica | None = None) -> None:
        self._stepper = Stepper(settings)
        self._models = ActiveModels(settings)
        self.replica = replica or Replica(settings)
        self.catalogue = Catalogue()
        self._recommender = Recommender(settings, self.replica, self.catalogue)
        self._publisher = Publisher(settings)
        self.partitions: dict[int, Partition] = {}
        self.rejected: Counter[str] = Counter()
        self.repairs = Repairs()

    def process(self, partition: int, records: Sequence[Record]) -> Iterator[Effects]:
        """Apply one batch of a partition that is held.

        Parameters
        ----------
        partition
            Its number.
        records
            In log order; those applied before are passed over.

        Yields
        ------
        Effects
            One slice of the batch, already stored here; usually the only one.
        """
        for batch in self._stepper.step(self.partitions[partition], records):
            yield self._score(batch)

    def correct(self, partition: int, noun: str, records: Sequence[Record]) -> Effects:
        """Put right what another worker wrote behind newer records.

        Parameters
        ----------
        partition
            Its number.
        noun
            ``"state"``, ``"scores"`` or ``"recommendations"``: the topic they stand on.
        records
            Written by a worker that held the partition before.
        """
        held = self.partitions[partition]
        if noun == "state":
            return Effects(snapshots=held.right_ones(records))
        return self._score_again(rescoring(held, noun, records))

    def repeat(self, partition: int) -> Effects:
        """Score again whoever is ahead of a partition that was just restored.

        Parameters
        ----------
        partition
            Its number.
        """
        return self._score_again(those_ahead(self.partitions[partition]))

    def _score_again(self, batch: Slice) -> Effects:
        effects = self._score(batch)
        effects.progress = None  # the log did not move
        return effects

    def _score(self, batch: Slice) -> Effects:
        self.rejected.update(rejection.reason for _, rejection in batch.rejected)
        self.repairs.count(batch.cleaned)
        scored = self._models.score(batch.rows)
        scored.keep(batch.opened)
        offers = self._recommender.recommend(batch)
        batch.interactions = self.catalogue.describe(batch.interactions)
        effects = self._publisher.effects(batch, scored, offers)
        self._publisher.checkpoint(batch, effects)
        return effects

    def adopt(self, snapshot: ModelSnapshot) -> None:
        """Predict with a newer model from the next batch on."""
        if snapshot.name == NEXT_ITEM:
            self.replica.load(snapshot)
        elif snapshot.name == RERANKER:
            self.replica.adopt(snapshot)
        else:
            self._models.adopt(snapshot)

    def restore(self, partition: int) -> PartitionRestore:
        """Begin to hold a partition, from what its state topic says."""
        self.partitions[partition] = held = Partition(partition)
        return PartitionRestore(held)

    def forget(self, partition: int) -> None:
        """Drop all that is held of a partition."""
        self.partitions.pop(partition, None)
