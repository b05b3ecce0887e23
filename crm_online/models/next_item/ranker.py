"""`NextItem`: what a customer touches next, from the open session and everybody's sessions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from river.reco.base import Ranker

from crm_online.errors import ConfigurationError
from crm_online.models.next_item.catalogue import Catalogue
from crm_online.models.next_item.packing import hash_customer, name_lists, pack_queries
from crm_online.models.next_item.queries import Candidate, Query
from crm_online.models.next_item.repurchase import RepurchaseHabits
from crm_online.scores import Interaction

if TYPE_CHECKING:
    from crm_online.models.next_item.engine import Engine
    from crm_online.models.next_item.layout import Float32, PackedQueries

__all__ = ["NextItem"]

Context = Mapping[str, Any] | None
PREFERENCE_DEPTH = 1000
EVICTED_AT_ONCE = 64


class NextItem(Ranker):
    """Next items by session neighbours, then covisitation, then trending.

    Learning is a function of the interactions in their order only: no clock, no random number,
    no batch boundary. Predictions change nothing that is learned.

    Parameters
    ----------
    max_items
        Items in the index; beyond it the least recently seen sixty-fourth leaves.
    max_sessions
        Sessions kept as neighbours, rounded up to a power of two; the oldest leaves first.
    repurchase_share
        A category is bought again if this share of its purchases repeats an item.

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
    SIGIR 2019.
    """

    def __init__(
        self,
        max_items: int = 200_000,
        max_sessions: int = 2**18,
        repurchase_share: float = 0.1,
    ) -> None:
        super().__init__(seed=None)
        if max_items < 1 or max_sessions < 1 or max_sessions > 2**30:
            raise ConfigurationError("max_items and max_sessions must be at least 1")
        from crm_online.models.next_item.engine import Engine  # noqa: PLC0415 - loads numba

        self.max_items = max_items
        self.max_sessions = max_sessions
        self.repurchase_share = repurchase_share
        self._engine: Engine = Engine(max_items, max_sessions)
        self._catalogue = Catalogue(max_items)
        self._habits = RepurchaseHabits(repurchase_share)

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
        customers: list[int] = []
        sessions: list[int] = []
        items: list[int] = []
        numbers, categories = self._catalogue.numbers, self._catalogue.categories
        for interaction in interactions:
            self._habits.learn(interaction)
            customer = hash_customer(interaction.customer)
            number = numbers.get(interaction.item)
            if number is None:
                number = self._meet(interaction, customer)
            if number is None:
                self._engine.learn(customers, sessions, items)
                customers, sessions, items = [], [], []
                number = self._admit(interaction.item)
            if number > 0 and interaction.category:
                categories[number] = interaction.category
            customers.append(customer)
            sessions.append(interaction.session)
            items.append(number)
        self._engine.learn(customers, sessions, items)

    def _meet(self, interaction: Interaction, customer: int) -> int | None:
        """Return what stands for an item of one customer; None at its second customer."""
        waiting = self._catalogue.waiting(interaction.item)
        if waiting is None:
            waiting = self._catalogue.wait(interaction.item, customer, interaction.session)
        return -waiting.provisional if waiting.customer == customer else None

    def _admit(self, item: str) -> int:
        """Let a waiting item enter the index; all clicks before must have been learned."""
        waiting = self._catalogue.waiting(item)
        if self._catalogue.full:
            self._make_room()
        number = self._catalogue.enter(item)
        if waiting is not None:
            self._engine.admit(number, *waiting)
        return number

    def _make_room(self) -> None:
        leaving = self._engine.least_recently_seen(max(1, self.max_items // EVICTED_AT_ONCE))
        self._engine.evict(leaving)
        for number in leaving:
            self._catalogue.evict(number)

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
        return name_lists(self._engine.recommend(self._pack(queries), k), self._catalogue.names)

    def evidence_one(self, query: Query) -> tuple[list[str], Float32]:
        """Return a query's candidates, and what speaks for each.

        Returns
        -------
        Item ids, and float32 (n, 7): the sums `stan`, `flat`, `forward`, `recent`, `next`,
        `last`, `before` over the neighbours.
        """
        candidates, sums = self._engine.evidence(self._pack([query]))
        return [self._catalogue.names[number] for number in candidates], sums

    def _pack(self, queries: Sequence[Query]) -> PackedQueries:
        return pack_queries(queries, self._catalogue.numbers)

    def may_repurchase(self, item: str) -> bool:
        """Tell whether customers buy items like this one again.

        Parameters
        ----------
        item
            Item id; judged by the category that its newest interaction named.
        """
        number = self._catalogue.numbers.get(item, 0)
        return self._habits.has_habit(self._catalogue.categories[number])

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
            held = self._engine.session(hash_customer(customer), session)
            items = [self._catalogue.names[number] for number in held]
        query = Query(customer, session, tuple(map(str, items)))
        listed = self.recommend_many([query], PREFERENCE_DEPTH)[0]
        return {candidate.item: candidate.score for candidate in listed}

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
