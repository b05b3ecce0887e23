"""What is odd about the rows of a table, though they are read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["Notes"]

MOST_ROWS: Final = 2_000_000  # remembered, to tell repeats: some 100 MB
MOST_CODES: Final = 500_000
_DIGITS: Final = re.compile(r"[\d_].*")


class Notes:
    """Counts rows by what is odd about them; a row may be odd in several ways.

    Examples
    --------
    >>> notes = Notes()
    >>> for row in (["a", "1"], ["a", "1"], ["b", "2"]):
    ...     notes.see_row(row)
    >>> notes.see_code("85123A"), notes.see_code("85123a"), notes.see_code("POST")
    (None, None, None)
    >>> notes.count("cancellation")
    >>> dict(notes.rows())
    {'repeats a row': 1, 'cancellation': 1, 'item ids': 3, 'item ids, capitals aside': 2}
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._rows: set[int] = set()
        self._codes: set[str] = set()

    def see_row(self, cells: Sequence[str]) -> None:
        """Take one row, with all of its cells."""
        row = hash(tuple(cells))
        if row in self._rows:
            self.count("repeats a row")
        elif len(self._rows) < MOST_ROWS:
            self._rows.add(row)

    def see_code(self, code: str) -> None:
        """Take the id of an item, as it is written."""
        if len(self._codes) < MOST_CODES:
            self._codes.add(code)

    def count(self, what: str) -> None:
        """Count a row."""
        self._counts[what] += 1

    def count_kind(self, what: str, code: str) -> None:
        """Count a row by the letters that its code begins with."""
        self.count(f"{what}: {_DIGITS.sub('', code.upper()).strip() or code}")

    def rows(self) -> Mapping[str, int]:
        """Return what was counted, most frequent first, then how ids are written."""
        found = dict(self._counts.most_common())
        if self._codes:
            found["item ids"] = len(self._codes)
            found["item ids, capitals aside"] = len({code.upper() for code in self._codes})
        return found
