"""What is asked of the next-item model, and what it answers."""

from __future__ import annotations

import msgspec

__all__ = ["Candidate", "Query"]


class Query(msgspec.Struct, frozen=True, gc=False):
    """One customer's open session, to be continued.

    Parameters
    ----------
    customer
        Customer id.
    session
        Number of the customer's session, as in `Interaction`; its own clicks in the index are
        no neighbours of it.
    items
        Items of the open session, oldest first; may be empty.
    exclude
        Items that must not be listed.
    at
        Event time, seconds since 1970.
    """

    customer: str
    session: int
    items: tuple[str, ...] = ()
    exclude: frozenset[str] = frozenset()
    at: float = 0.0


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One item of a list.

    Parameters
    ----------
    item
        Item id.
    score
        Falls along the list: in (2, 3] from neighbours, (1, 2] from covisitation, (0, 1] trending.
    source
        ``"session-neighbours"``, ``"covisitation"`` or ``"trending"``.
    because
        Up to three items of the open session that led to it, newest first; empty for trending.
    """

    item: str
    score: float
    source: str
    because: tuple[str, ...]
