"""One partition of the event log: its customers, its timers, and how far it has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from crm_online.customers.store import Store, peek
from crm_online.customers.timers import Timers
from crm_online.errors import SnapshotError
from crm_online.internal import PROGRESS_KEY
from crm_online.log import Message, Record

__all__ = ["Partition", "PartitionRestore", "Progress", "progress_message", "tombstone"]

PROGRESS_VERSION: Final = 1


class Progress(msgspec.Struct):
    """The partition's own record: where a new owner goes on.

    Parameters
    ----------
    version
        Of this record's layout.
    epoch
        Of the source topic.
    as_of
        Offset of the last record applied; -1: none.
    watermark
        Highest event time so far, seconds.
    lag
        How far the newest event's time was behind its Kafka timestamp, seconds.
    events, rejected, duplicates, late, too_late
        Counts since the beginning of the log.
    """

    version: int = PROGRESS_VERSION
    epoch: int = 0
    as_of: int = -1
    watermark: float = 0.0
    lag: float | None = None
    events: int = 0
    rejected: int = 0
    duplicates: int = 0
    late: int = 0
    too_late: int = 0


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Progress).decode


def progress_message(progress: Progress) -> Message:
    """Encode the partition's own record for the state topic."""
    return Message(PROGRESS_KEY, _encode(progress))


def tombstone(customer: str, epoch: int, as_of: float) -> Message:
    """Make the record that removes a customer, telling when."""
    return Message(customer.encode(), None, [("as_of", f"{epoch}:{as_of:.0f}".encode())])


class Partition:
    """What is held of one partition while this process owns it.

    Parameters
    ----------
    number
        Of the partition.
    """

    __slots__ = ("gone", "number", "progress", "store", "timers")

    def __init__(self, number: int) -> None:
        self.number = number
        self.store = Store()
        self.timers = Timers()
        self.progress = Progress()
        self.gone: dict[str, tuple[int, float]] = {}

    def has_gone(self, customer: str, as_of: float) -> bool:
        """Tell whether the customer's removal came later in the log than `as_of`."""
        return self.gone.get(customer, (-1, -1.0)) >= (self.progress.epoch, as_of)

    def pass_over(self, offset: int) -> None:
        """Forget the removals that the log has passed."""
        if self.gone:
            passed = (self.progress.epoch, 2.0 * offset + 1.0)
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

    def apply(self, records: Sequence[Record]) -> None:
        """Take records of the state topic, in any order."""
        packed = self._packed
        for record in records:
            key, value = record.key, record.value
            if key is None:
                continue
            if key[0:1] == b"\0":
                self._apply_progress(key, value)
                continue
            customer = key.decode()
            if value is None:
                self._apply_tombstone(customer, record)
                continue
            new, old = peek(value)[:2], packed.get(customer)
            if old is None:
                if new <= self._partition.gone.get(customer, (-1, -1.0)):
                    continue
            elif new < peek(old)[:2]:
                continue
            packed[customer] = value

    def _apply_progress(self, key: bytes, value: bytes | None) -> None:
        if key != PROGRESS_KEY or value is None:
            return
        read = _decode(value)
        if read.version > PROGRESS_VERSION:
            raise SnapshotError(
                f"the state topic was written by a newer crm-online (progress version "
                f"{read.version}); start the newer version, or `crm-online reset`"
            )
        kept = self._partition.progress
        if (read.epoch, read.as_of) >= (kept.epoch, kept.as_of):
            self._partition.progress = read

    def _apply_tombstone(self, customer: str, record: Record) -> None:
        epoch, _, as_of = dict(record.headers).get("as_of", b"0:-1").decode().partition(":")
        removed = (int(epoch), float(as_of))
        self._partition.gone[customer] = max(removed, self._partition.gone.get(customer, removed))
        old = self._packed.get(customer)
        if old is not None and peek(old)[:2] <= removed:
            del self._packed[customer]

    def finish(self) -> int:
        """Build the timers; return the offset to go on from."""
        partition = self._partition
        partition.timers = Timers((peek(v)[2], c) for c, v in self._packed.items())
        partition.pass_over(partition.progress.as_of)
        return partition.progress.as_of + 1
