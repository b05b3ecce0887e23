"""Kernels: ranked lists with reasons and fallbacks, for many queries at once."""

from __future__ import annotations

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.fallbacks import list_covisited, list_trending
from crm_online.models.next_item.inserting import insert, seal
from crm_online.models.next_item.layout import (
    BECAUSE,
    COVISITATION_SOURCE,
    FLAT,
    NEIGHBOUR_SOURCE,
    SESSION_LENGTH,
    SPARE,
    STRONGEST_NEIGHBOUR,
    TRENDING_SOURCE,
    Float32,
    Index,
    Int32,
    Int64,
    Lists,
    PackedQueries,
    Scratch,
)
from crm_online.models.next_item.neighbours import gather_evidence
from crm_online.models.next_item.ranking import find_shortlist, weigh_shortlist
from crm_online.models.next_item.sessions import find_slot, hash_session
from crm_online.models.next_item.shortlist import lift_evidence
from crm_online.models.next_item.strangers import call_back, take_session
from crm_online.models.next_item.weights import Embedding

__all__ = ["gather_for", "list_items", "recommend"]


@compiled
def _explain(place: int, session: Int32, scratch: Scratch, because: Int32) -> None:
    """Name the session's items, newest first, that a candidate's strongest neighbour holds."""
    candidate, item = scratch.rows[place], scratch.candidates[place]
    named = 0
    if candidate[FLAT] > 0:
        row = scratch.neighbours[np.int64(candidate[STRONGEST_NEIGHBOUR])]
        for distance in range(len(session)):
            own = session[len(session) - 1 - distance]
            if named == BECAUSE:
                break
            if own == item or _stands_later(own, distance, session):
                continue
            for held in range(SESSION_LENGTH):
                if row[held] == own:
                    because[named] = own
                    named += 1
                    break
    if named == 0:
        because[0] = item


@compiled
def _stands_later(item: int, distance: int, session: Int32) -> bool:
    for nearer in range(distance):  # noqa: SIM110 - numba compiles no generator
        if session[len(session) - 1 - nearer] == item:
            return True
    return False


@compiled
def _list_ranked(
    size: int,
    query: int,
    session: Int32,
    scratch: Scratch,
    items: Int32,
    scores: Float32,
    because: Int32,
) -> int:
    """List the best of the short list by their chances, with reasons; return how many."""
    for entry in range(size):
        if scratch.chances[entry] > scores[-1]:
            insert(entry, scratch.chances[entry], 0, items, scores)
    end = min(size, len(items))
    for place in range(end):
        entry = scratch.shortlist[items[place]]
        _explain(entry, session, scratch, because[place])
        items[place] = scratch.candidates[entry]
    return seal(0, query, 2, items, scores, scratch.listed)


@compiled
def list_items(
    size: int, query: int, session: Int32, index: Index, scratch: Scratch, row: int, lists: Lists
) -> None:
    """Fill one row of the lists from a short list, and what lies below the neighbours.

    Parameters
    ----------
    size
        Of the short list.
    query
        Items listed under this number are left out.
    session
        Item numbers, oldest first; may be empty.
    index
        Read only.
    scratch
        From `find_shortlist` and `weigh_shortlist`; strangers from `take_session`.
    row
        Which.
    lists
        To be filled.
    """
    items, scores, sources = lists.items[row], lists.scores[row], lists.sources[row]
    because = lists.because[row]
    scores[:] = -1
    end = _list_ranked(size, query, session, scratch, items, scores, because)
    sources[:end] = NEIGHBOUR_SOURCE
    if end < len(items) and len(session) > 0:
        first = end
        end = list_covisited(session, first, query, index, scratch, items, scores, because)
        sources[first:end] = COVISITATION_SOURCE
    if end < len(items):
        first = end
        end = list_trending(first, query, index, scratch, items, scores)
        sources[first:end] = TRENDING_SOURCE
    spare = len(index.statistics) - SPARE
    call_back(items, spare, scratch.strangers)
    for place in range(end):
        call_back(because[place], spare, scratch.strangers)


@compiled
def _slot_of(query: int, queries: PackedQueries, index: Index) -> int:
    key = hash_session(queries.customers[query], queries.sessions[query])
    return find_slot(key, index.session_keys, index.key_table)


@compiled
def _take_query(
    query: int, queries: PackedQueries, index: Index, session: Int32, strangers: Int32
) -> int:
    items = queries.items[queries.item_bounds[query] : queries.item_bounds[query + 1]]
    return take_session(items, len(index.statistics) - SPARE, session, strangers)


@compiled
def gather_for(query: int, queries: PackedQueries, index: Index, scratch: Scratch) -> int:
    """Gather the evidence for one packed query; return the number of candidates."""
    session, strangers = scratch.session, scratch.strangers
    taken, found = _take_query(query, queries, index, session, strangers), 0
    if taken > 0:
        slot = _slot_of(query, queries, index)
        found = gather_evidence(session[:taken], slot, index, scratch)
    lift_evidence(found, scratch.candidates, scratch.evidence, scratch.rows, scratch.largest)
    call_back(scratch.candidates[:found], len(index.statistics) - SPARE, strangers)
    return found


@compiled
def _exclude(query: int, queries: PackedQueries, number: int, listed: Int64) -> None:
    for place in range(queries.excluded_bounds[query], queries.excluded_bounds[query + 1]):
        item = queries.excluded[place]
        if item < 0:
            item = len(listed) - SPARE - 1 - item
        listed[item] = number


@compiled
def recommend(
    queries: PackedQueries,
    index: Index,
    embedding: Embedding,
    weights: Float32,
    scratch: Scratch,
    lists: Lists,
) -> None:
    """Rank items for many queries.

    Parameters
    ----------
    queries
        Q open sessions and what to leave out.
    index, embedding, weights
        Read only.
    scratch
        Work space.
    lists
        Q rows of zeros, to be filled from the left; sources stay zero where a list ends. Scores
        fall along a list: 2 + chance for neighbours, 1 + share for covisitation, share for
        trending.
    """
    length = lists.items.shape[1]
    for query in range(len(queries.customers)):
        scratch.counts[0] += 1
        number = scratch.counts[0]
        _exclude(query, queries, number, scratch.listed)
        taken = _take_query(query, queries, index, scratch.session, scratch.strangers)
        session, size = scratch.session[:taken], 0
        if taken > 0:
            slot = _slot_of(query, queries, index)
            size = find_shortlist(session, slot, length, number, index, embedding, scratch)
            weigh_shortlist(size, weights, scratch)
        list_items(size, number, session, index, scratch, query, lists)
