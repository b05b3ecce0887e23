"""Kernels: from evidence to ranked lists, with reasons and fallbacks, for many queries at once."""

from __future__ import annotations

import math

import numpy as np

from crm_online.models.next_item.compiling import compiled
from crm_online.models.next_item.layout import (
    BECAUSE,
    BEFORE,
    COVISITATION_SOURCE,
    COVISITED,
    DISTANCE,
    FLAT,
    LAST,
    LEADING,
    NEIGHBOUR_SOURCE,
    RECENT,
    SESSION_LENGTH,
    STRONGEST_NEIGHBOUR,
    TREND,
    TRENDING_SOURCE,
    Float32,
    Index,
    Int32,
    Int64,
    PackedQueries,
    Scratch,
)
from crm_online.models.next_item.nearest import WEIGHT
from crm_online.models.next_item.neighbours import clear_evidence, gather_evidence
from crm_online.models.next_item.sessions import find_slot, hash_session

__all__ = ["gather_for", "recommend"]

# Weights of the square roots of three evidence shares, and of a reminder of the session's own
# items: the best of some sixty fixed combinations on the last 8 % of diginetica's training part
# (HR@20 .535, MRR@20 .191; STAN + RECENT + LAST, unrooted: .520, .185).
SCALE = 1 / (1 + 0.3 + 0.15 + 0.5)  # makes the largest possible score 1
RECENT_WEIGHT = np.float32(SCALE)
LAST_WEIGHT = np.float32(0.3 * SCALE)
BEFORE_WEIGHT = np.float32(0.15 * SCALE)
REMINDER_WEIGHT = np.float32(SCALE)  # divided by 1 + distance from the end
LEAST = np.float32(1e-6)


@compiled
def _insert(item: int, score: np.float32, first: int, items: Int32, scores: Float32) -> None:
    """Insert before a lower score, into a list that is sorted from `first` on."""
    place = len(items) - 1
    while place > first and scores[place - 1] < score:
        items[place] = items[place - 1]
        scores[place] = scores[place - 1]
        place -= 1
    items[place] = item
    scores[place] = score


@compiled
def _seal(first: int, query: int, tier: int, items: Int32, scores: Float32, listed: Int64) -> int:
    """Mark what was inserted from `first` on as listed; return the length of the list."""
    place = first
    while place < len(items) and scores[place] >= 0:
        listed[items[place]] = query
        scores[place] += np.float32(tier)
        place += 1
    return place


@compiled
def _list_neighbours(
    found: int, query: int, scratch: Scratch, items: Int32, scores: Float32
) -> None:
    """Rank the candidates by the first stage's fixed combination."""
    evidence, candidates = scratch.evidence, scratch.candidates
    recent, last, before = _scales(found, evidence, candidates)
    for entry in range(found):
        item = candidates[entry]
        if scratch.listed[item] == query:
            continue
        score = np.float32(
            math.sqrt(evidence[item, RECENT] * recent)
            + math.sqrt(evidence[item, LAST] * last)
            + math.sqrt(evidence[item, BEFORE] * before)
        )
        if evidence[item, DISTANCE] > 0:
            score += REMINDER_WEIGHT / (np.float32(1) + evidence[item, DISTANCE])
        if score > scores[-1]:
            _insert(item, score, 0, items, scores)


@compiled
def _scales(
    found: int, evidence: Float32, candidates: Int32
) -> tuple[np.float32, np.float32, np.float32]:
    """Return what turns each of three sums into its weighted share of the query's largest."""
    recent, last, before = LEAST, LEAST, LEAST
    for entry in range(found):
        item = candidates[entry]
        recent = max(recent, evidence[item, RECENT])
        last = max(last, evidence[item, LAST])
        before = max(before, evidence[item, BEFORE])
    return (
        RECENT_WEIGHT * RECENT_WEIGHT / recent,
        LAST_WEIGHT * LAST_WEIGHT / last,
        BEFORE_WEIGHT * BEFORE_WEIGHT / before,
    )


@compiled
def _explain(item: int, session: Int32, scratch: Scratch, because: Int32) -> None:
    """Name the open session's items, newest first, that the item's strongest neighbour holds."""
    evidence = scratch.evidence
    if evidence[item, FLAT] == 0:
        because[0] = item
        return
    row = scratch.neighbours[np.int64(evidence[item, STRONGEST_NEIGHBOUR])]
    named = 0
    for distance in range(len(session)):
        own = session[len(session) - 1 - distance]
        if named == BECAUSE:
            break
        if own == item or evidence[own, DISTANCE] != distance + 1:
            continue
        for place in range(SESSION_LENGTH):
            if row[place] == own:
                because[named] = own
                named += 1
                break
    if named == 0:
        because[0] = item


@compiled
def _list_covisited(
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
            if evidence[item, 0] == 0:
                candidates[found] = item
                found += 1
            share = WEIGHT[distance] * np.float32(weights[place]) / total
            evidence[item, 0] += share
            if share > evidence[item, 1]:
                evidence[item, 1] = share
                evidence[item, 2] = own
    largest = LEAST
    for entry in range(found):
        largest = max(largest, evidence[candidates[entry], 0])
    for entry in range(found):
        item = candidates[entry]
        share = evidence[item, 0] / largest
        if share > scores[-1]:
            _insert(item, share, first, items, scores)
    end = _seal(first, query, 1, items, scores, scratch.listed)
    for place in range(first, end):
        because[place, 0] = np.int32(evidence[items[place], 2])
    clear_evidence(found, scratch)
    return end


@compiled
def _list_trending(
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


@compiled
def gather_for(query: int, queries: PackedQueries, index: Index, scratch: Scratch) -> int:
    """Gather the evidence for one packed query; return the number of candidates."""
    session = queries.items[queries.item_bounds[query] : queries.item_bounds[query + 1]]
    if len(session) == 0:
        return 0
    key = hash_session(queries.customers[query], queries.sessions[query])
    own_slot = find_slot(key, index.session_keys, index.key_table)
    return gather_evidence(session, own_slot, index, scratch)


@compiled
def _recommend_one(
    query: int,
    queries: PackedQueries,
    index: Index,
    scratch: Scratch,
    items: Int32,
    scores: Float32,
    sources: Int32,
    because: Int32,
) -> None:
    scratch.counts[0] += 1
    number = scratch.counts[0]
    for excluded in queries.excluded[
        queries.excluded_bounds[query] : queries.excluded_bounds[query + 1]
    ]:
        scratch.listed[excluded] = number
    session = queries.items[queries.item_bounds[query] : queries.item_bounds[query + 1]]
    scores[:] = -1
    found = gather_for(query, queries, index, scratch)
    _list_neighbours(found, number, scratch, items, scores)
    end = _seal(0, number, 2, items, scores, scratch.listed)
    sources[:end] = NEIGHBOUR_SOURCE
    for place in range(end):
        _explain(items[place], session, scratch, because[place])
    clear_evidence(found, scratch)
    if end < len(items) and len(session) > 0:
        first = end
        end = _list_covisited(session, first, number, index, scratch, items, scores, because)
        sources[first:end] = COVISITATION_SOURCE
    if end < len(items):
        first = end
        end = _list_trending(first, number, index, scratch, items, scores)
        sources[first:end] = TRENDING_SOURCE


@compiled
def recommend(
    queries: PackedQueries,
    index: Index,
    scratch: Scratch,
    items: Int32,
    scores: Float32,
    sources: Int32,
    because: Int32,
) -> None:
    """Rank items for many queries.

    Parameters
    ----------
    queries
        Q open sessions and what to leave out.
    index
        Read only.
    scratch
        Work space.
    items, scores, sources
        (Q, k), to be filled from the left; sources are zero where the list ends. Scores fall
        along a list: 2 + share for neighbours, 1 + share for covisitation, share for trending.
    because
        int32 (Q, k, 3), zeros: the open session's items that led to each item.
    """
    for query in range(len(queries.customers)):
        _recommend_one(
            query,
            queries,
            index,
            scratch,
            items[query],
            scores[query],
            sources[query],
            because[query],
        )
