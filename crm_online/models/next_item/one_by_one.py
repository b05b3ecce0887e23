"""River's interface for one user and one item at a time, over that for batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from river.reco.base import Ranker

from crm_online.models.next_item.queries import Candidate, Query
from crm_online.scores import Interaction

__all__ = ["OneByOne"]

Context = Mapping[str, Any] | None
PREFERENCE_DEPTH = 1000


class OneByOne(Ranker):
    """Ranks by lists for open sessions."""

    @abstractmethod
    def learn_many(self, interactions: Sequence[Interaction]) -> None:
        """Learn interactions, in their order."""

    @abstractmethod
    def recommend_many(self, queries: Sequence[Query], k: int = 10) -> list[list[Candidate]]:
        """Rank the k most likely next items for each query."""

    @abstractmethod
    def held_items(self, customer: str, session: int) -> tuple[str, ...]:
        """Return the items that are known of a session, oldest first."""

    def learn_one(self, user: Hashable, item: Hashable, y: Any = 1, x: Context = None) -> None:
        """Learn that a user touched an item.

        Parameters
        ----------
        user, item
            Learned under their ``str``.
        y
            Reward; nothing is learned where it is not above zero.
        x
            Context: ``session`` (int, default 0), ``kind`` (str), ``at`` (seconds).
        """
        if not y > 0:
            return
        context = x or {}
        self.learn_many(
            [
                Interaction(
                    offset=0,
                    index=0,
                    customer=str(user),
                    session=context.get("session", 0),
                    item=str(item),
                    kind=context.get("kind", "Product Viewed"),
                    at=context.get("at", 0.0),
                    category=context.get("category", ""),
                )
            ]
        )

    def predict_one(  # type: ignore[override]  # River says numbers.Number, which no float is
        self, user: Hashable, item: Hashable, x: Context = None
    ) -> float:
        """Return a user's preference for an item: its `Candidate.score`, 0 where not listed.

        Parameters
        ----------
        user, item
            As in `learn_one`.
        x
            Context: ``session``, and ``items`` of the open session, oldest first; by default
            those that the index holds of that session.
        """
        return self._preferences(user, x).get(str(item), 0.0)

    def rank(self, user: Hashable, items: set[Hashable], x: Context = None) -> list[Hashable]:
        """Sort items by a user's preference, best first; equals in the order of their names."""
        preferences = self._preferences(user, x)
        return sorted(items, key=lambda item: (-preferences.get(str(item), 0.0), str(item)))

    def _preferences(self, user: Hashable, x: Context) -> dict[str, float]:
        context = x or {}
        customer, session = str(user), context.get("session", 0)
        items = context.get("items")
        if items is None:
            items = self.held_items(customer, session)
        query = Query(customer, session, tuple(map(str, items)))
        listed = self.recommend_many([query], PREFERENCE_DEPTH)[0]
        return {candidate.item: candidate.score for candidate in listed}
