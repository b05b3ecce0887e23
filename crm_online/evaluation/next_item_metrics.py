"""What a next-item model is judged by: where the item touched next stood in each list.

References
----------
Ludewig and Jannach, Evaluation of session-based recommendation algorithms, User Modeling and
User-Adapted Interaction 28 (2018), for coverage and popularity. Järvelin and Kekäläinen, Cumulated
gain-based evaluation of IR techniques, ACM Transactions on Information Systems 20 (2002), for NDCG.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["CUTS", "TOP", "ListQuality"]

TOP: Final = 20
CUTS: Final = (1, 5, 10, 20)
GAINS: Final = tuple(1 / math.log2(1 + rank) for rank in range(1, TOP + 1))


class ListQuality:
    """Sums over lists of twenty items, one for each query.

    Parameters
    ----------
    popularity
        Clicks of each item in what was learned first.

    Examples
    --------
    >>> quality = ListQuality({"tea": 4, "pot": 1})
    >>> quality.add("pot", ["tea", "pot"])
    >>> quality.add("cup", ["tea"])
    >>> figures = quality.figures()
    >>> figures["hr_1"], figures["hr_5"], figures["mrr_20"], figures["coverage_20"]
    (0.0, 0.5, 0.25, 1.0)
    """

    def __init__(self, popularity: Mapping[str, int]) -> None:
        self._popularity = popularity
        self._largest = max(popularity.values(), default=1)
        self._ranks: Counter[int] = Counter()
        self._listed: set[str] = set()
        self._weight = 0
        self._items = 0
        self.queries = 0

    def add(self, item: str, listed: Sequence[str]) -> None:
        """Count a list, and the item that was touched next."""
        self.queries += 1
        if item in listed:
            self._ranks[listed.index(item) + 1] += 1
        self._listed.update(listed)
        self._items += len(listed)
        self._weight += sum([self._popularity.get(one, 0) for one in listed])

    def figures(self) -> dict[str, float | None]:
        """Return all figures by name; None where there was no query.

        ``coverage_20`` is the share of the items learned first that were ever listed;
        ``popularity_20`` the mean popularity of listed items, as a share of the most popular
        one's: the lower, the less a model leans on what everybody buys.
        """
        known = len(self._popularity)
        figures: dict[str, float | None] = {f"hr_{cut}": self._hit_rate(cut) for cut in CUTS}
        figures["mrr_20"] = self._mean({rank: 1 / rank for rank in self._ranks})
        figures["ndcg_20"] = self._mean({rank: GAINS[rank - 1] for rank in self._ranks})
        seen = len(self._listed & self._popularity.keys())
        figures["coverage_20"] = seen / known if known else None
        figures["popularity_20"] = (
            self._weight / self._items / self._largest if self._items else None
        )
        return figures

    def _hit_rate(self, cut: int) -> float | None:
        return self._mean({rank: float(rank <= cut) for rank in self._ranks})

    def _mean(self, gains: Mapping[int, float]) -> float | None:
        if not self.queries:
            return None
        return sum(count * gains[rank] for rank, count in self._ranks.items()) / self.queries
