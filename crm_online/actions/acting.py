"""Actor.process(batch): from scores to actions, the second machine of its kind.

A partition's state is a function of its log alone: nothing here reads a clock, a random number or
the boundaries of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf

from crm_online.actions.inputs import Gone, NewRules, Read, read_record, time_of
from crm_online.actions.judging import Judge, Place
from crm_online.actions.memory import remember
from crm_online.actions.partition import RULES, ActionPartition, ActionRestore
from crm_online.actions.publishing import ActionSlice, Publisher
from crm_online.actions.state import ActionState
from crm_online.actions.triggers import Look, due_times
from crm_online.cloudevents import trace_of
from crm_online.log import Effects, Record
from crm_online.scores import ScoreUpdate, Source
from crm_online.settings import Settings

__all__ = ["Actor"]


class Actor:
    """Decides what marketing should do about the customers of the partitions it holds.

    Parameters
    ----------
    settings
        Of the whole program.

    Examples
    --------
    >>> actor = Actor(Settings())
    >>> actor.restore(0).finish(), actor.version(0)
    (0, '')
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = settings.signing_key.get_secret_value().encode()
        self._publisher = Publisher(settings)
        self._judge = Judge(settings, self._publisher)
        self.partitions: dict[int, ActionPartition] = {}

    @property
    def decided(self) -> Mapping[tuple[str, str], int]:
        """Action and status to how many decisions there were."""
        return self._publisher.decided

    def version(self, partition: int) -> str:
        """Return which rule set is in force in a partition; ``""`` where none is."""
        held = self.partitions.get(partition)
        return held.rules.version if held is not None and held.rules is not None else ""

    def restore(self, partition: int) -> ActionRestore:
        """Begin to hold a partition, from what its state topic says."""
        self.partitions[partition] = held = ActionPartition(partition)
        return ActionRestore(held)

    def forget(self, partition: int) -> None:
        """Drop all that is held of a partition."""
        self.partitions.pop(partition, None)

    def repeat(self, partition: int) -> Effects:
        """Return nothing: actions are not compacted, and each has one id wherever it stands."""
        self.partitions[partition].ahead = []
        return Effects()

    def correct(self, partition: int, noun: str, records: Sequence[Record]) -> Effects:
        """Put right what another worker wrote behind newer records of the state topic."""
        del noun  # the only compacted topic that is written to
        return Effects(snapshots=self.partitions[partition].right_ones(records))

    def process(self, partition: int, records: Sequence[Record]) -> Iterator[Effects]:
        """Apply one batch of a partition that is held, in slices of bounded numbers of timers.

        Parameters
        ----------
        partition
            Its number.
        records
            Of ``crm.scores``, in log order; those applied before are passed over.
        """
        held = self.partitions[partition]
        progress, batch = held.progress, ActionSlice(held)
        for record in records:
            if record.offset <= progress.as_of:
                continue
            read = read_record(record, self._key)
            if isinstance(read, NewRules) and batch.events:  # so that one slice knows one rule set
                yield self._end(batch)
                batch = ActionSlice(held)
            watermark = max(time_of(read), progress.watermark)
            while self._release(batch, record, watermark):
                yield self._end(batch)
                batch = ActionSlice(held)
            progress.watermark = watermark
            if read is not None:
                self._apply(batch, record, read)
            batch.events += 1
            progress.as_of = record.offset
        yield self._end(batch)

    def _end(self, batch: ActionSlice) -> Effects:
        batch.partition.rate.pass_by((*batch.partition.passed, inf, ""))
        return self._publisher.effects(batch)

    def _apply(self, batch: ActionSlice, record: Record, read: Read) -> None:
        held = batch.partition
        place = held.place(2.0 * record.offset + 1.0)
        held.progress.events += 1
        if isinstance(read, NewRules):
            held.rules = read.rules
            batch.live[RULES] = ActionState(epoch=place[0], as_of=place[1], rules=read.rules.text)
        elif isinstance(read, Gone):
            state = batch.state(read.customer)
            if state is not None and state.place < place:
                batch.live.pop(read.customer, None)
                batch.gone[read.customer] = place[1]
        elif isinstance(read, ScoreUpdate) and held.rules is not None and held.rules.rules:
            self._apply_score(batch, record, read)

    def _apply_score(self, batch: ActionSlice, record: Record, score: ScoreUpdate) -> None:
        held, customer = batch.partition, score.customer_id
        place = held.place(2.0 * record.offset + 1.0)
        state = batch.state(customer)
        if state is None:
            if held.has_gone(customer, place):
                return
            state = ActionState()
        elif state.place >= place:
            return
        batch.live[customer] = state
        batch.gone.pop(customer, None)
        state.epoch, state.as_of = place
        source = score.source
        mark = source.epoch, source.offset, source.step, source.due, source.index
        if mark > state.mark:
            if score.cause != "rescoring":
                state.mark = mark
                self._act_on(batch, record, score, state)
        else:
            held.progress.duplicates += 1
        due = self._next_due(held, state)
        if due < state.next_due:  # else the entry that stands leads on to the new time
            held.timers.push(due, customer)
        state.next_due = due

    def _act_on(
        self, batch: ActionSlice, record: Record, score: ScoreUpdate, state: ActionState
    ) -> None:
        held = batch.partition
        progress, force = held.progress, self._judge.force(held)
        look = remember(state, score, progress.watermark)
        state.levels = {key: at for key, at in state.levels.items() if key in force.keys}
        age = record.timestamp / 1000.0 - score.at.timestamp()
        missing = record.offset - progress.as_of - 1
        if missing and progress.as_of >= 0:  # compacted away: what it meant is not known any more
            progress.own["missed"] = progress.own.get("missed", 0) + missing
        source = Source(progress.epoch, held.number, record.offset)
        place = Place(source, state.as_of, look.now, age)
        batch.trace = trace_of(record)
        self._judge.ask(batch, score.customer_id, look, place, silent=missing > 0)

    def _release(self, batch: ActionSlice, record: Record, watermark: float) -> bool:
        """Fire every timer that the watermark is strictly past, in the order (due, customer).

        Returns whether the slice is full while timers may be left.
        """
        held = batch.partition
        timers, place = held.timers, held.place(2.0 * record.offset)
        ahead: list[tuple[float, str]] = []
        while batch.fired < self._settings.max_batch:
            entry = timers.pop_before(watermark)
            if entry is None:
                break
            due, customer = entry
            state = batch.state(customer)
            if state is None or state.next_due < due:
                continue
            if state.next_due > due:
                timers.push(state.next_due, customer)
            elif state.place > place:  # a replay: this snapshot comes from further on in the log
                ahead.append(entry)
            else:
                self._fire(batch, customer, state, record)
        for entry in ahead:
            timers.push(*entry)
        return batch.fired >= self._settings.max_batch

    def _fire(self, batch: ActionSlice, customer: str, state: ActionState, record: Record) -> None:
        held, due = batch.partition, state.next_due
        progress = held.progress
        batch.fired += 1
        batch.live[customer] = state
        state.epoch, state.as_of = held.place(2.0 * record.offset)
        if held.rules is not None:
            now = max(due, progress.watermark)
            source = Source(progress.epoch, held.number, record.offset, 0, due)
            place = Place(source, state.as_of, now, record.timestamp / 1000.0 - due)
            look = Look(state, now)
            batch.trace = b""
            self._judge.let_go(batch, customer, look, place)
            self._judge.ask(batch, customer, look, place)
        state.next_due = self._next_due(held, state)
        if state.next_due < inf:
            held.timers.push(state.next_due, customer)  # the entry that fired is gone

    def _next_due(self, held: ActionPartition, state: ActionState) -> float:
        force, look = self._judge.force(held), Look(state, 0.0)
        due = [each.due for each in state.held]
        due += [at for rule in force.ordered for at in due_times(rule, look)]
        return min(due, default=inf)
