"""Kernels: the evidence that the nearest sessions give for each item.

References
----------
Garg et al., Sequence and time aware neighborhood for session-based recommendations (STAN),
SIGIR 2019. Kersbergen et al., Serenade (VMIS-kNN), SIGMOD 2022.
"""

# ruff: noqa: PLR0913 - kernels take bare arrays: a tuple of them costs at every call

from __future__ import annotations

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import (
    BEFORE,
    DISTANCE,
    FLAT,
    FORWARD,
    LAST,
    NEXT,
    RECENT,
    SESSION_LENGTH,
    SESSIONS,
    STAN,
    STRONGEST,
    STRONGEST_NEIGHBOUR,
    Float32,
    Index,
    Int32,
    Scratch,
)
from crm_online.models.next_item.nearest import find_nearest

__all__ = ["gather_evidence"]

AGE_SCALE = np.float32(20_000)  # sessions after which a neighbour counts half in RECENT
_GAPS = np.arange(SESSION_LENGTH + 1)
HALVING = (2.0 ** (-_GAPS / 2)).astype(np.float32)
PER_GAP = np.where(_GAPS > 0, 1 / np.maximum(_GAPS, 1), 0).astype(np.float32)
PER_GAP_PLUS_ONE = (1 / (1 + _GAPS)).astype(np.float32)
PER_ROOT_LENGTH = (1 / np.sqrt(np.maximum(_GAPS, 1))).astype(np.float32)


@compiled
def _sum_evidence(  # noqa: C901, PLR0912 - a call per neighbour would cost a fifth
    kept: int,
    newest: int,
    slots: int,
    last: int,
    before: int,
    rows: Int32,
    touched: Int32,
    values: Float32,
    evidence: Float32,
    candidates: Int32,
) -> int:
    """Add every neighbour's evidence to each of its items; return the number of candidates."""
    found = 0
    for neighbour in range(kept):
        value = values[neighbour]
        age = np.float32((newest - touched[neighbour]) & (slots - 1))
        recency = np.float32(1) / (np.float32(1) + age / AGE_SCALE)
        length = 0
        while length < SESSION_LENGTH and rows[neighbour, length] != 0:
            length += 1
        latest, nearest, at_last, at_before = -1, -1, -1, -1
        least = np.float32(1000)
        for place in range(length):
            item = max(rows[neighbour, place], 0)
            distance = evidence[item, DISTANCE]
            if distance == 0:
                continue
            latest = place
            if distance <= least:
                least = distance
                nearest = place
            if item == last:
                at_last = place
            elif item == before:
                at_before = place
        flat = value * PER_ROOT_LENGTH[length]
        recent = value * recency
        for place in range(length):
            item = rows[neighbour, place]
            if item < 0:
                continue
            if evidence[item, FLAT] == 0:
                candidates[found] = item
                found += 1
            gap = abs(place - nearest)
            stan = flat * HALVING[abs(place - latest)]
            evidence[item, STAN] += stan
            evidence[item, FLAT] += flat
            if place > nearest:
                evidence[item, FORWARD] += value * PER_GAP[gap]
            evidence[item, RECENT] += recent * PER_GAP_PLUS_ONE[gap]
            if at_last >= 0:
                if place == at_last + 1:
                    evidence[item, NEXT] += np.float32(1)
                evidence[item, LAST] += recency * PER_GAP[abs(place - at_last)]
            if at_before >= 0:
                evidence[item, BEFORE] += PER_GAP[abs(place - at_before)]
            if stan > evidence[item, STRONGEST]:
                evidence[item, STRONGEST] = stan
                evidence[item, STRONGEST_NEIGHBOUR] = neighbour
    return found


@compiled
def _item_before_last(items: Int32) -> int:
    """Return the newest item that differs from the last; 0 where there is none."""
    for place in range(len(items) - 2, -1, -1):
        if items[place] != items[-1]:
            return int(items[place])
    return 0


@compiled
def gather_evidence(items: Int32, own_slot: int, index: Index, scratch: Scratch) -> int:
    """Fill the evidence rows of all items that the nearest sessions hold.

    Parameters
    ----------
    items
        Item numbers of the open session, oldest first; at least one, at most 16.
    own_slot
        Slot of the open session itself, which is no neighbour; -1 where it has none.
    index
        Read only.
    scratch
        Evidence, candidates and neighbours are filled; `lift_evidence` clears the first.

    Returns
    -------
    How many candidates there are; the open session's own items are always among them.
    """
    kept = find_nearest(items, own_slot, index, scratch)
    found = _sum_evidence(
        kept,
        index.clock[SESSIONS],
        len(index.sessions),
        items[-1],
        _item_before_last(items),
        scratch.neighbours,
        scratch.touched,
        scratch.values,
        scratch.evidence,
        scratch.candidates,
    )
    return _add_own_items(items, scratch.evidence, scratch.candidates, found)


@compiled
def _add_own_items(items: Int32, evidence: Float32, candidates: Int32, found: int) -> int:
    for distance in range(len(items)):
        item = items[len(items) - 1 - distance]
        if evidence[item, FLAT] == 0 and evidence[item, DISTANCE] == distance + 1:
            candidates[found] = item
            found += 1
    return found
