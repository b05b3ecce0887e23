"""Value: spend expected within the horizon, by any River regressor, frozen for scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base, stats

from crm_online.models.frozen import (
    FrozenAdditive,
    FrozenSteps,
    freeze_regressor,
    require_finite,
)
from crm_online.models.spend import ExpectedSpend, FrozenSpend

__all__ = ["FrozenValue", "ValueModel"]

Rows = NDArray[np.float64]
Numbers = Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class FrozenValue:
    """The value model as it was when frozen.

    Parameters
    ----------
    model
        The frozen regressor; ``None`` while the mean stands in for it.
    mean
        Mean spend so far; ``None`` before the first outcome.
    """

    model: FrozenSpend | FrozenAdditive | FrozenSteps | None
    mean: float | None

    def predict_many(self, rows: Rows) -> Rows | None:
        """Return the expected spend of n customers.

        Parameters
        ----------
        rows : array of float64, shape (n, f)
            Features in the order that `ValueModel.freeze` was given their names.

        Returns
        -------
        array of float64, shape (n,), or None
            Major units, never below zero; ``None`` before the first outcome.
        """
        if self.mean is None:
            return None
        if self.model is None:
            return np.full(len(rows), self.mean)
        spend = self.model.value_many(rows)
        return np.maximum(np.where(np.isfinite(spend), spend, self.mean), 0.0)


class ValueModel:
    """The learner's half: a regressor of spend, and the mean that stands in before it is ready.

    Parameters
    ----------
    estimator
        Any River regressor, such as `ExpectedSpend`.
    features
        Names of the columns that the frozen model is asked with, in their order.
    min_outcomes
        Customers who spent, before the model takes over from the mean.

    Examples
    --------
    >>> model = ValueModel(ExpectedSpend(), ["orders"], min_outcomes=50)
    >>> model.freeze().predict_many(np.array([[1.0]])) is None
    True
    >>> model.learn_one({"orders": 1.0}, 30.0)
    >>> model.learn_one({"orders": 0.0}, 0.0)
    >>> model.freeze().predict_many(np.array([[1.0]])).tolist()
    [15.0]
    """

    def __init__(
        self, estimator: base.Regressor, features: Sequence[str], min_outcomes: int
    ) -> None:
        self.estimator: Any = estimator
        self.features = tuple(features)
        self.min_outcomes = min_outcomes
        self.spenders = 0
        self.others = 0
        self._mean = stats.Mean()

    @property
    def mean(self) -> float | None:
        """Mean spend of all outcomes, major units; ``None`` before the first."""
        return self._mean.get() if self.spenders + self.others else None

    def calibrated(self, min_outcomes: int | None = None) -> bool:
        """Tell whether at least so many customers who spent were learned."""
        return self.spenders >= (self.min_outcomes if min_outcomes is None else min_outcomes)

    def learn_one(self, features: Numbers, spend: float) -> None:
        """Learn one settled prediction.

        Parameters
        ----------
        features
            Names to values as they were when the prediction opened.
        spend
            Within the horizon, major units; refunds may make it negative, which counts as 0.

        Raises
        ------
        ValueError
            Where a feature or the spend is not finite; the model is as it was before.
        """
        require_finite(features)
        require_finite({"spend": spend})
        spent = max(float(spend), 0.0)
        self.estimator.learn_one(dict(features), spent)
        self._mean.update(spent)
        self.spenders += spent > 0.0
        self.others += spent <= 0.0

    def freeze(
        self, features: Sequence[str] | None = None, min_outcomes: int | None = None
    ) -> FrozenValue:
        """Return the model as it is now, for scoring.

        Parameters
        ----------
        features, min_outcomes
            In place of those the model was made with, where it comes out of an old snapshot.
        """
        names = self.features if features is None else tuple(features)
        if not self.calibrated(min_outcomes):
            return FrozenValue(None, self.mean)
        if isinstance(self.estimator, ExpectedSpend):
            return FrozenValue(self.estimator.freeze(names), self.mean)
        return FrozenValue(freeze_regressor(self.estimator, names), self.mean)
