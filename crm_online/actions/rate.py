"""The global rate: a partition's share of so many actions per hour of event time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

__all__ = ["Order", "Rate", "last_counted", "share_of"]

HOUR: Final = 3600.0

# In the log: epoch, as_of, due time of the timer, customer.
Order = tuple[int, float, float, str]
NEVER: Final[Order] = (-1, -1.0, 0.0, "")


class Rate:
    """Counts what one partition let through in the present hour.

    After a crash some customers' snapshots are further on in the log than the partition's own
    record. What they let through counts where it stood, though it is not decided again.

    Parameters
    ----------
    counts
        Of the partition's own record; changed in place.
    ahead
        Actions that stand in snapshots behind it: their order, and when they were decided.
    """

    def __init__(self, counts: dict[str, Any], ahead: Iterable[tuple[Order, float]] = ()) -> None:
        self._counts = counts
        self._ahead = sorted(ahead, reverse=True)

    def take(self, order: Order, now: float, limit: int) -> bool:
        """Let one through, where the hour has one left.

        Examples
        --------
        >>> rate = Rate({})
        >>> [rate.take((0, n, 0.0, "c"), 60.0 * n, limit=2) for n in (1.0, 2.0, 3.0, 61.0)]
        [True, True, False, True]
        """
        while self._ahead and self._ahead[-1][0] < order:
            self._count(*self._ahead.pop())
        self._turn(now)
        if self._counts["used"] >= limit:
            self._counts["limited"] = self._counts.get("limited", 0) + 1
            return False
        self._count(order, now)
        return True

    def pass_by(self, order: Order) -> None:
        """Count what snapshots ahead let through up to a place."""
        while self._ahead and self._ahead[-1][0] <= order:
            self._count(*self._ahead.pop())

    def _count(self, order: Order, now: float) -> None:
        self._turn(now)
        self._counts["used"] += 1
        self._counts["last"] = list(order)

    def _turn(self, now: float) -> None:
        hour = int(now // HOUR)
        if self._counts.get("hour") != hour:
            self._counts |= {"hour": hour, "used": 0}


def share_of(total: int, partition: int, partitions: int) -> int:
    """Return how many of a total fall to one partition: all of them together have just the total.

    Examples
    --------
    >>> [share_of(10, partition, 4) for partition in range(4)]
    [2, 3, 2, 3]
    """
    return total * (partition + 1) // partitions - total * partition // partitions


def last_counted(counts: dict[str, Any]) -> Order:
    """Return the place of the last action that counts hold."""
    epoch, as_of, due, customer = counts.get("last", NEVER)
    return epoch, as_of, due, customer
