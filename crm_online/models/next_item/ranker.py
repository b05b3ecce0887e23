"""`NextItem`: what a customer touches next, from the open session and everybody's sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crm_online.errors import ConfigurationError
from crm_online.models.next_item.catalogue import Catalogue
from crm_online.models.next_item.numbering import Numbering
from crm_online.models.next_item.one_by_one import OneByOne
from crm_online.models.next_item.packing import (
    hash_customer,
    name_lists,
    pack_queries,
    strangers_of,
)
from crm_online.models.next_item.queries import Candidate, Query
from crm_online.models.next_item.repurchase import RepurchaseHabits
from crm_online.scores import Interaction

if TYPE_CHECKING:
    from crm_online.models.next_item.engine import Engine
    from crm_online.models.next_item.layout import Float32

__all__ = ["NextItem"]


class NextItem(OneByOne):
    """Next items by session neighbours, then covisitation, then trending.

    What the neighbours name is put in order by a re-ranker: by what speaks for each item, by its
    popularity and age, and by vectors of items. All of it is learned click by click.

    Learning is a function of the interactions in their order only: no clock, no batch boundary,
    and what is drawn is drawn from the number of clicks. Predictions change nothing that is
    learned.

    Parameters
    ----------
    max_items
        Items in the index; beyond it the least recently seen sixty-fourth leaves.
    max_sessions
        Sessions kept as neighbours, rounded up to a power of two; the oldest leaves first.
    repurchase_share
        A category is bought again if this share of its purchases repeats an item.
    rerank_sample
        Share of the sessions that `learn_many` trains the re-ranker on, after the first 50,000
        clicks; each costs as much as a prediction.
    seed
        Of first weights and vectors, and of negative examples.

    Attributes
    ----------
    counters : dict
        Items in the index, entered, evicted; items that wait for a second customer, and those
        dropped while waiting; sessions and interactions learned.

    Examples
    --------
    >>> from crm_online.models.next_item import NextItem, Query
    >>> from crm_online.scores import Interaction
    >>> clicks = [("ann", "tea"), ("ann", "pot"), ("bob", "tea"), ("bob", "pot"), ("cid", "tea")]
    >>> model = NextItem(max_items=100, max_sessions=64)
    >>> model.learn_many([Interaction(0, 0, who, 1, item, "Product Viewed", 0.0)
    ...                   for who, item in clicks])
    >>> [best] = model.recommend_many(
    ...     [Query("cid", 1, items=("tea",), exclude=frozenset({"tea"}))], k=1)[0]
    >>> best.item, best.source, best.because
    ('pot', 'session-neighbours', ('tea',))

    References
    ----------
    Garg et al., Sequence and time aware neighborhood for session-based recommendations (STAN),
    SIGIR 2019, for the neighbours; `embedding` and `reranker` name theirs.
    """

    def __init__(
        self,
        max_items: int = 200_000,
        max_sessions: int = 2**18,
        repurchase_share: float = 0.1,
        rerank_sample: float = 1.0,
        seed: int = 7,
    ) -> None:
        super().__init__(seed=seed)
        if max_items < 1 or max_sessions < 1 or max_sessions > 2**30:
            raise ConfigurationError("max_items and max_sessions must be at least 1")
        from crm_online.models.next_item.engine import Engine  # noqa: PLC0415 - loads numba

        self.max_items = max_items
        self.max_sessions = max_sessions
        self.repurchase_share = repurchase_share
        self.rerank_sample = rerank_sample
        self._engine: Engine = Engine(max_items, max_sessions, seed)
        self._catalogue = Catalogue(max_items)
        self._habits = RepurchaseHabits(repurchase_share)
        self._numbering = Numbering(self._catalogue, self._habits, self._engine)

    @property
    def counters(self) -> dict[str, int]:
        """How much is held, and how much came and went."""
        catalogue, clock = self._catalogue, self._engine.index.clock
        return {
            "items": len(catalogue.numbers),
            "items_entered": catalogue.entered,
            "items_evicted": catalogue.evicted,
            "items_waiting": len(catalogue.elder) + len(catalogue.younger),
            "items_dropped": catalogue.dropped,
            "sessions": int(clock[1]),
            "interactions": int(clock[0]),
        }

    def learn_many(self, interactions: Sequence[Interaction]) -> None:
        """Learn interactions, in their order.

        Parameters
        ----------
        interactions
            Any number of them; how they are cut into calls makes no difference.
        """
        self._learn(interactions, self.rerank_sample, 0)

    def follow_many(self, interactions: Sequence[Interaction]) -> None:
        """Learn interactions as `learn_many` does, but leave the re-ranker to whoever trains it.

        Parameters
        ----------
        interactions
            In their order; ten times as fast.
        """
        self._learn(interactions, 0.0, 0)

    def replay_many(
        self, interactions: Sequence[Interaction], k: int = 10
    ) -> list[list[Candidate]]:
        """Predict each interaction from its session so far, and then learn it.

        Parameters
        ----------
        interactions
            In their order.
        k
            Length of each list.

        Returns
        -------
        What `recommend_many` would have returned just before each interaction.
        """
        return self._learn(interactions, self.rerank_sample, k)

    def _learn(
        self, interactions: Sequence[Interaction], rate: float, k: int
    ) -> list[list[Candidate]]:
        listed: list[list[Candidate]] = []
        for clicks in self._numbering.number(interactions):
            lists = self._engine.learn(*clicks, rate, k)
            if k:
                listed += name_lists(lists, self._catalogue.names, self._stranger)
        return listed

    def _stranger(self, row: int, number: int) -> str:
        """Name an item that waits for its second customer."""
        del row
        return self._catalogue.strangers.get(-number, "")

    def recommend_many(self, queries: Sequence[Query], k: int = 10) -> list[list[Candidate]]:
        """Rank the k most likely next items for each query; changes nothing learned.

        Parameters
        ----------
        queries
            Open sessions; a hundred or more per call are cheapest.
        k
            Length of each list; shorter where the index knows fewer items.
        """
        if k < 1 or not queries:
            return [[] for _ in queries]
        numbers = self._catalogue.numbers
        lists = self._engine.recommend(pack_queries(queries, numbers), k)

        def stranger(row: int, number: int) -> str:
            return strangers_of(queries[row], numbers)[-1 - number]

        return name_lists(lists, self._catalogue.names, stranger)

    def evidence_one(self, query: Query) -> tuple[list[str], Float32]:
        """Return a query's candidates, and what speaks for each.

        Returns
        -------
        Item ids, and float32 (n, 7): the sums `stan`, `flat`, `forward`, `recent`, `next`,
        `last`, `before` over the neighbours.
        """
        names, numbers = self._catalogue.names, self._catalogue.numbers
        candidates, sums = self._engine.evidence(pack_queries([query], numbers))
        lent = strangers_of(query, numbers)
        return [names[n] if n > 0 else lent[-1 - n] for n in candidates.tolist()], sums

    def may_repurchase(self, item: str) -> bool:
        """Tell whether customers buy items like this one again.

        Parameters
        ----------
        item
            Item id; judged by the category that its newest interaction named.
        """
        number = self._catalogue.numbers.get(item, 0)
        return self._habits.has_habit(self._catalogue.categories[number])

    def held_items(self, customer: str, session: int) -> tuple[str, ...]:
        """Return the items that the index holds of a session, oldest first."""
        held = self._engine.session(hash_customer(customer), session)
        return tuple([self._catalogue.names[number] for number in held])

    def warm_up(self) -> NextItem:
        """Compile the kernels, or load them, before the first query; changes nothing learned."""
        trial = NextItem(max_items=1, max_sessions=1)
        for who in ("a", "b"):
            trial.learn_many(
                [Interaction(0, 0, who, 1, item, "", 0.0) for item in ("one", "two", "one")]
            )
        trial.evidence_one(Query("c", 1, ("two",)))
        trial.recommend_many([Query("c", 1, ("two",))], 1)
        NextItem.from_bytes(trial.state_bytes()).predict_one("a", "one", {"session": 1})
        return self

    def ranker_bytes(self) -> bytes:
        """Return the weights that lists are ranked by, a few kilobytes."""
        return self._engine.reranker.averages.tobytes()

    def adopt_ranker(self, data: bytes) -> None:
        """Rank with weights that another model's `ranker_bytes` returned.

        Raises
        ------
        SnapshotError
            Where they are not of this format.
        """
        self._engine.set_weights(data)

    def state_bytes(self) -> bytes:
        """Return all that has been learned, compactly; equal states give equal bytes."""
        from crm_online.models.next_item import state  # noqa: PLC0415 - loads numba

        parameters = self._get_params()
        return state.write_state(parameters, self._engine, self._catalogue, self._habits)

    @classmethod
    def from_bytes(cls, data: bytes) -> NextItem:
        """Make the model that `state_bytes` described.

        Raises
        ------
        SnapshotError
            Where the bytes are damaged, or written by a newer version.
        """
        from crm_online.models.next_item import state  # noqa: PLC0415 - loads numba

        held = state.read_state(data)
        model = cls(**held.parameters)
        state.restore_state(held, model._engine, model._catalogue, model._habits)
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by way of `state_bytes`."""
        return _from_bytes, (self.state_bytes(),)


def _from_bytes(data: bytes) -> NextItem:
    return NextItem.from_bytes(data)
