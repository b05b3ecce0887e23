"""Prequential quality of published predictions: counted when their labels come in, never before."""

from __future__ import annotations

from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crm_online.monitoring.figures import auc_of_counts
from crm_online.scores import NextItemOutcome, Settled

__all__ = ["Quality"]

BINS: Final = 1000
_FLOOR: Final = 1e-15  # of a probability in a logarithm


class Quality:
    """Running figures in constant memory; part of a snapshot like any model.

    Predictions that were opened and settled at the same record are left out: their labels
    were known to the log when they were made.
    """

    def __init__(self) -> None:
        self.settled = 0
        self.late = 0
        self.unscored = 0
        self._histogram: NDArray[np.int64] = np.zeros((2, BINS + 1), np.int64)
        self._loss = 0.0
        self._absolute_error = 0.0
        self._valued = 0
        self._expected = 0.0
        self._spent = 0.0
        self._touches = 0
        self._hits = 0
        self._reciprocal = 0.0

    def learn_one(self, outcome: Settled) -> None:
        """Count one settled prediction."""
        if outcome.late:
            self.late += 1
            return
        self.settled += 1
        chance = outcome.churn_probability
        if chance is None:
            self.unscored += 1
        else:
            self._histogram[int(outcome.churned), round(chance * BINS)] += 1
            likely = chance if outcome.churned else 1.0 - chance
            self._loss -= log(max(likely, _FLOOR))
        if outcome.expected_value is not None:
            self._valued += 1
            self._absolute_error += abs(outcome.expected_value - outcome.spend)
            self._expected += outcome.expected_value
            self._spent += outcome.spend

    def learn_touch(self, outcome: NextItemOutcome) -> None:
        """Count one outcome of a list."""
        self._touches += 1
        if outcome.rank is not None:
            self._hits += 1
            self._reciprocal += 1.0 / outcome.rank

    def figures(self) -> dict[str, float | int | None]:
        """Return the figures by name; ``None`` where there is nothing to tell yet."""
        scored = self.settled - self.unscored
        churned = int(self._histogram[1].sum())
        return {
            "settled": self.settled,
            "late": self.late,
            "unscored": self.unscored,
            "scored": scored,
            "valued": self._valued,
            "churn_rate": churned / scored if scored else None,
            "auc": auc_of_counts(*self._histogram.astype(float)),
            "log_loss": self._loss / scored if scored else None,
            "value_mae": self._absolute_error / self._valued if self._valued else None,
            "value_sum_ratio": self._expected / self._spent if self._spent else None,
            "next_items": self._touches,
            "hit_rate": self._hits / self._touches if self._touches else None,
            "mrr": self._reciprocal / self._touches if self._touches else None,
        }
