"""Outcomes whose truth is known, as they stand on the outcomes topic."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from math import exp

import msgspec

from crm_online.log import LogRecord
from crm_online.scores import NextItemOutcome, Opened, Settled, Source

__all__ = ["START", "History", "history", "log_of"]

START = datetime(2026, 3, 1, tzinfo=UTC)
HORIZON = timedelta(days=7)

Truth = Callable[[float], float]
Prediction = Opened | Settled | NextItemOutcome
History = Sequence[Prediction]


def history(
    count: int,
    seed: int = 1,
    *,
    said: Truth | None = None,
    truth: Truth = lambda x: 1.0 / (1.0 + exp(-2.0 * x)),
    feature: Truth = lambda x: x,
    per_day: int = 100,
    touches: int = 0,
    first: int = 0,
) -> list[Prediction]:
    """Open and settle predictions of customers whose chance to churn depends on one number.

    Parameters
    ----------
    count
        How many predictions.
    seed
        Of all that is random.
    said
        The published probability, from the number; the truth by default.
    truth
        The chance to churn, from the number.
    feature
        What is recorded as the feature ``recency``, from the number.
    per_day
        Predictions per day.
    touches
        Outcomes of lists among them, one after every so many; 0: none.
    first
        Offset of their first cause.
    """
    rng = random.Random(seed)
    made: list[tuple[datetime, int, Prediction]] = []
    for i in range(count):
        x = rng.gauss(0.0, 1.0)
        at = START + timedelta(days=i / per_day)
        chance = truth(x)
        churned = rng.random() < chance
        name = blake2b(f"{seed}-{i}".encode(), digest_size=12).hexdigest()
        features = {"recency": feature(x), "gap_ratio": rng.random()}
        spend = 0.0 if churned else rng.expovariate(1.0 / (20.0 + 10.0 * max(-x, 0.0)))
        both = (round((said or truth)(x), 6), 10.0, {"churn": "churn@1", "value": "value@1"})
        customer = f"c{i % 97}"
        place = Source(0, 0, 2 * i)
        made.append(
            (
                at,
                i,
                Opened(name, customer, at, at + HORIZON, place, features, (1.0, 2.0, 3.0), *both),
            )
        )
        due = at + HORIZON
        made.append(
            (
                due,
                i,
                Settled(name, customer, at, due, place, features, *both, churned, spend, False),
            )
        )
        if touches and i % touches == 0:
            rank = rng.choice([1, 2, 5, None])
            made.append(
                (
                    at,
                    i,
                    NextItemOutcome(f"t{i}", customer, at, place, 1, "i", rank, 10, "next_item@1"),
                )
            )
    made.sort(key=lambda each: each[:2])
    return [
        msgspec.structs.replace(outcome, source=Source(0, 0, offset))
        for offset, (_, _, outcome) in enumerate(made, first)
    ]


def log_of(outcomes: History, first: int = 0) -> list[LogRecord]:
    """Write them on a topic."""
    encode = msgspec.json.Encoder().encode
    return [
        LogRecord(offset, 0, outcome.prediction_id.encode(), encode(outcome))
        for offset, outcome in enumerate(outcomes, first)
    ]
