"""How one score changes what is known of a customer: views, cart, segments, the newest numbers."""

from __future__ import annotations

from typing import Final

from crm_online.actions.state import ActionState, Latest, View
from crm_online.actions.triggers import Look
from crm_online.actions.when import MAX_VIEWS
from crm_online.scores import ScoreUpdate

__all__ = ["remember"]

VIEWED_ITEMS: Final = 16
CART_ITEMS: Final = 32
ORDERED: Final = frozenset({"Order Completed", "Completed Order"})


def remember(state: ActionState, score: ScoreUpdate, now: float) -> Look:
    """Take in a score that was not seen before; returns the moment to judge by.

    Parameters
    ----------
    state
        Changed in place.
    score
        The newest of the customer.
    now
        Time of the decision: the partition's watermark.
    """
    before, at = state.latest, score.at.timestamp()
    state.latest = Latest(
        score.score_id,
        score.segment,
        score.churn_probability,
        score.calibrated,
        score.churn_reasons,
        score.expected_value,
        score.currency,
        score.orders,
        score.spend,
        score.timezone,
        score.consent,
        score.traits,
        score.recommended or (before.recommended if before is not None else []),
        score.unsubscribed,
    )
    if before is not None and before.segment != score.segment:
        state.visited = [s for s in state.visited if s != before.segment] + [before.segment]
    if score.last_activity_at is not None:
        state.last_activity = score.last_activity_at.timestamp()
    viewed = _take_event(state, score, at)
    new = before is None and score.cause == "event" and score.first_seen_at == score.at
    return Look(state, now, before, viewed, new, scored=True)


def _take_event(state: ActionState, score: ScoreUpdate, at: float) -> str:
    """Follow the event behind a score; returns the item that it shows to be viewed, or ``""``."""
    if score.event == "Product Viewed" and score.items:
        _view(state, score.items[0], at)
        return score.items[0]
    if score.event in ORDERED:
        state.views = [view for view in state.views if view.item not in score.items]
        state.cart, state.ordered_at = [], max(state.ordered_at, at)
    elif score.event == "Product Added" and score.items and at > state.ordered_at:
        kept = [item for item in state.cart if item not in score.items]
        state.cart, state.cart_at = (kept + score.items)[-CART_ITEMS:], at
    elif score.event == "Product Removed":
        state.cart = [item for item in state.cart if item not in score.items]
    return ""


def _view(state: ActionState, item: str, at: float) -> None:
    found = next((view for view in state.views if view.item == item), None) or View(item, [])
    times = sorted([*found.times, at])[-MAX_VIEWS - 1 :]
    others = [view for view in state.views if view.item != item]
    state.views = [*others, View(item, times)][-VIEWED_ITEMS:]
