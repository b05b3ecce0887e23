"""One model of the learner: how far it has read its input, what it applied, what it publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from crm_online.internal import Directive, Reset
from crm_online.log import Message
from crm_online.models.contest import Contest, Entry
from crm_online.models.editions import Editions
from crm_online.models.snapshots import ModelSnapshot, Place, tombstones
from crm_online.monitoring.monitor import Monitor
from crm_online.scores import NextItemOutcome, Outcome, Settled, Source

__all__ = [
    "WHOLE",
    "ContestSlot",
    "Lane",
    "Mark",
    "MonitorSlot",
    "Slot",
    "mark_of",
    "whole_name",
]

WHOLE: Final = "_contest"

Lane = tuple[int, bool]
Mark = tuple[int, int, int, float, str, int]
Lesson = Callable[[Any, Outcome], bool]
NEVER: Final[Mark] = (-1, -1, -1, 0.0, "", 0)
UNPUBLISHED: Final = (0, -1)


def mark_of(outcome: Outcome) -> tuple[Lane, Mark]:
    """Return the stream of effects that an outcome belongs to, and its place in it."""
    source: Source = outcome.source
    place = source.epoch, source.offset, source.step, source.due, outcome.customer_id, source.index
    return (source.partition, type(outcome) is NextItemOutcome), place


def whole_name(model: str) -> str:
    """Name the snapshot that holds all contestants of a model."""
    return model + WHOLE


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
        self, name: str, model: Any, learn: Lesson, key: bytes, *, heartbeat: bool = False
    ) -> None:
        self.name = name
        self.model = model
        self.epoch = 0
        self.offset = -1
        self.topic_id = ""
        self.changed = False
        self.restored = False
        self._heartbeat = heartbeat
        self.editions: Final = Editions(name, key)
        self._learn = learn
        self.marks: dict[Lane, Mark] = {}

    def apply(self, offset: int, outcome: Outcome, lane: Lane, mark: Mark) -> None:
        """Learn one outcome unless it was applied before, at this offset or as a repeat.

        Parameters
        ----------
        offset
            Of its record.
        outcome
            The record.
        lane, mark
            From `mark_of`.
        """
        if offset <= self.offset:
            return
        self.offset = offset
        self.changed |= self._heartbeat
        if mark <= self.marks.get(lane, NEVER):
            return
        self.marks[lane] = mark
        self.changed |= self._learn(self.model, outcome)

    def start_anew(self, offset: int, reset: Reset, model: Any) -> None:
        """Forget all, and pass over what still comes of lower epochs; once for each epoch."""
        if offset <= self.offset:
            return
        self.offset, self.changed = offset, True
        mark = (reset.epoch, *NEVER[1:])
        lanes = [(p, touch) for p in range(reset.partitions) for touch in (False, True)]
        if any(self.marks.get(lane, NEVER) < mark for lane in lanes):
            self._replace(model)
            self.marks = dict.fromkeys(lanes, mark)

    def _replace(self, model: Any) -> None:
        self.model = model

    def follow(self, offset: int, directive: Directive) -> None:
        """Pass over what an operator wants of another model."""
        del directive
        if offset > self.offset:
            self.offset = offset
            self.changed |= self._heartbeat

    def snapshot(self) -> tuple[Any, dict[Lane, Mark]]:
        """Return what a snapshot holds: the model and its marks."""
        return self.model, self.marks

    def publish(self) -> list[Message]:
        """Return the messages of a signed snapshot as of now; none while a newer one stands."""
        self.changed = False
        if (self.epoch, self.offset) < self.editions.newest:
            return []  # learned again, up to where a predecessor was
        return self._publish(self.editions, self.snapshot())

    def _publish(self, editions: Editions, held: object) -> list[Message]:
        return editions.publish(self.offset, held, epoch=self.epoch, topic_id=self.topic_id)

    def restore(self, found: Mapping[str, ModelSnapshot]) -> None:
        """Go on from the newest snapshots, by name; where there is none of ours, stay as we are."""
        if self.name in found:
            self._restore(found[self.name])

    def _restore(self, snapshot: ModelSnapshot) -> None:
        self.restored = True
        self.model, self.marks = snapshot.model
        self.epoch, self.offset = snapshot.place

    def begin_beside(self, other: Slot) -> None:
        """Where no snapshot is there but that of an older slot, begin where that one stands."""
        if not self.restored and other.restored:
            self.epoch, self.offset, self.marks = other.epoch, other.offset, dict(other.marks)

    def take_over(self, standing: Callable[[str], Iterable[tuple[Place, int]]]) -> None:
        """Remove the old snapshots of a learner before us, too; `standing` says what is there."""
        self.editions.go_on(standing(self.name))


class MonitorSlot(Slot):
    """Live quality: collects outcomes, and takes them in at the end of each batch.

    Parameters
    ----------
    monitor
        New.
    key
        Signs the snapshots.
    """

    def __init__(self, monitor: Monitor, key: bytes) -> None:
        super().__init__("monitor", monitor, self._note, key)

    def _note(self, monitor: Any, outcome: Outcome) -> bool:
        monitor.learn_one(outcome, self.offset)
        return True

    @property
    def unpublished(self) -> bool:
        """Whether no snapshot of it stands anywhere."""
        return self.editions.newest == UNPUBLISHED


class ContestSlot(Slot):
    """A model with challengers: scorers get the champion, a learner that starts gets them all.

    Parameters
    ----------
    name
        Under which the champion is published.
    contest
        Untaught.
    entries
        Contestants as the settings have them now.
    key
        Signs the snapshots.
    """

    def __init__(
        self, name: str, contest: Contest, entries: Mapping[str, Entry], key: bytes
    ) -> None:
        super().__init__(name, contest.model, self._compete, key)
        self.contest = contest
        self._entries = entries
        self.whole: Final = Editions(whole_name(name), key)
        self.whole_changed = False
        self._dissolved: list[tuple[Place, int]] = []

    def _compete(self, _: Any, outcome: Outcome) -> bool:
        if not isinstance(outcome, Settled):
            return False
        self.contest.learn_one(outcome, self.offset)
        self.model = self.contest.model
        self.whole_changed = True
        return True

    def _replace(self, model: Any) -> None:
        self.contest, self.model = model, model.model
        self.whole_changed = True

    def follow(self, offset: int, directive: Directive) -> None:
        """Do what an operator wants of this model; pass over what they want of another."""
        if offset > self.offset and directive.model == self.name:
            self.contest.direct(directive.action, directive.name, offset)
            self.model = self.contest.model
            self.changed = self.whole_changed = True
        super().follow(offset, directive)

    def publish(self) -> list[Message]:
        """Return the champion, behind the whole contest where that was never published."""
        messages = [*self._remove_dissolved()]
        if not self.contest.alone and self.whole.newest == UNPUBLISHED:
            messages += self.publish_whole()
        return messages + super().publish()

    def publish_whole(self) -> list[Message]:
        """Return the snapshot of all contestants, unless there are no challengers, or no news."""
        news, self.whole_changed = self.whole_changed, False
        if self.contest.alone or not news or (self.epoch, self.offset) < self.whole.newest:
            return []
        return self._publish(self.whole, (self.contest, self.marks))

    def restore(self, found: Mapping[str, ModelSnapshot]) -> None:
        """Go on with all contestants, else with the champion that a snapshot holds."""
        whole = found.get(whole_name(self.name))
        if whole is not None and not self.contest.alone:
            self._restore(whole)
            self.contest = self.model
        elif self.name in found:
            self._restore(found[self.name])
            self.contest.take(self.model, self.offset)
            self.whole_changed = True
        if not self.contest.alone:
            self.contest.reconcile(self._entries, self.offset)
        self.model = self.contest.model

    def take_over(self, standing: Callable[[str], Iterable[tuple[Place, int]]]) -> None:
        """Go on removing old snapshots, and remove a contest that settings know no more."""
        super().take_over(standing)
        found = list(standing(whole_name(self.name)))
        if self.contest.alone:
            self._dissolved = found
        else:
            self.whole.go_on(found)

    def _remove_dissolved(self) -> list[Message]:
        gone, self._dissolved = self._dissolved, []
        if not gone:
            return []
        name = whole_name(self.name)
        chunks = [m for (e, o), n in gone for m in tombstones(name, o, n, e)]
        return [Message(name.encode(), None), *chunks]
