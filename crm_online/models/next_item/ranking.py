"""Kernels: from an open session to a short list with the chance of each candidate."""

from __future__ import annotations

from crm_online.models.compiling import compiled
from crm_online.models.next_item.features import describe_shortlist
from crm_online.models.next_item.layout import LONGEST_LIST, Float32, Index, Int32, Scratch
from crm_online.models.next_item.neighbours import gather_evidence
from crm_online.models.next_item.reranker import estimate_chances, score_shortlist
from crm_online.models.next_item.shortlist import SHORTLIST, lift_evidence, shorten
from crm_online.models.next_item.weights import Embedding

__all__ = ["rank_session"]


@compiled
def rank_session(
    session: Int32,
    own_slot: int,
    length: int,
    query: int,
    index: Index,
    embedding: Embedding,
    weights: Float32,
    scratch: Scratch,
) -> int:
    """Find candidates for a session's next item and the chance of each on the short list.

    Parameters
    ----------
    session
        Item numbers, oldest first; at least one, at most 16.
    own_slot
        Slot of the session itself, which is no neighbour; -1 where it has none.
    length
        Of the list that is asked for; the short list is no shorter.
    query
        Items listed under this number are left out.
    index, embedding, weights
        Read only.
    scratch
        `shortlist`, `features`, `hidden` and `chances` are filled.

    Returns
    -------
    How many are on the short list.
    """
    found = gather_evidence(session, own_slot, index, scratch)
    lift_evidence(found, scratch.candidates, scratch.evidence, scratch.rows, scratch.largest)
    size = shorten(found, min(max(SHORTLIST, length), LONGEST_LIST), query, scratch)
    if size > 0:
        describe_shortlist(session, found, size, index, embedding, scratch)
        score_shortlist(size, weights, scratch.features, scratch.hidden, scratch.chances)
        estimate_chances(size, scratch.chances)
    return size
