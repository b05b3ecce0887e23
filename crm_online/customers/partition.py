"""One partition of the event log: its customers, its timers, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Final

import numpy as np

from crm_online.customers.progress import Progress, progress_message, read_progress
from crm_online.customers.store import Store, peek, peek_many
from crm_online.customers.timers import Timers
from crm_online.internal import PROGRESS_KEY
from crm_online.log import Header, Message, Origin, Record

__all__ = ["Partition", "PartitionRestore", "place_of", "tombstone"]

NOWHERE: Final = (-1, -1.0)


def tombstone(customer: str, epoch: int, as_of: float) -> Message:
    """Make the record that removes a customer, telling when."""
    return Message(customer.encode(), None, [("as_of", f"{epoch}:{as_of:.0f}".encode())])


def place_of(record: Record | Message) -> tuple[int, float]:
    """Return how far in the log a record of the state topic stands: epoch, then ``as_of``."""
    if record.value is None:
        epoch, _, as_of = dict(record.headers).get("as_of", b"0:-1").decode().partition(":")
        return int(epoch), float(as_of)
    if record.key == PROGRESS_KEY:
        read = read_progress(record.value)
        return read.epoch, float(read.as_of)
    return peek(record.value)[:2]


class Partition:
    """What is held of one partition while this process owns it.

    Parameters
    ----------
    number
        Of the partition.

    Attributes
    ----------
    gone
        Customers who were removed further on in the log than the partition has come, and where.
    ahead
        Customers whose snapshots came from further on than that, at the restore.
    """

    __slots__ = ("ahead", "gone", "number", "progress", "store", "timers")

    def __init__(self, number: int) -> None:
        self.number = number
        self.store = Store()
        self.timers = Timers()
        self.progress = Progress()
        self.gone: dict[str, tuple[int, float]] = {}
        self.ahead: list[str] = []

    def place(self, as_of: float) -> tuple[int, float]:
        """Return a place in the log that is read now: epoch, then ``as_of``."""
        return self.progress.epoch, as_of

    @property
    def passed(self) -> tuple[int, float]:
        """The place right behind the last record applied, as the partition's own record has it."""
        return self.place(2.0 * self.progress.as_of + 1.0)

    def has_gone(self, customer: str, place: tuple[int, float]) -> bool:
        """Tell whether the customer's removal came later in the log than a place."""
        return self.gone.get(customer, NOWHERE) >= place

    def right_one(self, key: bytes) -> Message:
        """Return what should stand on the state topic under a key, as of now."""
        if key == PROGRESS_KEY:
            return progress_message(self.progress)
        customer = key.decode()
        packed = self.store.packed.get(customer)
        if packed is not None:
            return Message(key, packed)
        passed = self.passed
        return tombstone(customer, *max(passed, self.gone.get(customer, passed)))

    def right_ones(self, records: Sequence[Record]) -> list[Message]:
        """Return what should stand on the state topic in place of those of these that are older."""
        keys = {r.key for r in records if r.key is not None and self._is_older(r)}
        return [self.right_one(key) for key in sorted(keys)]

    def _is_older(self, record: Record) -> bool:
        if record.key is None or (record.key[:1] == b"\0" and record.key != PROGRESS_KEY):
            return False
        return place_of(record) < place_of(self.right_one(record.key))

    def pass_over(self, offset: int) -> None:
        """Forget the removals that the log has passed."""
        if self.gone:
            passed = self.place(2.0 * offset + 1.0)
            self.gone = {c: at for c, at in self.gone.items() if at > passed}


class PartitionRestore:
    """A partition while it is read back: the highest ``as_of`` of a key wins, wherever it stands.

    Parameters
    ----------
    partition
        A new one, filled here.
    """

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._packed = partition.store.packed
        self._overtaken: set[bytes] = set()
        self._remarks: Sequence[Header] = ()

    def apply(self, records: Iterable[Record]) -> int:
        """Take records of the state topic, in any order; return how many there were."""
        packed, gone, taken = self._packed, self._partition.gone, 0
        for taken, record in enumerate(records, 1):  # noqa: B007 - the last one is returned
            key, value = record.key, record.value
            if key is None:
                continue
            if value is None or key[:1] == b"\0":
                self._apply_rare(key, record)
                continue
            customer = key.decode()
            if customer in packed or customer in gone:
                if self._is_stale(customer, value):
                    self._overtaken.add(key)
                    continue
                self._overtaken.discard(key)
            packed[customer] = value
        return taken

    def _is_stale(self, customer: str, value: bytes) -> bool:
        old, place = self._packed.get(customer), peek(value)[:2]
        if old is None:
            return place <= self._partition.gone.get(customer, NOWHERE)
        return place < peek(old)[:2]

    def _apply_rare(self, key: bytes, record: Record) -> None:
        """Take the partition's own record, or the removal of a customer."""
        if key[:1] == b"\0" and key != PROGRESS_KEY:
            return  # notes of commands
        partition, place = self._partition, place_of(record)
        if key == PROGRESS_KEY and record.value is not None:
            if place >= partition.progress.place:
                partition.progress = read_progress(record.value)
                self._remarks = record.headers
                self._overtaken.discard(key)
            else:
                self._overtaken.add(key)
        elif key[:1] != b"\0":
            customer = key.decode()
            old = self._packed.get(customer)
            if old is not None and peek(old)[:2] > place:
                self._overtaken.add(key)
                return
            self._packed.pop(customer, None)
            partition.gone[customer] = max(place, partition.gone.get(customer, place))
            self._overtaken.discard(key)

    def finish(self, origin: Origin | None = None) -> int:
        """Build the timers; return the offset to go on from.

        Parameters
        ----------
        origin
            The log that is there; without it, nothing is compared.

        Raises
        ------
        SnapshotError
            Where the state was made from another log, or by a newer version of the program.
        """
        partition = self._partition
        if origin is not None:
            partition.progress.check(origin)
        if partition.progress.floor:
            self._drop_below(partition.progress.floor)
        epochs, as_of, due = peek_many(self._packed.values())
        epoch, passed = partition.passed
        further = (epochs > epoch) | ((epochs == epoch) & (as_of > passed))
        partition.ahead = list(compress(self._packed, further))
        waiting = np.isfinite(due)
        partition.timers = Timers(
            zip(due[waiting].tolist(), compress(self._packed, waiting), strict=True)
        )
        partition.pass_over(partition.progress.as_of)
        return partition.progress.as_of + 1

    def _drop_below(self, floor: int) -> None:
        """Drop what a reset has overtaken; what of it stands on the topic is to be removed."""
        partition, packed = self._partition, self._packed
        partition.gone = {c: at for c, at in partition.gone.items() if at[0] >= floor}
        epochs, _, _ = peek_many(packed.values())
        for customer in list(compress(packed, epochs < floor)):
            del packed[customer]
            self._overtaken.add(customer.encode())

    def remarks(self) -> Sequence[Header]:
        """Return what whoever wrote the partition's own record remarked in its headers."""
        return self._remarks

    def overtaken(self) -> list[Message]:
        """Return the right record of every key whose last one on the topic is an older one.

        Compaction keeps the last record of a key, so it must be the right one.
        """
        return [self._partition.right_one(key) for key in sorted(self._overtaken)]
