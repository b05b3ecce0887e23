"""Kernels: the nearest sessions to an open one."""

from __future__ import annotations

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import (
    CAPACITY,
    DISTANCE,
    NEIGHBOURS,
    SESSION_ITEMS,
    SESSION_LENGTH,
    SESSIONS,
    START,
    WRITTEN,
    Float32,
    Index,
    Int32,
    Scratch,
)

__all__ = ["WEIGHT", "find_nearest", "find_threshold"]

WEIGHT = np.exp(-np.arange(SESSION_LENGTH + 1) / 2).astype(np.float32)  # by clicks from the end
BINS = 1024


@compiled
def _touch_sessions(
    ring: Int32,
    arena: Int32,
    newest: int,
    own_slot: int,
    weight: np.float32,
    similarity: Float32,
    touched: Int32,
    found: int,
) -> int:
    """Add an item's weight to the sessions it is posted under, newest first."""
    start, capacity, written = ring[START], ring[CAPACITY], ring[WRITTEN]
    slots = len(similarity)
    for back in range(1, min(written, capacity) + 1):
        sequence = np.int64(arena[start + ((written - back) & (capacity - 1))])
        slot = sequence & (slots - 1)
        if ((newest - sequence) & 0xFFFFFFFF) >= slots or slot == own_slot:
            continue
        if similarity[slot] == 0:
            touched[found] = slot
            found += 1
        similarity[slot] += weight
    return found


@compiled
def _find_sessions(items: Int32, own_slot: int, index: Index, scratch: Scratch) -> int:
    """Mark the open session's items and touch the sessions that share them; return how many."""
    found = 0
    distinct = 0
    for distance in range(len(items)):
        item = items[len(items) - 1 - distance]
        if scratch.evidence[item, DISTANCE] > 0:
            continue
        scratch.evidence[item, DISTANCE] = distance + 1
        if distinct < SESSION_ITEMS:
            distinct += 1
            found = _touch_sessions(
                index.rings[item],
                index.arena,
                index.clock[SESSIONS],
                own_slot,
                WEIGHT[distance],
                scratch.similarity,
                scratch.touched,
                found,
            )
    return found


@compiled
def find_threshold(values: Float32, keep: int, histogram: Int32) -> tuple[int, int, np.float32]:
    """Find the histogram bin of the keep-th largest of some positive values, without sorting.

    Returns
    -------
    The bin, how many of that bin to keep, and the factor from a value to its bin; bin -1 where
    all are to be kept.
    """
    largest = np.float32(0)
    for value in values:
        largest = max(largest, value)
    if len(values) <= keep:
        return -1, 0, np.float32(0)
    scale = np.float32(BINS) / largest
    histogram[:] = 0
    for value in values:
        histogram[int(value * scale)] += 1
    threshold = BINS
    above = 0
    while above + histogram[threshold] < keep:
        above += histogram[threshold]
        threshold -= 1
    return threshold, keep - above, scale


@compiled
def _take_values(found: int, similarity: Float32, touched: Int32, values: Float32) -> None:
    for entry in range(found):
        slot = touched[entry]
        values[entry] = similarity[slot]
        similarity[slot] = 0


@compiled
def _keep_nearest(
    found: int, sessions: Int32, neighbours: Int32, touched: Int32, values: Float32, bins: Int32
) -> int:
    """Keep the nearest sessions, the newest item's first on ties, and copy their rows.

    Copying the rows in a loop of its own lets their cache misses overlap.
    """
    threshold, ties, scale = find_threshold(values[:found], NEIGHBOURS, bins)
    kept = 0
    for entry in range(found):
        if threshold >= 0:
            level = int(values[entry] * scale)
            if level < threshold:
                continue
            if level == threshold:
                if ties == 0:
                    continue
                ties -= 1
        slot = touched[entry]
        touched[kept] = slot
        values[kept] = values[entry]
        for place in range(SESSION_LENGTH):
            neighbours[kept, place] = sessions[slot, place]
        kept += 1
    return kept


@compiled
def find_nearest(items: Int32, own_slot: int, index: Index, scratch: Scratch) -> int:
    """Find the sessions most similar to the open one.

    Parameters
    ----------
    items
        Item numbers of the open session, oldest first.
    own_slot
        Slot of the open session itself; -1 where it has none.
    index
        Read only.
    scratch
        Neighbours (rows), touched (slots) and values (similarity) are filled, and the open
        session's items marked by their distance from its end.

    Returns
    -------
    How many neighbours there are.
    """
    found = _find_sessions(items, own_slot, index, scratch)
    _take_values(found, scratch.similarity, scratch.touched, scratch.values)
    return _keep_nearest(
        found,
        index.sessions,
        scratch.neighbours,
        scratch.touched,
        scratch.values,
        scratch.histogram,
    )
