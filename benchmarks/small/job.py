"""The small job, the same function for every system: features of a customer, one River model.

It knows no Kafka and nothing of this project, so that each system imports it where it lives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from river import linear_model, preprocessing

__all__ = ["FEATURES", "Job", "State"]

FEATURES: Final = ("events", "gap", "amount", "mean_amount", "rate")
DECAY_SECONDS: Final = 3600.0

# Events so far, time of the last one, spend, spend per hour decayed.
State = Sequence[float]
EMPTY: Final[State] = (0, 0.0, 0.0, 0.0)


class Job:
    """Predicts from a customer's state whether an event is an order, then learns that it was one.

    The model lives in the process, everywhere; the customer's state is what a system keeps.

    Examples
    --------
    >>> job = Job()
    >>> state, output = job.score(None, {"id": 7, "customer": "c", "at": 1.0, "amount": 2.0,
    ...                                  "order": True})
    >>> state, output
    ([1, 1.0, 2.0, 1.0], {'id': 7, 'customer': 'c', 'events': 1, 'probability': 0.5})
    """

    def __init__(self) -> None:
        self.model = preprocessing.StandardScaler() | linear_model.LogisticRegression()

    def score(
        self, state: State | None, event: dict[str, Any]
    ) -> tuple[list[float], dict[str, Any]]:
        """Return the customer's next state and the one output of this event.

        Parameters
        ----------
        state
            As it was returned last; ``None`` for a new customer.
        event
            Decoded JSON.
        """
        events, last, spent, rate = state or EMPTY
        at, amount = event["at"], event["amount"]
        gap = at - last if events else 0.0
        rate = rate * math.exp(-gap / DECAY_SECONDS) + 1.0
        events, spent = int(events) + 1, spent + amount
        features = {
            "events": events,
            "gap": math.log1p(gap),
            "amount": amount,
            "mean_amount": spent / events,
            "rate": rate,
        }
        probability = self.model.predict_proba_one(features)[True]
        self.model.learn_one(features, event["order"])
        output = {
            "id": event["id"],
            "customer": event["customer"],
            "events": events,
            "probability": probability,
        }
        return [events, at, spent, rate], output
