"""Churn: any River classifier, with its base rate, frozen for scoring with its reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

from crm_online.models.classifiers import FrozenClassifier, freeze_classifier
from crm_online.models.frozen import require_finite

__all__ = ["ChurnModel", "ChurnScores", "FrozenChurn"]

Rows = NDArray[np.float64]
Columns = NDArray[np.intp]


class ChurnScores(NamedTuple):
    """Churn of n customers.

    Parameters
    ----------
    probability : array of float64, shape (n,), or None
        Chance of churning within the horizon; ``None`` before the first outcome.
    calibrated
        False while the probability is only the base rate observed so far.
    top : array of int, shape (n, k)
        The strongest features of each row, as numbers of columns, strongest first; k is 3,
        or 0 while not calibrated.
    contributions : array of float64, shape (n, k)
        Their signed shares in log-odds; above zero speaks for churn.
    """

    probability: Rows | None
    calibrated: bool
    top: Columns
    contributions: Rows


@dataclass(frozen=True, slots=True, eq=False)
class FrozenChurn:
    """The churn model as it was when frozen.

    Parameters
    ----------
    classifier
        The frozen estimator.
    base_rate
        Share of churned customers among the outcomes so far; ``None`` before the first.
    calibrated
        Whether enough outcomes of both classes were learned.
    """

    classifier: FrozenClassifier
    base_rate: float | None
    calibrated: bool

    def predict_many(self, rows: Rows) -> ChurnScores:
        """Score n customers.

        Parameters
        ----------
        rows : array of float64, shape (n, f)
            Features in the order the model was given their names.
        """
        n = len(rows)
        if self.base_rate is None or not self.calibrated:
            probability = None if self.base_rate is None else np.full(n, self.base_rate)
            nothing = np.empty((n, 0))
            return ChurnScores(
                probability, calibrated=False, top=nothing.astype(np.intp), contributions=nothing
            )
        probability = self.classifier.predict_many(rows)
        known = np.where(np.isfinite(probability), probability, self.base_rate)
        top, contributions = self.classifier.contributions_many(rows)
        return ChurnScores(known, calibrated=True, top=top, contributions=contributions)


class ChurnModel:
    """The learner's half: an estimator, how many outcomes it saw, and the average customer.

    Parameters
    ----------
    estimator
        Any River classifier; it learns the labels ``True`` (churned) and ``False``.
    features
        Names of the columns that the frozen model is asked with, in their order.
    min_outcomes
        Outcomes of each class before its scores are called calibrated.

    Examples
    --------
    >>> from river import linear_model, preprocessing
    >>> estimator = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    >>> model = ChurnModel(estimator, ["recency"], min_outcomes=2)
    >>> model.freeze().predict_many(np.array([[9.0]])).probability is None
    True
    >>> for days, churned in [(90.0, True), (2.0, False), (5.0, False), (80.0, True)]:
    ...     model.learn_one({"recency": days}, churned)
    >>> scores = model.freeze().predict_many(np.array([[95.0], [1.0]]))
    >>> scores.calibrated, bool(scores.probability[0] > scores.probability[1])
    (True, True)
    """

    def __init__(
        self, estimator: base.Classifier, features: Sequence[str], min_outcomes: int
    ) -> None:
        self.estimator: Any = estimator
        self.features = tuple(features)
        self.min_outcomes = min_outcomes
        self.churned = 0
        self.active = 0
        self.means: dict[str, float] = {}

    @property
    def base_rate(self) -> float | None:
        """Share of churned customers among all outcomes; ``None`` before the first.

        One churned and one active customer are added (Laplace's rule of succession): a handful of
        outcomes makes nothing certain.
        """
        outcomes = self.churned + self.active
        return (self.churned + 1) / (outcomes + 2) if outcomes else None

    def calibrated(self, min_outcomes: int | None = None) -> bool:
        """Tell whether at least so many outcomes of both classes were learned."""
        needed = self.min_outcomes if min_outcomes is None else min_outcomes
        return min(self.churned, self.active) >= needed

    def learn_one(self, features: Mapping[str, float], churned: bool) -> None:  # noqa: FBT001 (River passes the label by place)
        """Learn one settled prediction.

        Parameters
        ----------
        features
            Names to values as they were when the prediction opened.
        churned
            What became of it.

        Raises
        ------
        ValueError
            Where a feature is not finite, or the label is no boolean; the model is as it was
            before.
        """
        require_finite(features)
        if churned is not True and churned is not False:
            raise ValueError("churned is neither true nor false")
        self.estimator.learn_one(dict(features), churned)
        self.churned += churned
        self.active += not churned
        self._average(features, self.churned + self.active)

    def freeze(
        self, features: Sequence[str] | None = None, min_outcomes: int | None = None
    ) -> FrozenChurn:
        """Return the model as it is now, for scoring.

        Parameters
        ----------
        features, min_outcomes
            In place of those the model was made with, where it comes out of an old snapshot.
        """
        names = self.features if features is None else tuple(features)
        means = [self.means.get(name, 0.0) for name in names]
        classifier = freeze_classifier(self.estimator, names, means)
        return FrozenChurn(classifier, self.base_rate, self.calibrated(min_outcomes))

    def _average(self, features: Mapping[str, float], outcomes: int) -> None:
        means = self.means
        for name, value in features.items():
            mean = means.get(name, value)
            means[name] = mean + (value - mean) / outcomes
