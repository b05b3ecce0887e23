"""What an undisturbed run makes of the very log that stands on the events topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from crm_online.customers.store import decode_state
from crm_online.log import Effects, Message, Record
from crm_online.scores import InteractionBatch
from crm_online.scoring import Scorer
from streams.verify.facts import interaction_facts, outcome_facts, score_facts, state_facts

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Mark", "Touch", "Truth", "ce_id_of", "facts_of_score", "refused"]

BATCH: Final = 1000  # another than the workers' own: no boundary may decide anything
Mark = tuple[int, int, int]

_batch: Final = msgspec.json.Decoder(InteractionBatch).decode
_pack: Final = msgspec.msgpack.Encoder().encode


class Touch(NamedTuple):
    """An event by which a customer touched items."""

    customer: str
    session: int
    item: str


class Truth:
    """Everything that follows from the log, and from nothing else.

    Parameters
    ----------
    settings
        Those of the workers.
    """

    def __init__(self, settings: Settings) -> None:
        self._scorer = Scorer(settings)
        self.events = 0
        self.scores: dict[bytes, bytes] = {}
        self.outcomes: dict[bytes, bytes] = {}
        self.interactions: dict[Mark, bytes] = {}
        self.touches: dict[tuple[int, int], Touch] = {}
        self.last_touch: dict[str, int] = {}
        self.dead_letters: set[tuple[int, int]] = set()
        self.customers: dict[str, bytes] = {}
        for partition in range(settings.partitions):
            self._scorer.restore(partition).finish()

    def apply(self, partition: int, records: Sequence[Record]) -> None:
        """Score records of the log, in order, without any model: none decides anything here."""
        for first in range(0, len(records), BATCH):
            for effects in self._scorer.process(partition, records[first : first + BATCH]):
                self._take(partition, effects)
        self.events += len(records)

    def finish(self) -> None:
        """Take the customers as they stand at the end."""
        for held in self._scorer.partitions.values():
            for customer, packed in held.store.packed.items():
                self.customers[customer] = state_facts(decode_state(packed))

    def _take(self, partition: int, effects: Effects) -> None:
        outputs = effects.outputs
        for message in outputs.get("scores", ()):
            if message.value is not None:  # removals come or not, by where a batch ends
                self.scores[ce_id_of(message)] = facts_of_score(message)[0]
        for message in outputs.get("outcomes", ()):
            kind, facts = outcome_facts(message.value or b"")
            if kind != "next_item":  # which lists there are, does not follow from the log
                self.outcomes[ce_id_of(message)] = facts
        self._take_interactions(partition, outputs.get("interactions", ()))
        for message in outputs.get("dead-letters", ()):
            self.dead_letters.add(refused(message))

    def _take_interactions(self, partition: int, messages: Iterable[Message]) -> None:
        for message in messages:
            for one in _batch(message.value or b"").interactions:
                self.interactions[partition, one.offset, one.index] = interaction_facts(one)
                self.last_touch[one.customer] = one.offset
                touch = Touch(one.customer, one.session, one.item)
                self.touches.setdefault((partition, one.offset), touch)


def facts_of_score(message: Message | Record) -> tuple[bytes, str]:
    """Return the facts of a score or a tick, and what caused it."""
    if dict(message.headers)["ce_type"] == b"crm.tick":
        return _pack(msgspec.json.decode(message.value or b"")), "tick"
    return score_facts(message.value or b"")


def refused(message: Message | Record) -> tuple[int, int]:
    """Return partition and offset of the record that a dead letter is about."""
    headers = dict(message.headers)
    return (
        int(headers["__streams.errors.partition"]),
        int(headers["__streams.errors.offset"]),
    )


def ce_id_of(message: Message | Record) -> bytes:
    """Return the name of an effect; empty for a tombstone."""
    return dict(message.headers).get("ce_id", b"")
