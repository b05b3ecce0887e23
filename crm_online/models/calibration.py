"""Probabilities put right by what came true: 0.3 shall mean three in ten, also after a change."""

from __future__ import annotations

import math
from typing import Any, Final

from river import base

from crm_online.models.bayesian import BayesianLogistic
from crm_online.models.logistic import logistic

__all__ = ["SURE", "Calibrated", "log_odds_of"]

# Log-odds of a sure answer are infinite; beyond this a probability rounds to 0 or 1 anyway.
SURE: Final = 1e-12
LEAST_SLOPE: Final = 0.05  # above zero: who is more likely stays more likely
FLAT: Final = 1e-3


def log_odds_of(probability: float) -> float:
    """Return the log-odds of a probability, finite also for 0 and 1.

    Examples
    --------
    >>> log_odds_of(0.5), round(log_odds_of(0.9), 2)
    (0.0, 2.2)
    """
    inside = min(max(probability, SURE), 1.0 - SURE)
    return math.log(inside / (1.0 - inside))


class Calibrated(base.Wrapper[Any], base.Classifier):
    """Any binary classifier, its log-odds moved by a shift and a slope that are learned online.

    Platt's recalibration, as a filter: each outcome is first predicted, then moves shift and
    slope as far as their variances say, then teaches the classifier. Both drift, so that the
    calibration follows a change. The slope stays above zero: the order of customers is the
    classifier's own.

    Parameters
    ----------
    classifier
        Learns the labels ``True`` and ``False``.
    drift
        Variance that shift and slope gain per outcome.
    variance
        Of both before the first outcome, and at most.
    grace
        Outcomes that only the classifier learns from: its first probabilities mean little.

    References
    ----------
    [^1]: Platt, J., 1999. Probabilistic outputs for support vector machines and comparisons to
    regularized likelihood methods. Advances in Large Margin Classifiers.

    Examples
    --------
    >>> from river.naive_bayes import BernoulliNB
    >>> model = Calibrated(BernoulliNB(), grace=10)
    >>> for i in range(3000):  # the same evidence five times over makes naive Bayes too sure
    ...     model.learn_one({name: i % 3 > 0 for name in "abcde"}, i % 9 < 4)
    >>> x = dict.fromkeys("abcde", True)
    >>> abs(model.predict_proba_one(x)[True] - 1 / 3) < 0.1
    True
    """

    def __init__(
        self,
        classifier: base.Classifier | None = None,
        drift: float = 1e-6,
        variance: float = 0.01,
        grace: int = 200,
    ) -> None:
        self.classifier: Any = BayesianLogistic() if classifier is None else classifier
        self.drift = drift
        self.variance = variance
        self.grace = grace
        self.shift = 0.0
        self.slope = 1.0
        self._seen = 0
        self._shift_variance = self._slope_variance = variance
        self._shared = 0.0

    @property
    def _wrapped_model(self) -> Any:
        return self.classifier

    @property
    def _multiclass(self) -> bool:
        return False

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield {}

    def learn_one(self, x: dict[Any, Any], y: Any, **kwargs: Any) -> None:
        """Learn one label: first the calibration, then the classifier."""
        self.learn_said(x, y, self.said_one(x), **kwargs)

    def said_one(self, x: dict[Any, Any], **kwargs: Any) -> float | None:
        """Return the classifier's own log-odds of ``True``; None while it has no answer."""
        chance = self._chance_of(x, **kwargs)
        return None if chance is None else log_odds_of(chance)

    def learn_said(self, x: dict[Any, Any], y: Any, said: float | None, **kwargs: Any) -> None:
        """Learn one label, where `said_one` was asked just before; it costs as much as learning."""
        self._seen += 1
        if self._seen > self.grace and said is not None:
            self._calibrate(said, float(bool(y)))
        self.classifier.learn_one(x, y, **kwargs)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return the chances of ``True`` and ``False``; nothing while the classifier has none."""
        said = self.said_one(x, **kwargs)
        if said is None:
            return {}
        moved = self._moved(said)
        return {False: 1.0 - moved, True: moved}

    def _chance_of(self, x: dict[Any, Any], **kwargs: Any) -> float | None:
        answers = self.classifier.predict_proba_one(x, **kwargs)
        return float(answers.get(True, 0.0)) if answers else None

    def _moved(self, odds: float) -> float:
        return logistic(self.shift + self.slope * odds)

    def _calibrate(self, odds: float, target: float) -> None:
        """One step of a logistic Kalman filter with two weights."""
        chance = self._moved(odds)
        curvature = max(chance * (1.0 - chance), FLAT)
        along = self._shift_variance + self._shared * odds
        across = self._shared + self._slope_variance * odds
        surprise = 1.0 + curvature * (along + across * odds)
        step, shrink = (target - chance) / surprise, curvature / surprise
        self.shift += step * along
        self.slope = max(self.slope + step * across, LEAST_SLOPE)
        self._shared -= shrink * along * across
        left = self._shift_variance - shrink * along * along + self.drift
        self._shift_variance = min(left, self.variance)
        left = self._slope_variance - shrink * across * across + self.drift
        self._slope_variance = min(left, self.variance)
        bound = math.sqrt(self._shift_variance * self._slope_variance)
        self._shared = min(max(self._shared, -bound), bound)
