"""Kernels: what fills a list that neighbours left short, covisited items and trending ones."""

from __future__ import annotations

import math

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.inserting import insert, seal
from crm_online.models.next_item.layout import (
    COVISITED,
    LEADING,
    TREND,
    Float32,
    Index,
    Int32,
    Scratch,
)
from crm_online.models.next_item.nearest import WEIGHT

__all__ = ["list_covisited", "list_trending"]

LEAST = np.float32(1e-6)
SHARES, STRONGEST_SHARE, STRONGEST_ITEM = range(3)  # columns of an evidence row, as used here


@compiled
def list_covisited(  # noqa: C901 - split, it would hand nine arrays around
    session: Int32,
    first: int,
    query: int,
    index: Index,
    scratch: Scratch,
    items: Int32,
    scores: Float32,
    because: Int32,
) -> int:
    """Fill up with items that were touched together with the open session's items."""
    evidence, candidates = scratch.evidence, scratch.candidates
    found = 0
    for distance in range(len(session)):
        own = session[len(session) - 1 - distance]
        partners, weights = index.covisits[own, 0], index.covisits[own, 1]
        total = np.float32(max(1, weights.sum()))
        for place in range(COVISITED):
            item = partners[place]
            if item == 0 or scratch.listed[item] == query:
                continue
            if evidence[item, SHARES] == 0:
                candidates[found] = item
                found += 1
            share = WEIGHT[distance] * np.float32(weights[place]) / total
            evidence[item, SHARES] += share
            if share > evidence[item, STRONGEST_SHARE]:
                evidence[item, STRONGEST_SHARE] = share
                evidence[item, STRONGEST_ITEM] = own
    largest = LEAST
    for entry in range(found):
        largest = max(largest, evidence[candidates[entry], SHARES])
    for entry in range(found):
        item = candidates[entry]
        share = evidence[item, SHARES] / largest
        if share > scores[-1]:
            insert(item, share, first, items, scores)
    end = seal(first, query, 1, items, scores, scratch.listed)
    for place in range(first, end):
        because[place, 0] = np.int32(evidence[items[place], STRONGEST_ITEM])
    for entry in range(found):
        evidence[candidates[entry], :] = 0
    return end


@compiled
def list_trending(
    first: int, query: int, index: Index, scratch: Scratch, items: Int32, scores: Float32
) -> int:
    """Fill up with trending items; scores are their weight as a share of the leader's."""
    place = first
    for leader in range(index.clock[LEADING]):
        if place == len(items):
            break
        item = index.leaders[leader]
        if scratch.listed[item] == query:
            continue
        behind = index.statistics[item, TREND] - index.statistics[index.leaders[0], TREND]
        items[place] = item
        scores[place] = np.float32(math.exp(behind))
        place += 1
    return place
