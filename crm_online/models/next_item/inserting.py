"""Kernels: a list that is kept in order while items are inserted."""

from __future__ import annotations

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import Float32, Int32, Int64

__all__ = ["insert", "seal"]


@compiled
def insert(item: int, score: np.float32, first: int, items: Int32, scores: Float32) -> None:
    """Insert before a lower score, into a list that is sorted from `first` on."""
    place = len(items) - 1
    while place > first and scores[place - 1] < score:
        items[place] = items[place - 1]
        scores[place] = scores[place - 1]
        place -= 1
    items[place] = item
    scores[place] = score


@compiled
def seal(first: int, query: int, tier: int, items: Int32, scores: Float32, listed: Int64) -> int:
    """Mark what was inserted from `first` on as listed; return the length of the list."""
    place = first
    while place < len(items) and scores[place] >= 0:
        listed[items[place]] = query
        scores[place] += np.float32(tier)
        place += 1
    return place
