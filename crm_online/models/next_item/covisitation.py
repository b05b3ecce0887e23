"""Kernels: which items are touched in the same session, a few partners per item.

They outlive the sessions that taught them, and so speak for items whose sessions are gone.
"""

from __future__ import annotations

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import COVISITED, Index, Int32

__all__ = ["count_covisits"]

REACH = 3  # clicks back that count as touched together


@compiled
def _strengthen(partners: Int32, weights: Int32, item: int) -> None:
    """Add one to a partner; a newcomer wears the weakest down and takes its place at zero.

    References
    ----------
    Misra and Gries, Finding repeated elements, Science of Computer Programming 2 (1982).
    """
    weakest = 0
    for place in range(COVISITED):
        if partners[place] == item:
            weights[place] += 1
            return
        if weights[place] < weights[weakest]:
            weakest = place
    weights[weakest] -= 1
    if weights[weakest] <= 0:
        partners[weakest] = item
        weights[weakest] = 1


@compiled
def count_covisits(row: Int32, place: int, index: Index) -> None:
    """Count the click at a place of a session's row together with those shortly before it."""
    item = row[place]
    for earlier in range(max(0, place - REACH), place):
        partner = row[earlier]
        if partner > 0 and partner != item:
            _strengthen(index.covisits[item, 0], index.covisits[item, 1], partner)
            _strengthen(index.covisits[partner, 0], index.covisits[partner, 1], item)
