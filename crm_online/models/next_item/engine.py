"""The session index at work: the one door to the compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crm_online.errors import SnapshotError
from crm_online.models.next_item import layout
from crm_online.models.next_item.embedding import embed_item
from crm_online.models.next_item.index import admit_item, evict_items
from crm_online.models.next_item.layout import Float32, Index, Int32, Lists, PackedQueries
from crm_online.models.next_item.learning import learn_clicks
from crm_online.models.next_item.listing import gather_for, recommend
from crm_online.models.next_item.postings import has_room
from crm_online.models.next_item.sessions import find_slot, hash_session, insert_keys
from crm_online.models.next_item.weights import new_embedding, new_reranker

__all__ = ["Engine"]


class Engine:
    """All that is learned, the work space, and the kernels that work on them.

    Parameters
    ----------
    max_items
        Items it can number.
    max_sessions
        Sessions it keeps; rounded up to a power of two.
    seed
        Of first weights and vectors, and of negative examples.
    """

    def __init__(self, max_items: int, max_sessions: int, seed: int = 0) -> None:
        slots = 1 << (max_sessions - 1).bit_length()
        self.index = layout.new_index(max_items, slots)
        self.embedding = new_embedding(max_items, seed)
        self.reranker = new_reranker(seed)
        self.scratch = layout.new_scratch(max_items, slots)

    def learn(
        self,
        customers: list[int],
        sessions: list[int],
        items: list[int],
        rate: float = 0.0,
        k: int = 0,
    ) -> Lists:
        """Learn clicks in order; return the k items predicted for each just before.

        See `learning.learn_clicks`; lists have no rows where k is 0.
        """
        packed = (
            np.array(customers, np.uint64),
            np.array(sessions, np.int64),
            np.array(items, np.int32),
        )
        lists = _new_lists(len(items) if k else 0, k)
        learned = 0
        while True:
            learned = learn_clicks(
                *packed,
                learned,
                rate,
                self.index,
                self.embedding,
                self.reranker,
                self.scratch,
                lists,
            )
            if learned == len(items):
                return lists
            self._enlarge_arena()

    def admit(self, item: int, provisional: int, holders: Sequence[tuple[int, int]]) -> None:
        """Let an item enter under its number, into the sessions of its first customers.

        See `index.admit_item`; holders are customers, hashed, and their sessions.
        """
        embed_item(item, self.embedding)
        for customer, session in holders:
            if not has_room(self.index):
                self._enlarge_arena()
            admit_item(item, provisional, np.uint64(customer), session, self.index)

    def _enlarge_arena(self) -> None:
        arena = np.zeros(2 * len(self.index.arena), np.int32)
        arena[: len(self.index.arena)] = self.index.arena
        self.index = self.index._replace(arena=arena)

    def least_recently_seen(self, count: int) -> list[int]:
        """Return the numbers of the items seen longest ago, longest first."""
        statistics = self.index.statistics
        known = np.flatnonzero(statistics[:, layout.KNOWN])
        seen = statistics[known, layout.LAST_SEEN]
        return [int(number) for number in known[np.argsort(seen, kind="stable")[:count]]]

    def evict(self, items: list[int]) -> None:
        """Take items out of the index, and look for new trending leaders."""
        evicted = np.zeros(len(self.index.statistics), np.bool_)
        evicted[items] = True
        evict_items(evicted, self.index)
        for learned in self.embedding[:3]:
            learned[items] = 0
        recent = self.embedding.recent
        recent[evicted[recent]] = 0
        trend = self.index.statistics[:, layout.TREND]
        touched = np.flatnonzero(trend)
        order = touched[np.argsort(-trend[touched], kind="stable")[: layout.LEADERS]]
        self.set_leaders(order.astype(np.int32))

    def set_leaders(self, leaders: Int32) -> None:
        """Put the trending leaders in place, best first."""
        index = self.index
        index.leaders[:] = 0
        index.leaders[: len(leaders)] = leaders
        index.leader_places[:] = 0
        index.leader_places[leaders] = np.arange(1, len(leaders) + 1)
        index.clock[layout.LEADING] = len(leaders)

    def set_weights(self, data: bytes) -> None:
        """Put the weights in place that lists are ranked by.

        Raises
        ------
        SnapshotError
            Where they are not of this format.
        """
        weights = self.reranker.averages
        if len(data) != weights.nbytes:
            raise SnapshotError(
                "the re-ranker's weights are of another format: run the learner's version of "
                "crm-online"
            )
        weights[:] = np.frombuffer(data, weights.dtype)

    def insert_keys(self, slots: npt.NDArray[np.int64]) -> None:
        """Enter the keys of filled session slots into the key table."""
        insert_keys(slots, self.index.session_keys, self.index.key_table)

    def recommend(self, queries: PackedQueries, k: int) -> Lists:
        """Rank k items for each query; see `listing.recommend`."""
        lists = _new_lists(len(queries.customers), k)
        recommend(queries, self.index, self.embedding, self.reranker.averages, self.scratch, lists)
        return lists

    def evidence(self, queries: PackedQueries) -> tuple[Int32, Float32]:
        """Return the candidates of the first query, and their evidence sums (n, 7)."""
        found = gather_for(0, queries, self.index, self.scratch)
        sums = self.scratch.rows[:found, : layout.EVIDENCE_SUMS]
        return self.scratch.candidates[:found].copy(), sums.copy()

    def session(self, customer: int, session: int) -> list[int]:
        """Return the item numbers of a session the index holds, oldest first."""
        index: Index = self.index
        key = np.uint64(hash_session(np.uint64(customer), session))
        slot = find_slot(key, index.session_keys, index.key_table)
        return [] if slot < 0 else [int(item) for item in index.sessions[slot] if item > 0]


def _new_lists(rows: int, k: int) -> Lists:
    return Lists(
        np.zeros((rows, k), np.int32),
        np.zeros((rows, k), np.float32),
        np.zeros((rows, k), np.int32),
        np.zeros((rows, k, layout.BECAUSE), np.int32),
    )
