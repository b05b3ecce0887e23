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
    as_of: int


class States:
    """Takes the state topic record by record; of each key, what was applied furthest counts."""

    def __init__(self) -> None:
        self.applied: dict[int, int] = {}
        self._held: dict[str, tuple[Place, bytes | None]] = {}

    def apply(self, partition: int, records: Sequence[Record]) -> None:
        """Take records of one partition, in any order."""
        for record in records:
            key = record.key or b"\0"
            if key == PROGRESS_KEY and record.value:
                as_of = msgspec.json.decode(record.value, type=_Progress).as_of
                self.applied[partition] = max(as_of, self.applied.get(partition, -1))
            elif key[:1] != b"\0":
                self._take(key.decode(), record)

    def _take(self, customer: str, record: Record) -> None:
        if record.value is None:
            epoch, _, as_of = dict(record.headers)["as_of"].decode().partition(":")
            place = int(epoch), float(as_of)
        else:
            place = peek(record.value)[:2]
        kept = self._held.get(customer)
        if kept is None or place >= kept[0]:
            self._held[customer] = place, record.value

    def facts(self) -> dict[str, bytes]:
        """Return the customers who live, each field by field."""
        return {c: state_facts(decode_state(v)) for c, (_, v) in self._held.items() if v}

    def offered(self) -> dict[str, bool]:
        """Return the customers who live, and whether their states know of a list."""
        return {c: bool(decode_state(v).offered) for c, (_, v) in self._held.items() if v}
