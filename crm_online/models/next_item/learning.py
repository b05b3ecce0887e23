"""Kernel: each click is first predicted from the session before it, and then learned."""

from __future__ import annotations

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.embedding import learn_follower, remember_click
from crm_online.models.next_item.index import learn_click
from crm_online.models.next_item.layout import (
    SPARE,
    Index,
    Int32,
    Int64,
    Lists,
    Scratch,
    UInt64,
)
from crm_online.models.next_item.listing import list_items
from crm_online.models.next_item.postings import has_room
from crm_online.models.next_item.ranking import find_shortlist, weigh_shortlist
from crm_online.models.next_item.reranker import learn_choice
from crm_online.models.next_item.sessions import find_slot, hash_session
from crm_online.models.next_item.strangers import lent_number, take_session
from crm_online.models.next_item.weights import Embedding, Reranker

__all__ = ["learn_clicks"]

SCHOOL = 50_000  # first steps of the re-ranker, for which every click is taken


@compiled
def _take_session(slot: int, index: Index, scratch: Scratch) -> Int32:
    """Copy what stands of a session, strangers included."""
    taken = 0
    if slot >= 0:
        spare = len(index.statistics) - SPARE
        taken = take_session(index.sessions[slot], spare, scratch.session, scratch.strangers)
    return scratch.session[:taken]


@compiled
def _is_sampled(key: np.uint64, rate: float, reranker: Reranker) -> bool:
    """Tell whether the re-ranker learns from a session; a rate of zero leaves it to others."""
    if rate <= 0:
        return False
    return bool(reranker.clock[0] < SCHOOL or (key >> np.uint64(11)) * 2.0**-53 < rate)


@compiled
def _choose(item: int, size: int, reranker: Reranker, scratch: Scratch) -> None:
    """Let the re-ranker learn which item of the short list was touched, if any."""
    if item < 0:
        item = lent_number(item, len(scratch.listed) - SPARE, scratch.strangers)
    for entry in range(size):
        if scratch.items[entry] == item:
            learn_choice(
                size,
                entry,
                reranker,
                scratch.features,
                scratch.hidden,
                scratch.chances,
                scratch.turned,
                scratch.gradient,
            )
            break


@compiled
def learn_clicks(  # noqa: PLR0913 - kernels take bare arrays
    customers: UInt64,
    sessions: Int64,
    items: Int32,
    first: int,
    rate: float,
    index: Index,
    embedding: Embedding,
    reranker: Reranker,
    scratch: Scratch,
    lists: Lists,
) -> int:
    """Learn clicks from `first` on; return where it stopped for want of arena.

    Parameters
    ----------
    customers
        Hash of the customer of each click.
    sessions
        Number of the customer's session.
    items
        Item number, or minus the provisional number of an item that waits for its second
        customer.
    first
        Where to begin.
    rate
        Share of the sessions that the re-ranker learns from; 0 leaves it as it is.
    index, embedding, reranker
        Changed in place.
    scratch
        Work space.
    lists
        A row per click, filled with what was predicted; no rows where nobody asks.
    """
    asked, length = len(lists.items), lists.items.shape[1]
    for click in range(first, len(items)):
        if not has_room(index):
            return click
        item, key = items[click], hash_session(customers[click], sessions[click])
        slot = find_slot(key, index.session_keys, index.key_table)
        session = _take_session(slot, index, scratch)
        sampled = len(session) > 0 and _is_sampled(key, rate, reranker)
        if asked > 0 or sampled:
            scratch.counts[0] += 1
            number, size = scratch.counts[0], 0
            if len(session) > 0:
                size = find_shortlist(session, slot, length, number, index, embedding, scratch)
            if asked > 0:
                weigh_shortlist(size, reranker.averages, scratch)
                list_items(size, number, session, index, scratch, click, lists)
            if sampled:
                weigh_shortlist(size, reranker.weights, scratch)
                _choose(item, size, reranker, scratch)
        if item > 0:
            if len(session) > 0:
                learn_follower(session, item, embedding, scratch.work)
            remember_click(item, embedding)
        learn_click(key, item, index)
    return len(items)
