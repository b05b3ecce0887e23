"""Interactions for next-item tests: builders, strategies, and the formulas spelled out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from crm_online.models.next_item import NextItem
from crm_online.scores import Interaction

__all__ = ["click", "clicks", "evidence_by_hand", "interactions", "make", "order"]

ITEMS = "abcdefgh"


def click(
    customer: str, item: str, session: int = 1, kind: str = "Product Viewed", category: str = ""
) -> Interaction:
    """Build one interaction."""
    return Interaction(0, 0, customer, session, item, kind, 0.0, category)


def order(customer: str, item: str, category: str, *, repeat: bool) -> Interaction:
    """Build one purchase."""
    return Interaction(0, 0, customer, 1, item, "Order Completed", 0.0, category, repeat)


def clicks(*sessions: tuple[str, Iterable[str]]) -> list[Interaction]:
    """Build the clicks of some customers' first sessions, one customer after the other."""
    return [click(customer, item) for customer, items in sessions for item in items]


def make(interactions: Sequence[Interaction], **parameters: int) -> NextItem:
    """Make a small model that has learned some interactions."""
    model = NextItem(**{"max_items": 50, "max_sessions": 32, **parameters})
    model.learn_many(interactions)
    return model


interactions = st.builds(
    click,
    customer=st.sampled_from(["ann", "bob", "cid", "dan"]),
    item=st.sampled_from(ITEMS),
    session=st.integers(1, 3),
    kind=st.sampled_from(["Product Viewed", "Order Completed"]),
    category=st.sampled_from(["", "bread"]),
)


def evidence_by_hand(
    session: Sequence[str], sessions: Sequence[Sequence[str]]
) -> dict[str, list[float]]:
    """Compute the seven evidence sums from all sessions (oldest first), none being the open one."""
    distances: dict[str, int] = {}
    for back, item in enumerate(reversed(session)):
        distances.setdefault(item, back)
    last = session[-1]
    before = next((item for item in reversed(session) if item != last), None)
    sums: dict[str, list[float]] = {}
    for age, row in enumerate(reversed(sessions)):
        shared = set(row) & set(distances)
        if not shared:
            continue
        value = sum(math.exp(-distances[item] / 2) for item in shared)
        latest = max(place for place, item in enumerate(row) if item in shared)
        nearest_item = min(shared, key=lambda item: distances[item])
        nearest = _latest(row, nearest_item)
        recency = 1 / (1 + age / 20_000)
        for place, item in enumerate(row):
            gap = abs(place - nearest)
            flat = value / math.sqrt(len(row))
            of_item = sums.setdefault(item, [0.0] * 7)
            of_item[0] += flat * 2 ** (-abs(place - latest) / 2)
            of_item[1] += flat
            of_item[2] += value / gap if place > nearest else 0
            of_item[3] += value * recency / (1 + gap)
            of_item[4] += last in shared and place == _latest(row, last) + 1
            of_item[5] += recency * _inverse_gap(row, place, last)
            of_item[6] += _inverse_gap(row, place, before)
    return sums


def _latest(row: Sequence[str], item: str) -> int:
    return max(place for place, held in enumerate(row) if held == item)


def _inverse_gap(row: Sequence[str], place: int, item: str | None) -> float:
    if item is None or item not in row or place == _latest(row, item):
        return 0.0
    return 1 / abs(place - _latest(row, item))
