"""The queue of due times of one partition: which customer is due next, in event time."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

__all__ = ["Timers"]


class Timers:
    """Due times in the order (due, customer); entries that a customer outgrew are passed over.

    Examples
    --------
    >>> timers = Timers([(20.0, "b"), (10.0, "c"), (10.0, "a")])
    >>> timers.pop_before(10.0)
    >>> timers.pop_before(10.5), len(timers)
    ((10.0, 'a'), 2)
    """

    __slots__ = ("_heap",)

    def __init__(self, due: Iterable[tuple[float, str]] = ()) -> None:
        self._heap = list(due)
        heapify(self._heap)

    def __len__(self) -> int:
        """Return how many entries wait, outgrown ones included."""
        return len(self._heap)

    def push(self, due: float, customer: str) -> None:
        """Add a due time, seconds of event time."""
        heappush(self._heap, (due, customer))

    def pop_before(self, watermark: float) -> tuple[float, str] | None:
        """Take out the first entry strictly before the watermark, and its repeats."""
        heap = self._heap
        if not heap or heap[0][0] >= watermark:
            return None
        first = heappop(heap)
        while heap and heap[0] == first:
            heappop(heap)
        return first
