"""Customers to be scored again, because older records may stand behind theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from crm_online.customers.partition import Partition
from crm_online.customers.state import CustomerState
from crm_online.log import Record
from crm_online.scores import Source
from crm_online.slices import AFTER_TIMERS, Moment, Slice

__all__ = ["place_of_output", "rescoring", "those_ahead"]


class _Placed(msgspec.Struct, gc=False):
    source: Source


_placed: Final = msgspec.json.Decoder(_Placed).decode
_source: Final = msgspec.json.Decoder(Source).decode


def place_of_output(record: Record) -> tuple[int, float]:
    """Return how far in the log a score, a list or its removal stands: epoch, then ``as_of``."""
    if record.value is None:
        source = _source(dict(record.headers)["source"])
    else:
        source = _placed(record.value).source
    return source.epoch, source.as_of


def rescoring(held: Partition, noun: str, records: Sequence[Record]) -> Slice:
    """Return a slice in which every customer with a newer score or list is scored again.

    A worker that woke up wrote these records.

    Parameters
    ----------
    held
        The partition, as it stands.
    noun
        ``"scores"`` or ``"recommendations"``.
    records
        Of that topic, the last of each customer.
    """
    batch = Slice(held, held.progress.as_of)
    for record in records:
        if record.key is None or record.key[:1] == b"\0":
            continue
        customer, place = record.key.decode(), place_of_output(record)
        state = held.store.load(customer)
        if state is None:
            if record.value is not None:
                _remove(batch, customer, place)
            continue
        written = state.scored_as_of if noun == "scores" else state.offered_as_of
        if place < (state.epoch, written):
            _score(batch, customer, state)
    return batch


def those_ahead(held: Partition) -> Slice:
    """Return a slice in which those are scored, or removed, again who are ahead of a partition.

    Parameters
    ----------
    held
        The partition, just restored.
    """
    batch = Slice(held, held.progress.as_of)
    _, passed = held.passed
    for customer in held.ahead:
        state = held.store.load(customer)
        if state is not None and state.scored_as_of > passed:
            _score(batch, customer, state)
    for customer, (epoch, as_of) in held.gone.items():
        if epoch == held.progress.epoch:
            batch.expired[customer] = as_of
    held.ahead = []
    return batch


def _remove(batch: Slice, customer: str, place: tuple[int, float]) -> None:
    passed = batch.partition.place(2.0 * batch.partition.progress.as_of)
    removed = max(passed, batch.partition.gone.get(customer, passed))
    if place < removed:
        batch.expired[customer] = removed[1]


def _score(batch: Slice, customer: str, state: CustomerState) -> None:
    """Score a customer as of their last score, in order right behind it."""
    offset, step = divmod(int(state.scored_as_of), 2)
    due = 0.0 if step else AFTER_TIMERS
    source = Source(state.epoch, batch.partition.number, offset, step, due, index=1)
    at = max([state.last_seen, *[prediction.opened for prediction in state.predictions]])
    moment = Moment.of(state, customer, at, "rescoring", source)
    batch.live[customer] = state
    batch.add_moment(state, moment)
    if state.offered:
        batch.wanted[customer] = moment
