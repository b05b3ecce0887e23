"""Kernels: from an open session to a short list with the chance of each candidate."""

from __future__ import annotations

from crm_online.models.compiling import compiled
from crm_online.models.next_item.features import describe_shortlist
from crm_online.models.next_item.layout import LONGEST_LIST, Float32, Index, Int32, Scratch
from crm_online.models.next_item.neighbours import gather_evidence
from crm_online.models.next_item.reranker import estimate_chances, score_shortlist
from crm_online.models.next_item.shortlist import SHORTLIST, lift_evidence, shorten
from crm_online.models.next_item.weights import Embedding

__all__ = ["find_shortlist", "weigh_shortlist"]


@compiled
def find_shortlist(
    session: Int32,
    own_slot: int,
    length: int,
    query: int,
    index: Index,
    embedding: Embedding,
    scratch: Scratch,
) -> int:
    """Find candidates for a session's next item, and describe those on the short list.

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
    index, embedding
        Read only.
    scratch
        `shortlist` and `features` are filled.

    Returns
    -------
    How many are on the short list.
    """
    found = gather_evidence(session, own_slot, index, scratch)
    lift_evidence(found, scratch.candidates, scratch.evidence, scratch.rows, scratch.largest)
    size = shorten(found, min(max(SHORTLIST, length), LONGEST_LIST), query, scratch)
    if size > 0:
        describe_shortlist(session, found, size, index, embedding, scratch)
    return size


@compiled
def weigh_shortlist(size: int, weights: Float32, scratch: Scratch) -> None:
    """Give each candidate on the short list its chance.

    Parameters
    ----------
    size
        Of the short list.
    weights
        Of the re-ranker.
    scratch
        `hidden` and `chances` are filled from `features`.
    """
    if size > 0:
        score_shortlist(size, weights, scratch.features, scratch.hidden, scratch.chances)
        estimate_chances(size, scratch.chances)
