"""The replicated next-item model: every process applies the same interactions in the same order.

Each learns index and embedding for itself. The re-ranker, whose steps cost ten times as much, is
learned by the learner's replica only; others adopt what it publishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from crm_online.decoding import RecordDecoder
from crm_online.errors import SnapshotError
from crm_online.internal import Reset, read_reset
from crm_online.log import Message, Record
from crm_online.models.content import ContentRanker
from crm_online.models.editions import Editions
from crm_online.models.next_item.ranker import NextItem
from crm_online.models.snapshots import ModelSnapshot
from crm_online.scores import Interaction, InteractionBatch
from crm_online.settings import Settings

__all__ = ["NEXT_ITEM", "RERANKER", "Replica", "input_of"]

NEXT_ITEM: Final = "next_item"
RERANKER: Final = "next_item_ranker"
NEVER: Final = (-1, -1, -1)
_decode: Final[RecordDecoder[InteractionBatch]] = RecordDecoder("interactions", InteractionBatch)


def input_of(model: str) -> str:
    """Return the noun of the topic that a model learns from.

    Examples
    --------
    >>> input_of("churn"), input_of("next_item_ranker")
    ('outcomes', 'interactions')
    """
    return "interactions" if model in (NEXT_ITEM, RERANKER) else "outcomes"


class Replica:
    """One next-item model, with how far it has read ``crm.interactions`` and each source.

    Parameters
    ----------
    settings
        Of the whole program.
    teaches
        Learn the re-ranker, too, for all others to adopt.
    """

    def __init__(self, settings: Settings, *, teaches: bool = False) -> None:
        self._settings = settings
        self._teaches = teaches
        self._key = settings.signing_key.get_secret_value().encode()
        self.model = self._new()
        self.content = ContentRanker()
        self.epoch = 0
        self.offset = -1
        self.topic_id = ""
        self._marks: dict[int, tuple[int, int, int]] = {}
        self._adopted = (0, -1)
        self.editions: Final = Editions(NEXT_ITEM, self._key)
        self.ranker_editions: Final = Editions(RERANKER, self._key)

    def apply(self, records: Sequence[Record]) -> None:
        """Learn the interactions of a batch of records, each once."""
        learned: list[Interaction] = []
        for record in records:
            if record.offset <= self.offset:
                continue
            self.offset = record.offset
            reset = read_reset(record, self._key)
            if reset is None:
                learned += self._fresh(record)
            elif self._start_anew(reset):
                learned.clear()
        if learned and self._teaches:
            self.model.learn_many(learned)
        elif learned:
            self.model.follow_many(learned)
        self.content.learn_many(learned)

    def _new(self) -> NextItem:
        settings = self._settings
        return NextItem(
            settings.max_items,
            settings.max_sessions,
            settings.repurchase_share,
            settings.rerank_sample,
        )

    def _start_anew(self, reset: Reset) -> bool:
        """Forget all, and pass over what still comes of lower epochs; once for each epoch."""
        marks = dict.fromkeys(range(reset.partitions), (reset.epoch, -1, -1))
        if all(self._marks.get(p, NEVER) >= mark for p, mark in marks.items()):
            return False
        self.model, self._marks = self._new(), marks
        self.content = ContentRanker()
        return True

    def _fresh(self, record: Record) -> list[Interaction]:
        try:
            batch = _decode(record.value or b"")
        except msgspec.MsgspecError as error:
            raise SnapshotError(
                f"the interactions at offset {record.offset} are none that this version reads; "
                "check CRM_APP, or start the newer crm-online"
            ) from error
        seen = self._marks.get(batch.partition, NEVER)
        fresh = [i for i in batch.interactions if (batch.epoch, i.offset, i.index) > seen]
        if fresh:
            self._marks[batch.partition] = (batch.epoch, fresh[-1].offset, fresh[-1].index)
        return fresh

    def publish(self) -> list[Message]:
        """Return the signed snapshot of the whole model, or nothing where none was made since."""
        if (self.epoch, self.offset) <= self.editions.newest:
            return []
        held = self.model.state_bytes(), self._marks, self.content.state_bytes()
        return self.editions.publish(self.offset, held, epoch=self.epoch, topic_id=self.topic_id)

    def publish_ranker(self) -> list[Message]:
        """Return the signed weights of the re-ranker, or nothing where it learned nothing since."""
        if (self.epoch, self.offset) <= self.ranker_editions.newest:
            return []
        return self.ranker_editions.publish(
            self.offset, self.model.ranker_bytes(), epoch=self.epoch, topic_id=self.topic_id
        )

    def load(self, snapshot: ModelSnapshot) -> None:
        """Take a whole snapshot; interactions up to its offset are then passed over."""
        if snapshot.place <= (self.epoch, self.offset):
            return
        ranker = self.model.ranker_bytes()
        packed, self._marks, *content = snapshot.model  # the first version had no content
        self.model = NextItem.from_bytes(packed)
        self.content = ContentRanker.from_bytes(*content) if content else ContentRanker()
        self.epoch, self.offset = snapshot.place
        if self._adopted > snapshot.place:
            self.model.adopt_ranker(ranker)
        self._adopted = max(self._adopted, snapshot.place)

    def adopt(self, snapshot: ModelSnapshot) -> None:
        """Rank with newer weights from now on; whoever teaches has the newest already."""
        if not self._teaches and snapshot.place > self._adopted:
            self.model.adopt_ranker(snapshot.model)
            self._adopted = snapshot.place
