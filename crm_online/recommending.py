"""Lists of next items for the customers of a batch, with reasons in words."""

from __future__ import annotations

from typing import Final, NamedTuple

from crm_online.catalogue import Catalogue
from crm_online.customers.state import CustomerState
from crm_online.fallback import ContentFallback, Wish
from crm_online.models.next_item.queries import Candidate, Query
from crm_online.replica import Replica
from crm_online.scores import ItemReason, RecommendedItem
from crm_online.settings import Settings
from crm_online.slices import Moment, Slice

__all__ = ["Offer", "Recommender"]

FURTHER: Final = 4  # times as many are asked for where items that are not to be had fill a list


class Offer(NamedTuple):
    """The newest list of one customer."""

    moment: Moment
    items: list[RecommendedItem]
    model: str


class Recommender:
    """Asks the next-item model, and leaves out what a customer just bought or nobody can buy.

    Parameters
    ----------
    settings
        Of the whole program.
    replica
        Of the next-item model; others keep it up to date.
    catalogue
        Says what is to be had; others keep it up to date, too.
    """

    def __init__(self, settings: Settings, replica: Replica, catalogue: Catalogue) -> None:
        self._size = settings.recommended_items
        self._repurchase = settings.repurchase
        self._replica = replica
        self._catalogue = catalogue
        self._fallback = ContentFallback(catalogue, replica)

    def recommend(self, batch: Slice) -> list[Offer]:
        """Make a list for every customer whose session moved; their states remember it.

        Parameters
        ----------
        batch
            From the stepper; the states of its customers take note of their lists.
        """
        wanted = [
            (moment, batch.live[customer])
            for customer, moment in batch.wanted.items()
            if customer in batch.live
        ]
        if not wanted:
            return []
        queries = [self._ask(moment, state) for moment, state in wanted]
        offers = []
        lists = self._available(queries)
        if self._catalogue.tokens:
            wishes = [
                Wish(query, state.items, found)
                for (_, state), query, found in zip(wanted, queries, lists, strict=True)
            ]
            lists = self._fallback.fill(wishes, self._size)
        for (moment, state), found in zip(wanted, lists, strict=True):
            state.offered = tuple([candidate.item for candidate in found])
            state.offered_session = state.session
            state.offered_model = self._replica.offset
            if found:
                state.offered_as_of = moment.source.as_of
                offers.append(
                    Offer(moment, [_item(c) for c in found], f"next_item@{self._replica.offset}")
                )
        return offers

    def _available(self, queries: list[Query]) -> list[list[Candidate]]:
        """Rank for each query what is to be had; asks further where too much of a list is not."""
        lists = self._replica.model.recommend_many(queries, self._size)
        gone = self._catalogue.unavailable
        if not gone:
            return lists
        asked, short = self._size, list(range(len(queries)))
        enough = self._size + len(gone)
        while True:
            left = []
            for row in short:
                more = len(lists[row]) == asked < enough
                lists[row] = [c for c in lists[row] if c.item not in gone][: self._size]
                if more and len(lists[row]) < self._size:
                    left.append(row)
            if not left:
                return lists
            short, asked = left, min(asked * FURTHER, enough)
            again = self._replica.model.recommend_many([queries[row] for row in short], asked)
            for row, found in zip(short, again, strict=True):
                lists[row] = found

    def _ask(self, moment: Moment, state: CustomerState) -> Query:
        items = state.items[-state.session_items :] if state.session_items else ()
        return Query(moment.customer, state.session, items, self._exclude(state), moment.at)

    def _exclude(self, state: CustomerState) -> frozenset[str]:
        if self._repurchase == "always" or not state.bought:
            return frozenset()
        if self._repurchase == "never":
            return frozenset(state.bought)
        again = self._replica.model.may_repurchase
        return frozenset([item for item in state.bought if not again(item)])


def _item(candidate: Candidate) -> RecommendedItem:
    because = list(candidate.because)
    reason = ItemReason(candidate.source, because, _text(candidate.item, candidate.source, because))
    return RecommendedItem(candidate.item, round(candidate.score, 6), reason)


def _text(item: str, source: str, because: list[str]) -> str:
    items = ", ".join(because)
    if because == [item]:
        return "looked at before in this session"
    if source == "session-neighbours":
        return (
            f"chosen in sessions like this one, with {items}"
            if items
            else "chosen in sessions like this one"
        )
    if source == "covisitation":
        return f"often chosen together with {items}" if items else "often chosen together"
    if source == "content":
        return f"like {items} by name, category or price"
    return "popular right now"
