"""Kernels: the first stage, from all candidates to a short list of the likely ones."""

from __future__ import annotations

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import (
    DISTANCE,
    EVIDENCE_WIDTH,
    LAST,
    RECENT,
    STAN,
    Float32,
    Int32,
    Scratch,
)
from crm_online.models.next_item.nearest import find_threshold

__all__ = ["SHORTLIST", "lift_evidence", "shorten"]

SHORTLIST = 60  # candidates that are ranked with care: 40 cost .0015 of HR@20, 400 gain nothing
LEAST = np.float32(1e-6)
SUMS = 8  # evidence sums, rounded up to what is computed at once


@compiled
def lift_evidence(
    found: int, candidates: Int32, evidence: Float32, rows: Float32, largest: Float32
) -> None:
    """Move the candidates' evidence together, leaving zeros behind; find the largest sums.

    Parameters
    ----------
    found
        Candidates.
    candidates
        Their item numbers.
    evidence
        float32 (N, 16): zero for all items afterwards.
    rows
        float32 (found, 16): filled.
    largest
        float32 (8,): filled with the largest of each sum.
    """
    largest[:] = LEAST
    for entry in range(found):
        item = candidates[entry]
        for column in range(EVIDENCE_WIDTH):
            rows[entry, column] = evidence[item, column]
            evidence[item, column] = 0
        for column in range(SUMS):
            largest[column] = max(largest[column], rows[entry, column])


@compiled
def shorten(found: int, keep: int, query: int, scratch: Scratch) -> int:
    """Keep the best candidates by `stan` + `recent` + `last`, and the session's own items always.

    Parameters
    ----------
    found
        Candidates, their evidence lifted.
    keep
        How many to keep beside the session's own.
    query
        Items listed or excluded under this number are left out.
    scratch
        `shortlist` is filled with the places of those kept.

    Returns
    -------
    How many were kept.
    """
    rows, values, largest = scratch.rows, scratch.values, scratch.largest
    stan, recent, last = 1 / largest[STAN], 1 / largest[RECENT], 1 / largest[LAST]
    for entry in range(found):
        values[entry] = rows[entry, STAN] * stan + rows[entry, RECENT] * recent
        values[entry] += rows[entry, LAST] * last
    threshold, ties, scale = find_threshold(values[:found], keep, scratch.histogram)
    kept = 0
    for entry in range(found):
        if threshold >= 0 and rows[entry, DISTANCE] == 0:
            level = int(values[entry] * scale)
            if level < threshold:
                continue
            if level == threshold:
                if ties == 0:
                    continue
                ties -= 1
        if scratch.listed[scratch.candidates[entry]] != query:
            scratch.shortlist[kept] = entry
            kept += 1
    return kept
