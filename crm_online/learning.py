"""Learner.process(noun, records): every outcome teaches each model once, in log order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from crm_online.errors import SnapshotError
from crm_online.log import Message, Record
from crm_online.models.active import new_models
from crm_online.models.editions import Editions
from crm_online.models.snapshots import ModelSnapshot
from crm_online.monitoring.quality import Quality
from crm_online.replica import Replica
from crm_online.scores import NextItemOutcome, Opened, Outcome, Settled, Source
from crm_online.settings import Settings

__all__ = ["Learner", "Slot"]

_decode: Final = msgspec.json.Decoder(Outcome).decode
Mark = tuple[int, int, int, float, str, int]


class Slot:
    """One model, how far it has read its one input topic, and what it has applied of each source.

    Parameters
    ----------
    name
        Under which snapshots are published.
    model
        Anything that pickles through the allow-list of snapshots.
    learn
        Teaches the model one outcome; tells whether it changed.
    key
        Signs the snapshots.
    heartbeat
        Publish also when nothing changed: readers see by it how far the learner has come.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        learn: Callable[[Any, Outcome], bool],
        key: bytes,
        *,
        heartbeat: bool = False,
    ) -> None:
        self.name = name
        self.model = model
        self.offset = -1
        self.changed = False
        self._heartbeat = heartbeat
        self._editions = Editions(name, key)
        self._learn = learn
        self._marks: dict[tuple[int, bool], Mark] = {}

    def apply(self, offset: int, outcome: Outcome) -> None:
        """Learn one outcome unless it was applied before, at this offset or as a repeat."""
        if offset <= self.offset:
            return
        self.offset = offset
        self.changed |= self._heartbeat
        touch = isinstance(outcome, NextItemOutcome)
        lane, mark = (outcome.source.partition, touch), _mark(outcome.customer_id, outcome.source)
        if mark <= self._marks.get(lane, (-1, -1, -1, 0.0, "", 0)):
            return
        self._marks[lane] = mark
        self.changed |= self._learn(self.model, outcome)

    def snapshot(self) -> tuple[Any, dict[tuple[int, bool], Mark]]:
        """Return what a snapshot holds: the model and its marks."""
        return self.model, self._marks

    def publish(self) -> list[Message]:
        """Return the messages of a signed snapshot as of now."""
        self.changed = False
        return self._editions.publish(self.offset, self.snapshot())

    def restore(self, snapshot: ModelSnapshot) -> None:
        """Go on from a snapshot."""
        self.model, self._marks = snapshot.model
        self.offset = snapshot.offset


class Learner:
    """Learns from ``crm.outcomes`` and ``crm.interactions``; publishes signed snapshots.

    A model's state is a function of its input topic alone: no clock, no random number and no
    boundary of a batch decides anything in it.

    Parameters
    ----------
    settings
        Of the whole program.

    Examples
    --------
    >>> learner = Learner(Settings())
    >>> [message.key for message in learner.publish()]
    []
    """

    def __init__(self, settings: Settings) -> None:
        key = settings.signing_key.get_secret_value().encode()
        models = new_models(settings)
        self.slots: dict[str, Slot] = {
            name: Slot(name, model, _LESSONS[name], key) for name, model in models.items()
        }
        self.slots["quality"] = Slot("quality", Quality(), _learn_quality, key, heartbeat=True)
        self.replica = Replica(settings)

    @property
    def quality(self) -> Quality:
        """Running figures over settled predictions."""
        found: Quality = self.slots["quality"].model
        return found

    def restore(self, snapshots: Iterable[ModelSnapshot]) -> dict[str, int]:
        """Go on from the newest snapshots; returns the next offset of each input topic."""
        for snapshot in snapshots:
            if snapshot.name == "next_item":
                self.replica.load(snapshot)
            elif snapshot.name in self.slots:
                self.slots[snapshot.name].restore(snapshot)
        first = min(slot.offset for slot in self.slots.values())
        return {"outcomes": first + 1, "interactions": self.replica.offset + 1}

    def process(self, noun: str, records: Sequence[Record]) -> None:
        """Learn from a batch of one of the two input topics.

        Parameters
        ----------
        noun
            ``"outcomes"`` or ``"interactions"``.
        records
            In log order.

        Raises
        ------
        SnapshotError
            Where a record is none of ours.
        """
        if noun == "interactions":
            self.replica.apply(records)
            return
        slots = list(self.slots.values())
        for record in records:
            outcome = _read(record)
            for slot in slots:
                slot.apply(record.offset, outcome)

    def publish(self) -> list[Message]:
        """Return signed snapshots of the models that changed, chunks before manifests."""
        messages = []
        for slot in self.slots.values():
            if slot.changed:
                messages += slot.publish()
        return messages

    def publish_next_item(self) -> list[Message]:
        """Return a signed snapshot of the session index, for scorers that start."""
        return self.replica.publish()


def _read(record: Record) -> Outcome:
    try:
        outcome: Outcome = _decode(record.value or b"")
    except msgspec.MsgspecError as error:
        raise SnapshotError(
            f"the outcome at offset {record.offset} is none that this version reads; "
            "check CRM_APP, or start the newer crm-online"
        ) from error
    return outcome


def _mark(customer: str, source: Source) -> Mark:
    return source.epoch, source.offset, source.step, source.due, customer, source.index


def _learn_churn(model: Any, outcome: Outcome) -> bool:
    if isinstance(outcome, Settled):
        model.learn_one(outcome.features, outcome.churned)
        return True
    return False


def _learn_value(model: Any, outcome: Outcome) -> bool:
    if isinstance(outcome, Settled):
        model.learn_one(outcome.features, outcome.spend)
        return True
    return False


def _learn_rfm(model: Any, outcome: Outcome) -> bool:
    if isinstance(outcome, Opened):
        model.learn_one(outcome.rfm)
        return True
    return False


def _learn_quality(model: Quality, outcome: Outcome) -> bool:
    if isinstance(outcome, Settled):
        model.learn_one(outcome)
    elif isinstance(outcome, NextItemOutcome):
        model.learn_touch(outcome)
    return not isinstance(outcome, Opened)


_LESSONS: Final = {
    "churn": _learn_churn,
    "value": _learn_value,
    "segments": _learn_rfm,
    "clusters": _learn_rfm,
}
