"""The sequential half of scoring: one record after the other, timers first, no model in sight.

A partition's state is a function of its log alone: nothing here reads a clock, a model, a
random number or the boundaries of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from crm_online.cleaning import CURRENCY_UNKNOWN, Cleaning, read_event
from crm_online.cloudevents import trace_of
from crm_online.customers.dedupe import is_duplicate
from crm_online.customers.partition import Partition
from crm_online.customers.state import DAY, CustomerState, Rules, apply_event
from crm_online.customers.treated import Treated
from crm_online.deciding import INTERNAL_TYPES, Treatment, read_treatment
from crm_online.errors import EventRejected
from crm_online.events import CustomerEvent
from crm_online.internal import TICK_TYPE, read_tick
from crm_online.kinds import ACTIVITY, INTERACTION, KIND, KINDS, ORDER
from crm_online.labels import Schedule, fire, next_due, wake
from crm_online.log import Record
from crm_online.money import Money
from crm_online.scores import Interaction, Source
from crm_online.settings import Settings
from crm_online.slices import Moment, Slice, Touch

__all__ = ["Stepper"]

MAX_TREATMENTS: Final = 32  # of a customer, awaiting their outcome
Read = CustomerEvent | Treatment | float


class Stepper:
    """Applies records to partitions by the rules of the settings.

    Parameters
    ----------
    settings
        Of the whole program.
    """

    def __init__(self, settings: Settings) -> None:
        kinds = settings.activity_kinds
        self._rules: Final = Rules(
            ACTIVITY if kinds is None else frozenset(KIND[name] for name in kinds),
            settings.churn_on == "order",
            settings.session_gap_minutes * 60.0,
            Money(settings.currency, settings.rates),
            frozenset(settings.kept_traits),
        )
        self._schedule: Final = Schedule.of(settings)
        self._settings: Final = settings
        self._cleaning: Final = Cleaning.of(settings)
        self._lateness: Final = settings.allowed_lateness_days * DAY
        self._key: Final = settings.signing_key.get_secret_value().encode()

    def step(self, partition: Partition, records: Sequence[Record]) -> Iterator[Slice]:
        """Apply a batch in order, in slices of bounded numbers of timers.

        A slice that ends in the middle of a record holds only timers that it released; its
        ``as_of`` is the record before. The caller stores a slice before it asks for the next.
        """
        batch = Slice(partition, partition.progress.as_of)
        for record in records:
            if record.offset <= partition.progress.as_of:
                continue
            read = self._read(batch, record)
            if read is not None:
                at = read if isinstance(read, float) else read.at
                if isinstance(read, Treatment):
                    at = 0.0  # what act decided moves no time
                while self._release(batch, record, max(at, partition.progress.watermark)):
                    yield batch
                    batch = Slice(partition, batch.as_of)
                self._apply(batch, record, read)
            batch.events += 1
            batch.as_of = partition.progress.as_of = record.offset
        yield batch

    def _read(self, batch: Slice, record: Record) -> Read | None:
        """Decode one record: an event, the time of a tick, or nothing for a dead letter."""
        try:
            if record.headers:
                kind = dict(record.headers).get("ce_type")
                if kind in INTERNAL_TYPES:
                    read = read_tick if kind == TICK_TYPE else read_treatment
                    return read(record, self._key)
            _refuse_reserved(record.key)
            event = read_event(
                record.value or b"", record.timestamp / 1000.0, self._cleaning, record.key
            )
        except EventRejected as rejection:
            batch.rejected.append((record, rejection))
            batch.partition.progress.rejected += 1
            return None
        if event.cleaned:
            batch.cleaned.append((record, event.cleaned))
        if event.revenue and not self._rules.money.knows(event.currency):
            batch.cleaned.append((record, (CURRENCY_UNKNOWN,)))
        return event

    def _release(self, batch: Slice, record: Record, watermark: float) -> bool:
        """Fire every timer that the watermark is strictly past, in the order (due, customer).

        Returns whether the slice is full while timers may be left.
        """
        timers, place = batch.partition.timers, batch.partition.place(2.0 * record.offset)
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
                self._fire(batch, customer, state, record, watermark)
        for entry in ahead:
            timers.push(*entry)
        return batch.fired >= self._settings.max_batch

    def _fire(
        self, batch: Slice, customer: str, state: CustomerState, record: Record, watermark: float
    ) -> None:
        due, progress = state.next_due, batch.partition.progress
        fired = fire(state, watermark, self._schedule)
        state.move_to(batch.partition.place(2.0 * record.offset))
        batch.fired += 1
        source = Source(progress.epoch, batch.partition.number, record.offset, 0, due)
        moment = Moment.of(state, customer, due, "timer", source)
        batch.settled.extend((moment, settlement) for settlement in fired.settled)
        batch.treated.extend((moment, settlement) for settlement in fired.treated)
        if fired.expired:
            batch.live.pop(customer, None)
            batch.expired[customer] = state.as_of
            return
        batch.live[customer] = state
        batch.partition.timers.push(state.next_due, customer)
        if fired.opened is not None:
            state.scored_as_of = state.as_of
            batch.opened.append((batch.add_moment(state, moment), fired.opened))

    def _apply(self, batch: Slice, record: Record, read: Read) -> None:
        progress = batch.partition.progress
        if isinstance(read, float):
            progress.watermark = max(progress.watermark, read)
            batch.ticks.append((record, read))
            return
        if isinstance(read, Treatment):
            self._treat(batch, record, read)
            return
        progress.events += 1
        behind = progress.watermark - read.at
        progress.late += behind > 0.0
        if behind <= 0.0:  # only the newest event tells how live the partition is
            progress.lag = max(record.timestamp / 1000.0 - read.at, 0.0)
        progress.watermark = max(progress.watermark, read.at)
        place = batch.partition.place(2.0 * record.offset + 1.0)
        state = batch.state(read.customer)
        if state is None:
            if batch.partition.has_gone(read.customer, place):
                return
            state = CustomerState()
        elif state.place >= place:
            return
        batch.live[read.customer] = state
        batch.expired.pop(read.customer, None)
        state.move_to(place)
        if is_duplicate(state.recent_ids, read.message_id, max(read.at, state.last_seen)):
            progress.duplicates += 1
        elif behind > self._lateness:
            progress.too_late += 1
        else:
            self._apply_event(batch, record, read, state)
        self._reschedule(batch.partition, read.customer, state)

    def _treat(self, batch: Slice, record: Record, read: Treatment) -> None:
        """Take note of an action, whose outcome is then awaited; a repeat changes nothing."""
        place = batch.partition.place(2.0 * record.offset + 1.0)
        state = batch.state(read.customer)
        if state is None or state.place >= place or read.source <= state.treated:
            return
        batch.live[read.customer] = state
        state.move_to(place)
        state.treated = read.source
        if len(state.treatments) < MAX_TREATMENTS:
            state.treatments.append(
                Treated(
                    read.action_id,
                    read.action,
                    read.period,
                    read.control,
                    read.at,
                    state.spend,
                    read.share,
                    read.first,
                )
            )
        self._reschedule(batch.partition, read.customer, state)

    def _apply_event(
        self, batch: Slice, record: Record, event: CustomerEvent, state: CustomerState
    ) -> None:
        progress = batch.partition.progress
        source = Source(progress.epoch, batch.partition.number, record.offset)
        touches = bool(event.items) and event.kind in INTERACTION and event.at >= state.last_seen
        known = frozenset(state.bought) if touches and event.kind == ORDER else frozenset()
        if touches:
            self._settle_touch(batch, event, state, source)
        apply_event(state, event, self._rules)
        wake(state, self._schedule)
        moment = Moment.of(state, event.customer, event.at, "event", source, event)
        if record.headers:
            moment.trace = trace_of(record)
        state.scored_as_of = state.as_of
        batch.add_moment(state, moment)
        if touches:
            batch.interactions.extend(_interactions(event, record.offset, state.session, known))
        if touches or not state.offered:
            batch.wanted[event.customer] = moment

    def _settle_touch(
        self, batch: Slice, event: CustomerEvent, state: CustomerState, source: Source
    ) -> None:
        """Settle a list by the first item touched after it in the same session."""
        offered, state.offered = state.offered, ()
        same = state.offered_session == state.session and state.session_items > 0
        if offered and same and 0.0 <= event.at - state.last_touch < self._rules.session_gap:
            item = event.items[0].product_id
            batch.touches.append(
                Touch(
                    event.customer,
                    event.at,
                    source,
                    state.session,
                    item,
                    offered,
                    state.offered_model,
                )
            )

    def _reschedule(self, partition: Partition, customer: str, state: CustomerState) -> None:
        due = next_due(state, self._schedule)
        if due < state.next_due:
            partition.timers.push(due, customer)
        state.next_due = due


def _refuse_reserved(key: bytes | None) -> None:
    if key is not None and key[:1] == b"\0":
        raise EventRejected("reserved-key", "keys that begin with a zero byte are internal")


def _interactions(
    event: CustomerEvent, offset: int, session: int, known: frozenset[str]
) -> list[Interaction]:
    return [
        Interaction(
            offset,
            index,
            event.customer,
            session,
            item.product_id,
            KINDS[event.kind],
            event.at,
            item.category,
            item.product_id in known,
        )
        for index, item in enumerate(event.items)
    ]
