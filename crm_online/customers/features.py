"""Features of a customer at a moment: facts taken one by one, then columns a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crm_online.customers.state import DAY, CustomerState

__all__ = ["FEATURES", "TEXTS", "Facts", "describe", "facts", "features_many", "natural_many"]

Facts = tuple[float, ...]
Rows = NDArray[np.float64]

FEATURES: Final = (
    "recency",
    "occasions",
    "age",
    "mean_gap",
    "last_gap",
    "gap_ratio",
    "mean_total",
    "last_total",
    "basket",
    "activity_30",
    "activity_90",
    "gap_cv",
    "rate",
    "single",
    "alive",
    "recency_x_occasions",
    "recency_x_single",
    "spend_90",
    "refund_share",
    "occasions_60",
    "since_order",
    "spend_30",
    "refunds_90",
    "longest_gap_ratio",
    "quantity",
)
USUAL_GAP_DAYS: Final = 30.0
ONE_GAP: Final = 2.0  # occasions; a spread takes more

TEXTS: Final = {
    "recency": "last active {:.0f} days ago",
    "occasions": "{:.0f} visits so far",
    "age": "known for {:.0f} days",
    "mean_gap": "usually {:.0f} days between visits",
    "last_gap": "{:.0f} days between the last two visits",
    "gap_ratio": "silent for {:.1f} times the usual gap",
    "mean_total": "{:.2f} per order on average",
    "last_total": "last order of {:.2f}",
    "basket": "{:.0f} products in the last order",
    "activity_30": "recent activity level {:.1f} (30 days)",
    "activity_90": "recent activity level {:.1f} (90 days)",
    "gap_cv": "irregularity of visits {:.2f}",
    "rate": "{:.3f} visits per day",
    "single": "has come back at least once|has come only once",
    "alive": "chance to be within the usual rhythm {:.2f}",
    "recency_x_occasions": "{:.1f}: silence weighed with loyalty",
    "recency_x_single": "{:.1f}: silence after a single visit",
    "spend_90": "recent spend level {:.2f} (90 days)",
    "refund_share": "{:.2f} of the spend was refunded",
    "occasions_60": "recent level of visits {:.1f} (60 days)",
    "since_order": "no order for {:.0f} days",
    "spend_30": "recent spend level {:.2f} (30 days)",
    "refunds_90": "recent level of refunds {:.1f} (90 days)",
    "longest_gap_ratio": "silent for {:.1f} times the longest gap",
    "quantity": "usually {:.0f} units of a product",
}


def facts(state: CustomerState, at: float) -> Facts:
    """Take the numbers that features are made of, before the state moves on.

    Parameters
    ----------
    state
        Of one customer.
    at
        The moment to look from, seconds; never before the customer's last event.
    """
    return (
        at,
        state.origin or state.first_seen,
        state.last_occasion,
        state.occasions,
        state.gap_mean,
        state.gap_m2,
        state.last_gap,
        state.spend,
        state.last_total,
        state.basket,
        state.activity_30,
        state.activity_90,
        state.orders,
        state.spend_90,
        state.refunds,
        state.last_activity or state.first_seen,
        state.last_seen,
        state.last_order,
        state.longest_gap,
        state.quantity,
        state.occasions_60,
        state.spend_30,
        state.refunds_90,
    )


def features_many(rows: Sequence[Facts]) -> tuple[Rows, Rows]:
    """Turn facts into features, all rows at once.

    Parameters
    ----------
    rows
        n results of `facts`.

    Returns
    -------
    features : array of float64, shape (n, f)
        In the order of `FEATURES`; each number is one that float32 holds exactly, so that a
        model learns later from just what it predicted on.
    rfm : array of float64, shape (n, 3)
        Recency in days, frequency in occasions, money in major units.
    """
    taken = np.array(rows, dtype=np.float64).T
    at, origin, last, n, gap, gap_m2, last_gap, spend = taken[:8]
    last_total, basket, activity_30, activity_90, orders, spend_90, refunds, active = taken[8:16]
    age = np.maximum(at - origin, 0.0) / DAY
    silent = np.maximum(at - np.where(n > 0, last, active), 0.0) / DAY
    has_gap = gap > 0.0
    usual = np.where(has_gap, gap, USUAL_GAP_DAYS)
    spread = np.sqrt(gap_m2 / np.maximum(n - 1.0, 1.0)) / usual
    single = n == 1.0
    logged = np.log1p(
        (
            silent,
            n,
            age,
            gap,
            last_gap,
            np.where(has_gap, silent / usual, 0.0),
            np.maximum(spend, 0.0) / np.maximum(orders, 1.0) / 100.0,
            np.maximum(last_total, 0.0) / 100.0,
            basket,
            activity_30,
            activity_90,
        )
    )
    columns = (
        *logged,
        np.where(has_gap & (n > ONE_GAP), spread, 0.0),
        np.log((n + 1.0) / (age + 7.0)),
        single,
        1.0 / (1.0 + silent / usual),
        logged[0] * logged[1],
        logged[0] * single,
        np.log1p(np.maximum(spend_90, 0.0) / 100.0),
        np.minimum(refunds / np.maximum(spend, 1.0), 1.0),
        *_later_columns(taken, age, silent),
    )
    features = np.column_stack(columns).astype(np.float32).astype(np.float64)
    rfm = np.column_stack((np.maximum(at - active, 0.0) / DAY, n, np.maximum(spend, 0.0) / 100.0))
    return features, rfm


def _later_columns(taken: Rows, age: Rows, silent: Rows) -> tuple[Rows, ...]:
    """Compute what 0.1.0 did not know; its customers' longest gap is one of the two it kept."""
    at, gap, last_gap = taken[0], taken[4], taken[6]
    seen, ordered, longest, quantity, occasions_60, spend_30, refunds_90 = taken[16:]
    past = np.maximum(at - seen, 0.0) / DAY
    month, month3 = np.exp(-past / 30.0), np.exp(-past / 90.0)
    longest = np.maximum(longest, np.maximum(gap, last_gap))
    return (
        np.log1p(occasions_60 * np.exp(-past / 60.0)),
        np.log1p(np.where(ordered > 0.0, np.maximum(at - ordered, 0.0) / DAY, age)),
        np.log1p(np.maximum(spend_30 * month, 0.0) / 100.0),
        np.log1p(refunds_90 * month3),
        np.where(longest > 0.0, np.log1p(silent) - np.log1p(longest), 0.0),
        quantity,
    )


def natural_many(columns: NDArray[np.int64], values: Rows) -> Rows:
    """Undo the logarithms, so that a reader sees days, visits and money.

    Parameters
    ----------
    columns : array of int, shape (n, k)
        Numbers of features.
    values : array of float64, shape (n, k)
        Their values as models see them.
    """
    natural = np.where(_LOGGED[columns], np.expm1(values), values)
    return np.where(_RATIOS[columns], np.exp(values), natural)


def describe(feature: str, value: float) -> str:
    """Say a feature in words a marketer reads.

    Examples
    --------
    >>> describe("recency", 43.2)
    'last active 43 days ago'
    >>> describe("single", 1.0)
    'has come only once'
    """
    return _SAY[feature](value)


def _say(text: str) -> Callable[[float], str]:
    if "|" not in text:
        return text.format
    choices = text.split("|")
    return lambda value: choices[round(value)]


_LOGGED: Final = np.array(
    [
        name in FEATURES[: FEATURES.index("gap_cv")]
        or name in {"spend_90", "occasions_60", "since_order", "spend_30", "refunds_90", "quantity"}
        for name in FEATURES
    ]
)
_RATIOS: Final = np.array([name in {"rate", "longest_gap_ratio"} for name in FEATURES])
_SAY: Final = {feature: _say(text) for feature, text in TEXTS.items()}
