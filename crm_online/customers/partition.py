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

__all__ = [
    "Partition",
    "PartitionRestore",
    "Progress",
    "place_of",
    "progress_message",
    "tombstone",
]

PROGRESS_VERSION: Final = 1
NOWHERE: Final = (-1, -1.0)


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


def place_of(record: Record | Message) -> tuple[int, float]:
    """Return how far in the log a record of the state topic stands: epoch, then ``as_of``."""
    if record.value is None:
        epoch, _, as_of = dict(record.headers).get("as_of", b"0:-1").decode().partition(":")
        return int(epoch), float(as_of)
    if record.key == PROGRESS_KEY:
        read = _read_progress(record.value)
        return read.epoch, float(read.as_of)
    return peek(record.value)[:2]


def _read_progress(value: bytes) -> Progress:
    read = _decode(value)
    if read.version > PROGRESS_VERSION:
        raise SnapshotError(
            f"the state topic was written by a newer crm-online (progress version "
            f"{read.version}); start the newer version"
        )
    return read


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
        return self.gone.get(customer, NOWHERE) >= (self.progress.epoch, as_of)

    def right_one(self, key: bytes) -> Message:
        """Return what should stand on the state topic under a key, as of now."""
        if key == PROGRESS_KEY:
            return progress_message(self.progress)
        customer = key.decode()
        packed = self.store.packed.get(customer)
        if packed is not None:
            return Message(key, packed)
        passed = (self.progress.epoch, 2.0 * self.progress.as_of + 1.0)
        return tombstone(customer, *max(passed, self.gone.get(customer, passed)))

    def is_older(self, record: Record) -> bool:
        """Tell whether a record of the state topic is older than what is held here."""
        if record.key is None or (record.key[:1] == b"\0" and record.key != PROGRESS_KEY):
            return False
        return place_of(record) < place_of(self.right_one(record.key))

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
        self._overtaken: set[bytes] = set()

    def apply(self, records: Sequence[Record]) -> None:
        """Take records of the state topic, in any order."""
        packed, gone = self._packed, self._partition.gone
        for record in records:
            key, value = record.key, record.value
            if key is None:
                continue
            if value is None or key[:1] == b"\0":
                self._apply_rare(key, record)
                continue
            customer = key.decode()
            old = packed.get(customer)
            if old is not None or customer in gone:
                place = peek(value)[:2]
                held = gone.get(customer, NOWHERE) if old is None else peek(old)[:2]
                if place < held or (old is None and place == held):
                    self._overtaken.add(key)
                    continue
            packed[customer] = value
            self._overtaken.discard(key)

    def _apply_rare(self, key: bytes, record: Record) -> None:
        """Take the partition's own record, or the removal of a customer."""
        partition, place = self._partition, place_of(record)
        if key == PROGRESS_KEY and record.value is not None:
            if place >= (partition.progress.epoch, partition.progress.as_of):
                partition.progress = _read_progress(record.value)
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

    def finish(self) -> int:
        """Build the timers; return the offset to go on from."""
        partition = self._partition
        partition.timers = Timers((peek(v)[2], c) for c, v in self._packed.items())
        partition.pass_over(partition.progress.as_of)
        return partition.progress.as_of + 1

    def overtaken(self) -> list[Message]:
        """Return the right record of every key whose last one on the topic is an older one.

        Compaction keeps the last record of a key, so it must be the right one.
        """
        return [self._partition.right_one(key) for key in sorted(self._overtaken)]
