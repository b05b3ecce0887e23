"""Learner.process(noun, records): every outcome teaches each model once, in log order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from crm_online.decoding import RecordDecoder
from crm_online.errors import SnapshotError
from crm_online.internal import Reset, read_reset
from crm_online.log import Message, Record
from crm_online.models.active import new_models
from crm_online.models.editions import Editions
from crm_online.models.snapshots import ModelSnapshot, Place
from crm_online.monitoring.quality import Quality
from crm_online.replica import RERANKER, Replica
from crm_online.scores import NextItemOutcome, Opened, Outcome, Settled, Source
from crm_online.settings import Settings

__all__ = ["Learner", "Slot"]

_decode: Final[RecordDecoder[Outcome]] = RecordDecoder("outcomes", Outcome)
Mark = tuple[int, int, int, float, str, int]
NEVER: Final[Mark] = (-1, -1, -1, 0.0, "", 0)


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
        self.epoch = 0
        self.offset = -1
        self.topic_id = ""
        self.changed = False
        self._heartbeat = heartbeat
        self.editions: Final = Editions(name, key)
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
        if mark <= self._marks.get(lane, NEVER):
            return
        self._marks[lane] = mark
        self.changed |= self._learn(self.model, outcome)

    def start_anew(self, offset: int, reset: Reset, model: Any) -> None:
        """Forget all, and pass over what still comes of lower epochs; once for each epoch."""
        if offset <= self.offset:
            return
        self.offset, self.changed = offset, True
        mark = (reset.epoch, *NEVER[1:])
        lanes = [(p, touch) for p in range(reset.partitions) for touch in (False, True)]
        if any(self._marks.get(lane, NEVER) < mark for lane in lanes):
            self.model, self._marks = model, dict.fromkeys(lanes, mark)

    def snapshot(self) -> tuple[Any, dict[tuple[int, bool], Mark]]:
        """Return what a snapshot holds: the model and its marks."""
        return self.model, self._marks

    def publish(self) -> list[Message]:
        """Return the messages of a signed snapshot as of now."""
        self.changed = False
        return self.editions.publish(
            self.offset, self.snapshot(), epoch=self.epoch, topic_id=self.topic_id
        )

    def restore(self, snapshot: ModelSnapshot) -> None:
        """Go on from a snapshot."""
        self.model, self._marks = snapshot.model
        self.epoch, self.offset = snapshot.place


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
        self._settings = settings
        self._key = settings.signing_key.get_secret_value().encode()
        self.slots: dict[str, Slot] = {
            name: Slot(name, model, _LESSONS[name], self._key, heartbeat=name == "quality")
            for name, model in self._new_models().items()
        }
        self.replica = Replica(settings, teaches=True)

    def _new_models(self) -> dict[str, Any]:
        return {**new_models(self._settings), "quality": Quality()}

    @property
    def quality(self) -> Quality:
        """Running figures over settled predictions."""
        found: Quality = self.slots["quality"].model
        return found

    def restore(
        self, snapshots: Iterable[ModelSnapshot], topics: Mapping[str, str] | None = None
    ) -> dict[str, int]:
        """Go on from the newest snapshots; returns the next offset of each input topic.

        Parameters
        ----------
        snapshots
            One of each model at the most.
        topics
            ``"outcomes"`` and ``"interactions"`` to Kafka's ids of these topics, as far as known.

        Raises
        ------
        SnapshotError
            Where a snapshot was made from another topic.
        """
        topics = topics or {}
        self.replica.topic_id = topics.get("interactions", "")
        for snapshot in snapshots:
            if snapshot.name == "next_item":
                _check_input(snapshot, self.replica.topic_id)
                self.replica.load(snapshot)
            elif snapshot.name in self.slots:
                _check_input(snapshot, topics.get("outcomes", ""))
                self.slots[snapshot.name].restore(snapshot)
        slots = list(self.slots.values())
        for slot in slots:
            slot.topic_id = topics.get("outcomes", "")
            slot.epoch = max(slot.epoch for slot in slots)  # one that was never published
        first = min(slot.offset for slot in slots)
        return {"outcomes": first + 1, "interactions": self.replica.offset + 1}

    def take_over(self, standing: Callable[[str], Iterable[tuple[Place, int]]]) -> None:
        """Remove the old snapshots of a learner before us, too; `standing` says what is there."""
        for name, slot in self.slots.items():
            slot.editions.go_on(standing(name))
        self.replica.editions.go_on(standing("next_item"))
        self.replica.ranker_editions.go_on(standing(RERANKER))

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
            reset = read_reset(record, self._key)
            if reset is not None:
                self._start_anew(record.offset, reset)
                continue
            outcome = _read(record)
            for slot in slots:
                slot.apply(record.offset, outcome)

    def _start_anew(self, offset: int, reset: Reset) -> None:
        for name, model in self._new_models().items():
            self.slots[name].start_anew(offset, reset, model)

    def publish(self) -> list[Message]:
        """Return signed snapshots of the models that changed, chunks before manifests."""
        messages = []
        for slot in self.slots.values():
            if slot.changed:
                messages += slot.publish()
        return messages

    def publish_next_item(self) -> list[Message]:
        """Return a signed snapshot of the whole next-item model, for whoever starts."""
        return self.replica.publish()

    def publish_ranker(self) -> list[Message]:
        """Return the signed weights of the next-item re-ranker, for scorers that run."""
        return self.replica.publish_ranker()


def _read(record: Record) -> Outcome:
    try:
        outcome: Outcome = _decode(record.value or b"")
    except msgspec.MsgspecError as error:
        raise SnapshotError(
            f"the outcome at offset {record.offset} is none that this version reads; "
            "check CRM_APP, or start the newer crm-online"
        ) from error
    return outcome


def _check_input(snapshot: ModelSnapshot, topic_id: str) -> None:
    if snapshot.topic_id and topic_id and snapshot.topic_id != topic_id:
        raise SnapshotError(
            f"{snapshot.version} was made from another topic than the one that is there now (id "
            f"{snapshot.topic_id}, not {topic_id}): stop all workers and run `crm-online adopt` "
            "to go on with the models, or `crm-online reset` to learn anew"
        )


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
    "quality": _learn_quality,
}
