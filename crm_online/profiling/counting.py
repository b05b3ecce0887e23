"""Counts of what may be too many to remember, each by eight bytes.

References
----------
Beyer, Haas, Reinwald, Sismanis, Gemulla: On synopses for distinct-value estimation under multiset
operations, SIGMOD 2007: the unbiased estimate from the k smallest hashes.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from heapq import heappush, heapreplace
from statistics import median
from typing import Final

from crm_online.profiling.report import Many

__all__ = ["Counted", "Distinct", "Remembered", "digest"]

MOST: Final = 2_000_000
SMALLEST: Final = 4096
_RANGE: Final = 2.0**64


def digest(*parts: str | bytes) -> int:
    """Return eight bytes that stand for these texts, as a number."""
    hashed = blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(4, "big"))
        hashed.update(data)
    return int.from_bytes(hashed.digest(), "big")


class Distinct:
    """Counts different values: exactly up to some thousands, then within some 2 %.

    Examples
    --------
    >>> few, many = Distinct(), Distinct()
    >>> for n in range(100_000):
    ...     few.see(str(n % 100)); many.see(str(n))
    >>> few.count(), abs(many.count() - 100_000) < 5_000
    (100, True)
    """

    def __init__(self) -> None:
        self._smallest: set[int] = set()
        self._heap: list[int] = []  # the same, negative: the largest comes first

    def see(self, value: str) -> None:
        """Take one value."""
        name = digest(value)
        if name in self._smallest:
            return
        if len(self._heap) < SMALLEST:
            heappush(self._heap, -name)
        elif name < -self._heap[0]:
            self._smallest.discard(-heapreplace(self._heap, -name))
        else:
            return
        self._smallest.add(name)

    def count(self) -> int:
        """Return how many there were."""
        if len(self._heap) < SMALLEST:
            return len(self._heap)
        return round((SMALLEST - 1) * _RANGE / -self._heap[0])


class Remembered:
    """Tells what was seen before.

    Parameters
    ----------
    most
        Remembered at most; whatever comes later counts as new each time.
    """

    def __init__(self, most: int = MOST) -> None:
        self._seen: set[int] = set()
        self._most = most

    def again(self, name: int) -> bool:
        """Say whether a digest was seen before, and remember it."""
        if name in self._seen:
            return True
        if len(self._seen) < self._most:
            self._seen.add(name)
        return False


class Counted:
    """Counts events by id.

    Parameters
    ----------
    most
        Ids remembered at most.

    Examples
    --------
    >>> counted = Counted()
    >>> for name in ("ann", "Ann ", "bob", "ann"): counted.see(name)
    >>> many = counted.profile()
    >>> many.count, many.events, many.most, many.alike
    (3, 4, 2, 1)
    """

    def __init__(self, most: int = MOST) -> None:
        self._counts: Counter[int] = Counter()
        self._plain: set[int] = set()
        self._most = most
        self._events = 0
        self._complete = True

    def see(self, name: str) -> None:
        """Count one event of this id."""
        self._events += 1
        key = digest(name)
        if key in self._counts:
            self._counts[key] += 1
        elif len(self._counts) < self._most:
            self._counts[key] = 1
            self._plain.add(digest(name.strip().casefold()))
        else:
            self._complete = False

    def profile(self) -> Many:
        """Return what came together."""
        counts = self._counts.values()
        return Many(
            len(counts),
            self._complete,
            self._events,
            float(median(counts)) if counts else 0.0,
            max(counts, default=0),
            len(counts) - len(self._plain),
        )
