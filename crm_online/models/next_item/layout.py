"""The arrays of the session index, and the scratch arrays of a query.

Item number 0 is *no item*; the last 16 numbers are spare (see `strangers`). Session rows hold item
numbers, oldest click first; a negative entry keeps the place of a click on an item that is not in
the index (not yet, or not any more).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "Index",
    "Lists",
    "PackedQueries",
    "Scratch",
    "new_index",
    "new_scratch",
]

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SESSION_LENGTH = 16  # clicks kept of a session: one cache line of int32
SESSION_ITEMS = 10  # distinct items of the open session that look for neighbours
POSTINGS = 512  # newest sessions kept per item
NEIGHBOURS = 500  # nearest sessions that give evidence
LONGEST_LIST = 1000  # items that can be asked for
SPARE = SESSION_LENGTH  # numbers at the end, lent to items of an open session that are unknown
GONE = -(2**31)  # stands where a session held an item that was evicted

# Columns of an evidence row: seven sums over neighbours, then marks.
STAN, FLAT, FORWARD, RECENT, NEXT, LAST, BEFORE = range(7)
EVIDENCE_SUMS = 7
DISTANCE = 7  # 1 + clicks from the end of the open session; 0: not in it
STRONGEST = 8  # largest single contribution to STAN …
STRONGEST_NEIGHBOUR = 9  # … and the neighbour that made it
EVIDENCE_WIDTH = 16  # one 64-byte cache line of float32

# Columns of an item's statistics row (float64, one cache line).
COUNT, FIRST_SEEN, LAST_SEEN, TREND, KNOWN = range(5)
STATISTICS_WIDTH = 8

# Columns of an item's posting ring.
START, CAPACITY, WRITTEN = range(3)
RING_WIDTH = 4
SMALLEST_RING = 4

COVISITED = 16  # partners kept per item
LEADERS = 256  # trending items kept in order

# Places in `Index.clock`.
CLICKS, SESSIONS, ARENA_USED, LEADING = range(4)

# Where a recommended item came from.
NEIGHBOUR_SOURCE, COVISITATION_SOURCE, TRENDING_SOURCE = range(1, 4)
BECAUSE = 3  # reasons named per recommended item


class Index(NamedTuple):
    """All that is learned from clicks; S session slots, N item numbers.

    A session's *sequence number* counts sessions by their first click, from 1; its slot is the
    sequence number modulo S. Postings and ages use sequence numbers, so a posting is dead as
    soon as its slot holds a later session, and recycling a slot needs no clean-up.

    Parameters
    ----------
    sessions
        int32 (S, 16): item numbers of each session.
    session_keys
        uint64 (S,): hash of customer and session number.
    key_table
        int32 (2 S,): open-addressing table from session key to slot + 1.
    arena
        int32: the posting rings of all items; replaced by a larger one as they grow.
    rings
        int32 (N, 4): where in the arena an item's ring starts, its capacity, entries written.
    free_blocks
        int32 (16,): first free arena block (+ 1) by the power of two of its size.
    statistics
        float64 (N, 8): clicks, first and last seen (in clicks), trend, 1 if it has a number.
    covisits
        int32 (N, 2, 16): partners of an item, and their weights.
    leaders, leader_places
        int32 (256,) trending items, best first; int32 (N,) place + 1 in it.
    clock
        int64 (8,): clicks learned, newest sequence number, arena used, leaders held.
    """

    sessions: Int32
    session_keys: UInt64
    key_table: Int32
    arena: Int32
    rings: Int32
    free_blocks: Int32
    statistics: Float64
    covisits: Int32
    leaders: Int32
    leader_places: Int32
    clock: Int64


class Scratch(NamedTuple):
    """Work space of a query; holds nothing between queries.

    Parameters
    ----------
    similarity
        float32 (S,): of each touched session; zero otherwise.
    touched, values
        Slots of touched sessions and their similarity; then those of the neighbours.
    histogram
        int32 (1025,): finds the similarity of the k-th neighbour without sorting.
    neighbours
        int32 (500, 16): rows of the nearest sessions.
    evidence
        float32 (N, 16): evidence of each candidate; zero otherwise.
    candidates
        int32: item numbers that have evidence.
    rows, largest
        float32 (n, 16) and (8,): their evidence, moved together, and the largest of each sum.
    shortlist, items
        int32: places in `candidates` of those that are ranked with care, and their numbers.
    features, feature_bits
        float32 (26, n): what the re-ranker sees of each; the same memory as int32.
    hidden, chances
        float32 (32, n) and (n,): what it makes of each.
    work
        float32 (2, 32): vectors.
    turned, gradient
        float32 (n, 32) and (922,): features by candidate, and a step of the re-ranker.
    session, strangers
        int32 (16,): the open session, and those of its items that the index does not know.
    listed
        int64 (N,): the last query that listed or excluded the item.
    counts
        int64 (2,): the running query number; neighbours of the last query.
    """

    similarity: Float32
    touched: Int32
    values: Float32
    histogram: Int32
    neighbours: Int32
    evidence: Float32
    candidates: Int32
    rows: Float32
    largest: Float32
    shortlist: Int32
    items: Int32
    features: Float32
    feature_bits: Int32
    hidden: Float32
    chances: Float32
    work: Float32
    turned: Float32
    gradient: Float32
    session: Int32
    strangers: Int32
    listed: Int64
    counts: Int64


class PackedQueries(NamedTuple):
    """Many queries in flat arrays; those of query q stand at bounds[q] to bounds[q + 1].

    Items that the index does not know are -1, -2 … in the order they first stand in the session.
    """

    customers: UInt64
    sessions: Int64
    items: Int32
    item_bounds: Int64
    excluded: Int32
    excluded_bounds: Int64


class Lists(NamedTuple):
    """Ranked lists of Q queries, as arrays (Q, k); see `listing.recommend`."""

    items: Int32
    scores: Float32
    sources: Int32
    because: Int32


def new_index(max_items: int, max_sessions: int) -> Index:
    """Make an empty index; memory is taken only as it fills.

    Parameters
    ----------
    max_items
        Items it can number.
    max_sessions
        Sessions it keeps; a power of two.
    """
    items = max_items + 1 + SPARE
    return Index(
        sessions=np.zeros((max_sessions, SESSION_LENGTH), np.int32),
        session_keys=np.zeros(max_sessions, np.uint64),
        key_table=np.zeros(2 * max_sessions, np.int32),
        arena=np.zeros(8 * POSTINGS, np.int32),
        rings=np.zeros((items, RING_WIDTH), np.int32),
        free_blocks=np.zeros(16, np.int32),
        statistics=np.zeros((items, STATISTICS_WIDTH), np.float64),
        covisits=np.zeros((items, 2, COVISITED), np.int32),
        leaders=np.zeros(LEADERS, np.int32),
        leader_places=np.zeros(items, np.int32),
        clock=np.zeros(8, np.int64),
    )


def new_scratch(max_items: int, max_sessions: int) -> Scratch:
    """Make the work space that fits an index of the same size."""
    items = max_items + 1 + SPARE
    touchable = POSTINGS * SESSION_ITEMS
    candidates = (NEIGHBOURS + 1) * SESSION_LENGTH
    listable = LONGEST_LIST + SESSION_LENGTH + 24  # rows begin in different cache sets
    features = np.zeros((26, listable), np.float32)
    return Scratch(
        similarity=np.zeros(max_sessions, np.float32),
        touched=np.zeros(touchable, np.int32),
        values=np.zeros(max(touchable, candidates), np.float32),
        histogram=np.zeros(1025, np.int32),
        neighbours=np.zeros((NEIGHBOURS, SESSION_LENGTH), np.int32),
        evidence=np.zeros((items, EVIDENCE_WIDTH), np.float32),
        candidates=np.zeros(candidates, np.int32),
        rows=np.zeros((candidates, EVIDENCE_WIDTH), np.float32),
        largest=np.zeros(8, np.float32),
        shortlist=np.zeros(listable, np.int32),
        items=np.zeros(listable, np.int32),
        features=features,
        feature_bits=features.view(np.int32),
        hidden=np.zeros((32, listable), np.float32),
        chances=np.zeros(listable, np.float32),
        work=np.zeros((2, 32), np.float32),
        turned=np.zeros((listable, 32), np.float32),
        gradient=np.zeros(922, np.float32),
        session=np.zeros(SESSION_LENGTH, np.int32),
        strangers=np.zeros(SESSION_LENGTH, np.int32),
        listed=np.zeros(items, np.int64),
        counts=np.zeros(2, np.int64),
    )
