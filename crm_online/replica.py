"""The replicated session index: every process applies the same interactions in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from crm_online.errors import SnapshotError
from crm_online.log import Message, Record
from crm_online.models.editions import Editions
from crm_online.models.next_item.ranker import NextItem
from crm_online.models.snapshots import ModelSnapshot
from crm_online.scores import Interaction, InteractionBatch
from crm_online.settings import Settings

__all__ = ["Replica"]

_decode: Final = msgspec.json.Decoder(InteractionBatch).decode


class Replica:
    """One next-item model, with how far it has read ``crm.interactions`` and each source.

    Parameters
    ----------
    settings
        Of the whole program.
    """

    def __init__(self, settings: Settings) -> None:
        self.model = NextItem(settings.max_items, settings.max_sessions, settings.repurchase_share)
        self.offset = -1
        self._marks: dict[int, tuple[int, int, int]] = {}
        self._editions = Editions("next_item", settings.signing_key.get_secret_value().encode())

    def apply(self, records: Sequence[Record]) -> None:
        """Learn the interactions of a batch of records, each once."""
        learned: list[Interaction] = []
        for record in records:
            if record.offset > self.offset:
                self.offset = record.offset
                learned += self._fresh(record)
        if learned:
            self.model.learn_many(learned)

    def _fresh(self, record: Record) -> list[Interaction]:
        try:
            batch = _decode(record.value or b"")
        except msgspec.MsgspecError as error:
            raise SnapshotError(
                f"the interactions at offset {record.offset} are none that this version reads; "
                "check CRM_APP, or start the newer crm-online"
            ) from error
        seen = self._marks.get(batch.partition, (-1, -1, -1))
        fresh = [i for i in batch.interactions if (batch.epoch, i.offset, i.index) > seen]
        if fresh:
            self._marks[batch.partition] = (batch.epoch, fresh[-1].offset, fresh[-1].index)
        return fresh

    def publish(self) -> list[Message]:
        """Return the signed snapshot of the whole model, or nothing where none was made since."""
        if self.offset <= self._editions.newest:
            return []
        return self._editions.publish(self.offset, (self.model.state_bytes(), self._marks))

    def load(self, snapshot: ModelSnapshot) -> None:
        """Take a whole snapshot; interactions up to its offset are then passed over."""
        if snapshot.offset <= self.offset:
            return
        packed, self._marks = snapshot.model
        self.model = NextItem.from_bytes(packed)
        self.offset = snapshot.offset
