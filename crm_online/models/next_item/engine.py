"""The session index at work: the one door to the compiled kernels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crm_online.models.next_item import layout
from crm_online.models.next_item.index import admit_item, evict_items, learn_clicks
from crm_online.models.next_item.layout import Float32, Index, Int32, Lists, PackedQueries
from crm_online.models.next_item.listing import gather_for, recommend
from crm_online.models.next_item.neighbours import clear_evidence
from crm_online.models.next_item.postings import has_room
from crm_online.models.next_item.sessions import find_slot, hash_session, insert_keys

__all__ = ["Engine"]


class Engine:
    """Index and scratch arrays, and the kernels that work on them.

    Parameters
    ----------
    max_items
        Items it can number.
    max_sessions
        Sessions it keeps; rounded up to a power of two.
    """

    def __init__(self, max_items: int, max_sessions: int) -> None:
        slots = 1 << (max_sessions - 1).bit_length()
        self.index = layout.new_index(max_items, slots)
        self.scratch = layout.new_scratch(max_items, slots)

    def learn(self, customers: list[int], sessions: list[int], items: list[int]) -> None:
        """Learn clicks in order; see `index.learn_clicks`."""
        packed = (
            np.array(customers, np.uint64),
            np.array(sessions, np.int64),
            np.array(items, np.int32),
        )
        learned = learn_clicks(*packed, 0, self.index)
        while learned < len(items):
            self._enlarge_arena()
            learned = learn_clicks(*packed, learned, self.index)

    def admit(self, item: int, provisional: int, customer: int, session: int) -> None:
        """Let an item enter under its number; see `index.admit_item`."""
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

    def insert_keys(self, slots: npt.NDArray[np.int64]) -> None:
        """Enter the keys of filled session slots into the key table."""
        insert_keys(slots, self.index.session_keys, self.index.key_table)

    def recommend(self, queries: PackedQueries, k: int) -> Lists:
        """Rank k items for each query; see `listing.recommend`."""
        shape = (len(queries.customers), k)
        lists = Lists(
            np.zeros(shape, np.int32),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.int32),
            np.zeros((*shape, layout.BECAUSE), np.int32),
        )
        recommend(queries, self.index, self.scratch, *lists)
        return lists

    def evidence(self, queries: PackedQueries) -> tuple[Int32, Float32]:
        """Return the candidates of the first query, and their evidence sums (n, 7)."""
        found = gather_for(0, queries, self.index, self.scratch)
        candidates = self.scratch.candidates[:found].copy()
        sums = self.scratch.evidence[candidates, : layout.EVIDENCE_SUMS].copy()
        clear_evidence(found, self.scratch)
        return candidates, sums

    def session(self, customer: int, session: int) -> list[int]:
        """Return the item numbers of a session the index holds, oldest first."""
        index: Index = self.index
        key = np.uint64(hash_session(np.uint64(customer), session))
        slot = find_slot(key, index.session_keys, index.key_table)
        return [] if slot < 0 else [int(item) for item in index.sessions[slot] if item > 0]
