"""What else could be run, learned click by click as well: popularity, covisitation, Markov.

References
----------
Ludewig and Jannach, Evaluation of session-based recommendation algorithms, User Modeling and
User-Adapted Interaction 28 (2018): association rules of size two, and first-order Markov chains.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from crm_online.models.next_item import Query
from crm_online.scores import Interaction

__all__ = ["BASELINES", "Baseline", "Covisitation", "Markov", "Popularity"]

REMEMBERED: Final = 16  # clicks kept of a session, as the product keeps them


class Baseline(ABC):
    """A model that counts, one click at a time."""

    def __init__(self) -> None:
        self._sessions: dict[str, list[str]] = {}

    def learn_many(self, clicks: Sequence[Interaction]) -> None:
        """Learn clicks in their order."""
        for click in clicks:
            session = self._sessions.setdefault(click.customer, [])
            self._count(session, click.item)
            session.append(click.item)
            del session[:-REMEMBERED]

    def list_many(self, queries: Sequence[Query], k: int) -> list[list[str]]:
        """Return k items at most for each open session, best first."""
        return [self._best(query.items, k) for query in queries]

    def replay_many(self, clicks: Sequence[Interaction], k: int) -> list[list[str]]:
        """Predict each click from its session so far, and then learn it."""
        lists = []
        for click in clicks:
            session = self._sessions.get(click.customer)
            lists.append(self._best(session, k) if session else [])
            self.learn_many([click])
        return lists

    @abstractmethod
    def _count(self, session: Sequence[str], item: str) -> None:
        """Learn that an item followed the clicks of a session."""

    @abstractmethod
    def _best(self, session: Sequence[str], k: int) -> list[str]:
        """Return the best items for a session of one click at least."""


class _Follow(Baseline):
    """Counts what goes with the last item."""

    def __init__(self) -> None:
        super().__init__()
        self._pairs: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def _best(self, session: Sequence[str], k: int) -> list[str]:
        found = self._pairs.get(session[-1])
        return heapq.nlargest(k, found, key=found.__getitem__) if found else []


class Markov(_Follow):
    """First-order Markov chain: what was clicked right after the last item.

    Examples
    --------
    >>> def click(item):
    ...     return Interaction(0, 0, "ann", 1, item, "", 0.0)
    >>> model = Markov()
    >>> model.learn_many([click("tea"), click("pot"), click("tea"), click("cup"), click("tea")])
    >>> model.list_many([Query("bob", 1, ("tea",))], 20)
    [['pot', 'cup']]
    """

    def _count(self, session: Sequence[str], item: str) -> None:
        if session:
            self._pairs[session[-1]][item] += 1


class Covisitation(_Follow):
    """What was clicked in the same sessions as the last item, before or after it."""

    def _count(self, session: Sequence[str], item: str) -> None:
        for other in dict.fromkeys(session):
            if other != item:
                self._pairs[other][item] += 1
                self._pairs[item][other] += 1


class Popularity(Baseline):
    """What was clicked most often."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[str] = Counter()
        self._leaders: list[str] = []

    def _count(self, session: Sequence[str], item: str) -> None:
        del session
        self._counts[item] += 1
        leaders, count = self._leaders, self._counts.__getitem__
        if item not in leaders:
            leaders.append(item)
        place = leaders.index(item)
        while place and count(leaders[place - 1]) < count(item):
            leaders[place - 1], leaders[place] = leaders[place], leaders[place - 1]
            place -= 1
        del leaders[20:]

    def _best(self, session: Sequence[str], k: int) -> list[str]:
        del session
        return self._leaders[:k]


BASELINES: Final[dict[str, type[Baseline]]] = {
    "markov": Markov,
    "covisitation": Covisitation,
    "popularity": Popularity,
}
