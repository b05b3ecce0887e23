"""The small job as a machine of this project: state, snapshots, progress, restore."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
import orjson

from benchmarks.small.job import Job
from crm_online.customers.progress import Progress, progress_message, read_progress
from crm_online.internal import PROGRESS_KEY
from crm_online.log import Effects, Header, Message, Origin, Record

__all__ = ["SmallMachine"]


class Snapshot(msgspec.Struct, array_like=True, gc=False):
    """What stands on the state topic: offset of the last event applied, and the job's state."""

    as_of: int
    state: list[float]


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(Snapshot).decode


class _Partition:
    def __init__(self) -> None:
        self.packed: dict[bytes, bytes] = {}
        self.progress = Progress()


class SmallMachine:
    """Scores each event by the small job; its state rests as the bytes that stand on the topic.

    Parameters
    ----------
    output
        Noun of the topic of outputs.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._job = Job()
        self._partitions: dict[int, _Partition] = {}

    def restore(self, partition: int) -> SmallRestore:
        """Begin anew."""
        held = self._partitions[partition] = _Partition()
        return SmallRestore(held)

    def forget(self, partition: int) -> None:
        """Drop a partition."""
        self._partitions.pop(partition, None)

    def process(self, partition: int, records: Sequence[Record]) -> Iterator[Effects]:
        """Score a batch; a customer is decoded once and encoded once."""
        held = self._partitions[partition]
        open_, outputs = dict[bytes, Snapshot](), []
        for record in records:
            key = record.key or b""
            found = open_.get(key)
            if found is None:
                packed = held.packed.get(key)
                found = open_[key] = _unpack(packed) if packed else Snapshot(-1, [])
            if record.offset > found.as_of:
                state, output = self._job.score(
                    found.state or None, orjson.loads(record.value or b"")
                )
                found.as_of, found.state = record.offset, state
                outputs.append(Message(key, orjson.dumps(output)))
        packed_again = {key: _pack(found) for key, found in open_.items()}
        held.packed |= packed_again
        held.progress.as_of = records[-1].offset
        yield Effects(
            {self._output: outputs},
            [Message(*item) for item in packed_again.items()],
            progress_message(held.progress),
            records[-1].offset,
            len(records),
        )

    def repeat(self, partition: int) -> Effects:
        """Return nothing: its topic of outputs is not compacted."""
        del partition
        return Effects()

    def correct(self, partition: int, noun: str, records: Sequence[Record]) -> Effects:
        """Write again what is newer here than what another worker wrote."""
        held = self._partitions[partition]
        mine = [(record.key, held.packed.get(record.key or b"")) for record in records]
        newer = [Message(key, value) for key, value in mine if value]
        return Effects(snapshots=newer if noun.startswith("state") else [])


class SmallRestore:
    """Takes the highest ``as_of`` of each customer, wherever it stands."""

    def __init__(self, held: _Partition) -> None:
        self._held = held

    def apply(self, records: Iterable[Record]) -> int:
        """Take records in any order; return how many there were."""
        packed, taken = self._held.packed, 0
        for taken, record in enumerate(records, 1):  # noqa: B007 - the last one is returned
            key, value = record.key or b"", record.value or b""
            if key == PROGRESS_KEY:
                self._held.progress = max(
                    self._held.progress, read_progress(value), key=lambda read: read.place
                )
            elif key not in packed or _unpack(value).as_of >= _unpack(packed[key]).as_of:
                packed[key] = value
        return taken

    def finish(self, origin: Origin | None = None) -> int:
        """Go on right behind the progress record."""
        if origin is not None:
            self._held.progress.check(origin)
        return self._held.progress.as_of + 1

    def remarks(self) -> Sequence[Header]:
        """Return nothing: nobody else writes here."""
        return ()

    def overtaken(self) -> list[Message]:
        """Return nothing: nobody else writes here."""
        return []
