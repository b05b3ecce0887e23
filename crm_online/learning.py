"""Learner.process(noun, records): every outcome teaches each model once, in log order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from crm_online.customers.state import DAY
from crm_online.decoding import RecordDecoder
from crm_online.errors import EventRejected, SnapshotError
from crm_online.internal import Reset, read_directive, read_reset
from crm_online.log import Message, Record
from crm_online.models.active import new_models
from crm_online.models.challengers import CONTESTED, new_entries
from crm_online.models.contest import Contest
from crm_online.models.snapshots import ModelSnapshot, Place
from crm_online.monitoring.monitor import Monitor
from crm_online.monitoring.quality import Quality
from crm_online.monitoring.uplift import Uplift
from crm_online.replica import NEXT_ITEM, RERANKER, Replica, input_of
from crm_online.reports import Reports
from crm_online.scores import NextItemOutcome, Opened, Outcome, Settled, TreatmentSettled
from crm_online.settings import Settings
from crm_online.slots import ContestSlot, MonitorSlot, Slot, mark_of

__all__ = ["Learner", "Slot"]

_decode: Final[RecordDecoder[Outcome]] = RecordDecoder("outcomes", Outcome)
RESERVED: Final = b"\0"
_log = logging.getLogger(__name__)
NOWHERE: Final = (-1, -1)


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
        self.contests = {name: self._contest_slot(name) for name in CONTESTED}
        lessons = {
            name: Slot(name, model, _LESSONS[name], self._key, heartbeat=name == "quality")
            for name, model in self._new_models().items()
        }
        self.watch = MonitorSlot(self._new_monitor(), self._key)
        self.slots: dict[str, Slot] = {**self.contests, **lessons, "monitor": self.watch}
        self.replica = Replica(settings, teaches=True)
        self._reports = Reports(settings.app)
        self._reported: Place = NOWHERE

    def _new_monitor(self) -> Monitor:
        return Monitor(self._settings.prediction_interval_days * DAY)

    def _contest_slot(self, name: str) -> ContestSlot:
        entries = new_entries(self._settings, name)
        return ContestSlot(name, Contest(name, entries), entries, self._key)

    def _new_models(self) -> dict[str, Any]:
        others = {k: m for k, m in new_models(self._settings).items() if k not in CONTESTED}
        return {**others, "uplift": Uplift(), "quality": Quality()}

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
        found = {snapshot.name: snapshot for snapshot in snapshots}
        for name, snapshot in found.items():
            _check_input(snapshot, topics.get(input_of(name), ""))
        if NEXT_ITEM in found:
            self.replica.load(found[NEXT_ITEM])
        slots = list(self.slots.values())
        for slot in slots:
            slot.restore(found)
        for slot in (self.watch, self.slots["uplift"]):  # of which there may be no snapshot yet
            slot.begin_beside(self.slots["quality"])
        for slot in slots:
            slot.topic_id = topics.get("outcomes", "")
            slot.epoch = max(slot.epoch for slot in slots)  # one that was never published
        first = min(slot.offset for slot in slots)
        return {"outcomes": first + 1, "interactions": self.replica.offset + 1}

    def take_over(self, standing: Callable[[str], Iterable[tuple[Place, int]]]) -> None:
        """Remove the old snapshots of a learner before us, too; `standing` says what is there."""
        for slot in self.slots.values():
            slot.take_over(standing)
        self.replica.editions.go_on(standing(NEXT_ITEM))
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
            if record.key is not None and record.key[:1] == RESERVED:
                self._obey(record)
                continue
            outcome = _read(record)
            lane, mark = mark_of(outcome)
            for slot in slots:
                slot.apply(record.offset, outcome, lane, mark)
        self.watch.model.settle()

    def _obey(self, record: Record) -> None:
        reset = read_reset(record, self._key)
        try:
            directive = read_directive(record, self._key)
        except EventRejected as rejection:
            _log.error("%s, at offset %d of the outcomes", rejection, record.offset)
            return
        if reset is not None:
            self._start_anew(record.offset, reset)
        elif directive is not None:
            for slot in self.slots.values():
                slot.follow(record.offset, directive)
        else:
            _read(record)  # which says that it is none of ours

    def _start_anew(self, offset: int, reset: Reset) -> None:
        self.watch.model.settle()
        for name, model in {**self._new_models(), "monitor": self._new_monitor()}.items():
            self.slots[name].start_anew(offset, reset, model)
        for name, slot in self.contests.items():
            slot.start_anew(offset, reset, Contest(name, new_entries(self._settings, name)))

    def publish(self) -> list[Message]:
        """Return signed snapshots of the models that changed, chunks before manifests."""
        # Monitor and contests are new beside old snapshots where they have none of their own, so
        # the first ones of theirs must not come later than those.
        messages = self.watch.publish() if self.watch.changed and self.watch.unpublished else []
        for slot in self.slots.values():
            if slot.changed and slot is not self.watch:
                messages += slot.publish()
        return messages

    def publish_whole(self) -> list[Message]:
        """Return signed snapshots of the monitor and of all contestants, for a learner to come."""
        messages = self.watch.publish() if self.watch.changed else []
        return messages + [m for slot in self.contests.values() for m in slot.publish_whole()]

    def metrics(self) -> list[Message]:
        """Return the records of live quality, or nothing where no outcome came since."""
        place = self.watch.epoch, self.watch.offset
        if place == self._reported:
            return []
        self._reported = place
        contests = {name: slot.contest for name, slot in self.contests.items()}
        uplift = self.slots["uplift"].model
        return self._reports.messages(place, self.watch.model, self.quality, contests, uplift)

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


def _learn_uplift(model: Uplift, outcome: Outcome) -> bool:
    if not isinstance(outcome, Settled | TreatmentSettled):
        return False
    return model.learn_one(outcome) or bool(model.actions)


_LESSONS: Final = {
    "segments": _learn_rfm,
    "clusters": _learn_rfm,
    "quality": _learn_quality,
    "uplift": _learn_uplift,
}
