"""A fair sample of one cycle of predictions, the same whatever the batches they came in."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLED", "Cycle"]

SAMPLED: Final = 1_000


class Cycle:
    """Keeps the rows with the lowest hashes: every row had the same chance to be among them.

    Parameters
    ----------
    start
        Event time of its first row, seconds.

    Examples
    --------
    >>> cycle = Cycle(start=0.0)
    >>> if cycle.wants(5):
    ...     cycle.keep(5, [0.5])
    >>> cycle.rows().tolist()
    [[0.5]]
    """

    def __init__(self, start: float) -> None:
        self.start = start
        self.offered = 0
        self._highest = 1 << 32
        self._kept: list[tuple[int, bytes]] = []

    def wants(self, hashed: int) -> bool:
        """Count one more row; tells whether its hash is low enough to be kept."""
        self.offered += 1
        return hashed < self._highest

    def keep(self, hashed: int, row: Iterable[float]) -> None:
        """Take a row that was wanted.

        Parameters
        ----------
        hashed
            Of its prediction's id, below 2**32.
        row
            Numbers, as many as in every other row.
        """
        numbers = [*row]
        self._kept.append((hashed, struct.pack(f"<{len(numbers)}f", *numbers)))
        if len(self._kept) == 2 * SAMPLED:
            self._kept = sorted(self._kept)[:SAMPLED]
            self._highest = self._kept[-1][0]

    def rows(self) -> NDArray[np.float32]:
        """Return the sample, shape (n, columns); n is 1,000 at the most."""
        packed = [row for _, row in sorted(self._kept)[:SAMPLED]]
        numbers = np.frombuffer(b"".join(packed), "<f4")
        return numbers.reshape(len(packed), -1) if packed else numbers.reshape(0, 0)
