"""How many events a write key may send, and how long the rest must wait."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

__all__ = ["BURST_SECONDS", "Rate"]

BURST_SECONDS: Final = 2.0


class Rate:
    """A bucket of tokens for each key: it fills at the rate, and holds two seconds' worth.

    Parameters
    ----------
    per_second
        Events that a key may send.
    least
        Size of the largest request, which an idle key may always send at once.
    clock
        Seconds.

    Examples
    --------
    >>> now = [0.0]
    >>> rate = Rate(10.0, least=5, clock=lambda: now[0])
    >>> rate.wait(b"key", 20), rate.wait(b"key", 5)
    (0, 1)
    >>> now[0] = 0.5
    >>> rate.wait(b"key", 5)
    0
    """

    def __init__(self, per_second: float, *, least: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._capacity = max(per_second * BURST_SECONDS, float(least))
        self._clock = clock
        self._buckets: dict[bytes, tuple[float, float]] = {}

    def wait(self, key: bytes, events: int) -> int:
        """Take tokens for a request; where there are too few, take none.

        Returns
        -------
        int
            0 where it may go on, else the seconds after which it is worth another try.
        """
        now = self._clock()
        held, since = self._buckets.get(key, (self._capacity, now))
        held = min(held + (now - since) * self._per_second, self._capacity)
        missing = events - held
        self._buckets[key] = (held if missing > 0.0 else -missing, now)
        return max(1, math.ceil(missing / self._per_second)) if missing > 0.0 else 0
