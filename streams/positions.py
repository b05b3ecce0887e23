"""How far each partition held has come, in offsets of its log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from streams.batches import Batch

__all__ = ["Positions"]


@dataclass(slots=True)
class Positions:
    """Where each partition began, what is applied of it, and where its log ends.

    Parameters
    ----------
    starts
        Partition to the offset that its restore said to go on from.
    applied
        Partition to the offset right behind the last record applied.
    ends
        Partition to the end of its log, as last heard.
    newest
        Partition to the Kafka timestamp of the last record applied, in milliseconds since 1970.

    Examples
    --------
    >>> positions = Positions()
    >>> positions.begin({0: 5, 1: 0}, now=1_000)
    >>> positions.resume_at([0, 1], {0: 9})
    {0: 10, 1: 0}
    """

    starts: dict[int, int] = field(default_factory=dict)
    applied: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)

    def begin(self, starts: Mapping[int, int], now: int) -> None:
        """Go on from these offsets; a partition counts as idle since now, in milliseconds."""
        self.starts |= starts
        self.applied |= starts
        self.newest |= dict.fromkeys(starts, now)

    def see(self, batch: Batch) -> None:
        """Take note of the log's end, before the batch is applied."""
        self.ends[batch.partition] = batch.end

    def move(self, batch: Batch) -> None:
        """Take note that the whole batch is applied."""
        last = batch.records[-1]
        self.applied[batch.partition] = last.offset + 1
        self.newest[batch.partition] = last.timestamp

    def forget(self, partition: int) -> None:
        """Drop what is known of a partition."""
        for each in (self.starts, self.applied, self.ends, self.newest):
            each.pop(partition, None)

    def lag(self, partitions: Collection[int]) -> int:
        """Return how many records of these partitions are known of and not applied."""
        return sum(max(self.ends.get(p, 0) - self.applied.get(p, 0), 0) for p in partitions)

    def resume_at(self, partitions: Collection[int], durable: Mapping[int, int]) -> dict[int, int]:
        """Return the offset to read from: behind what is durable, else where the restore said."""
        return {p: max(self.starts[p], durable.get(p, -1) + 1) for p in partitions}
