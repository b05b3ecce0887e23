"""The customers on the state topic, as a new owner of their partitions would find them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from crm_online.customers.store import decode_state, peek
from crm_online.internal import PROGRESS_KEY
from streams.verify.facts import state_facts

if TYPE_CHECKING:
    from crm_online.log import Record

__all__ = ["States"]

Place = tuple[int, float]


class _Progress(msgspec.Struct):
    epoch: int
    as_of: int


class States:
    """Takes the state topic record by record; of each key, what was applied furthest counts."""

    def __init__(self) -> None:
        self.applied: dict[int, int] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self._held: dict[str, tuple[Place, bytes | None]] = {}
        self._final: dict[str, tuple[Place, bytes | None]] = {}

    def __len__(self) -> int:
        """Return how many customers stand on the topic, removed ones included."""
        return len(self._held)

    def apply(self, partition: int, records: Sequence[Record]) -> None:
        """Take records of one partition, in log order."""
        for record in records:
            key = record.key or b"\0"
            if key == PROGRESS_KEY and record.value:
                read = msgspec.json.decode(record.value, type=_Progress)
                place = read.epoch, read.as_of
                if place >= self._places.get(partition, (0, -1)):
                    self._places[partition], self.applied[partition] = place, read.as_of
            elif key[:1] != b"\0":
                self._take(key.decode(), record)

    def _take(self, customer: str, record: Record) -> None:
        if record.value is None:
            epoch, _, as_of = dict(record.headers)["as_of"].decode().partition(":")
            place = int(epoch), float(as_of)
        else:
            place = peek(record.value)[:2]
        self._final[customer] = place, record.value
        kept = self._held.get(customer)
        if kept is None or place >= kept[0]:
            self._held[customer] = place, record.value

    def facts(self) -> dict[str, bytes]:
        """Return the customers who live, each field by field."""
        return {c: state_facts(decode_state(v)) for c, (_, v) in self._held.items() if v}

    def stale(self) -> list[tuple[str, Place, Place]]:
        """Return the customers whose last record is not their newest, with the places of both.

        One removal is as good as another.
        """
        pairs = ((c, *self._final[c], *newest) for c, newest in self._held.items())
        return [
            (c, at, place) for c, at, last, place, held in pairs if at != place and (last or held)
        ]

    def offered(self) -> dict[str, bool]:
        """Return the customers who live, and whether their states know of a list."""
        return {c: bool(decode_state(v).offered) for c, (_, v) in self._held.items() if v}
