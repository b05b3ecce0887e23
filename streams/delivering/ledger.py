"""Which records of a partition are done with: the group's commit never passes one that is not."""

from __future__ import annotations

__all__ = ["Ledger"]


class Ledger:
    """Offsets of one partition that are begun and not ended.

    Parameters
    ----------
    position
        Offset of the first record that will be read.

    Examples
    --------
    >>> ledger = Ledger(7)
    >>> ledger.begin(7); ledger.begin(9); ledger.end(9)
    >>> ledger.position, ledger.passed
    (7, 1)
    >>> ledger.end(7); ledger.position
    10
    """

    def __init__(self, position: int) -> None:
        self.committed = position
        self._next = position
        self._open: dict[int, None] = {}  # in order
        self._ended: set[int] = set()

    def begin(self, offset: int) -> None:
        """Take note of a record that was read; each is above the one before."""
        self._open[offset] = None
        self._next = offset + 1

    def end(self, offset: int) -> None:
        """Take note that nothing more is to be done for a record."""
        first = self.position
        if offset not in self._open:
            return
        del self._open[offset]
        self._ended.add(offset)
        if offset == first:
            self._ended = {each for each in self._ended if each > self.position}

    def pass_over(self, offset: int) -> None:
        """Take note of a record that was read and is none of ours."""
        self._next = offset + 1

    @property
    def position(self) -> int:
        """Offset that may be committed: all below it is done."""
        return next(iter(self._open), self._next)

    @property
    def passed(self) -> int:
        """How many records behind `position` are done, and would be repeated after a crash."""
        return len(self._ended)

    @property
    def read(self) -> int:
        """Offset up to which records were read."""
        return self._next
