"""Kernels that count: clicks into sessions, postings, covisits, trends; items in and out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crm_online.models.compiling import compiled
from crm_online.models.next_item.covisitation import count_covisits
from crm_online.models.next_item.layout import (
    CLICKS,
    COUNT,
    COVISITED,
    FIRST_SEEN,
    GONE,
    KNOWN,
    LAST_SEEN,
    SESSION_LENGTH,
    SESSIONS,
    Float64,
    Index,
    Int32,
)
from crm_online.models.next_item.postings import free_ring, post
from crm_online.models.next_item.sessions import (
    append_click,
    find_slot,
    hash_session,
    open_session,
    sequence_number,
)
from crm_online.models.next_item.trending import count_trend

__all__ = ["admit_item", "evict_items", "learn_click"]


@compiled
def _holds(row: Int32, item: int) -> bool:
    for place in range(SESSION_LENGTH):  # noqa: SIM110 - numba compiles no generator
        if row[place] == item:
            return True
    return False


@compiled
def _count_click(row: Float64, click: int) -> None:
    if row[COUNT] == 0:
        row[FIRST_SEEN] = click
    row[COUNT] += 1
    row[LAST_SEEN] = click


@compiled
def learn_click(key: np.uint64, item: int, index: Index) -> None:
    """Learn one click; the arena must have room.

    Parameters
    ----------
    key
        Of its session.
    item
        Item number, or minus the provisional number of an item that waits for its second
        customer: that only keeps its place in the session.
    index
        Changed in place.
    """
    slot = open_session(key, index)
    row = index.sessions[slot]
    again = _holds(row, item)
    place = append_click(row, item)
    if item > 0:
        _count_click(index.statistics[item], index.clock[CLICKS])
        if not again:
            newest, slots = index.clock[SESSIONS], len(index.session_keys)
            post(item, sequence_number(slot, newest, slots), index)
            count_covisits(row, place, index)
            count_trend(item, index)
    index.clock[CLICKS] += 1


@compiled
def admit_item(
    item: int, provisional: int, customer: np.uint64, session: int, index: Index
) -> None:
    """Put an item in the place that its first customer's session kept for it, if still held."""
    key = hash_session(customer, session)
    slot = find_slot(key, index.session_keys, index.key_table)
    index.statistics[item, KNOWN] = 1
    index.statistics[item, FIRST_SEEN] = index.clock[CLICKS]
    index.statistics[item, LAST_SEEN] = index.clock[CLICKS]
    if slot < 0:
        return
    row = index.sessions[slot]
    first = -1
    for place in range(SESSION_LENGTH - 1, -1, -1):
        if row[place] == -provisional:
            row[place] = item
            first = place
    if first >= 0:
        _count_click(index.statistics[item], index.clock[CLICKS])
        post(item, sequence_number(slot, index.clock[SESSIONS], len(index.session_keys)), index)
        count_covisits(row, first, index)
        count_trend(item, index)


@compiled
def evict_items(evicted: npt.NDArray[np.bool_], index: Index) -> None:
    """Take items out of everything but the leaders, which the caller sorts anew.

    Parameters
    ----------
    evicted
        bool (N,): true for the item numbers to take out.
    index
        Changed in place.
    """
    for slot in range(len(index.sessions)):
        row = index.sessions[slot]
        for place in range(SESSION_LENGTH):
            if row[place] > 0 and evicted[row[place]]:
                row[place] = GONE
    for item in range(1, len(evicted)):
        if evicted[item]:
            free_ring(index.rings[item], index)
            index.statistics[item, :] = 0
            index.covisits[item, :, :] = 0
            continue
        partners, weights = index.covisits[item, 0], index.covisits[item, 1]
        for place in range(COVISITED):
            if partners[place] > 0 and evicted[partners[place]]:
                partners[place] = 0
                weights[place] = 0
