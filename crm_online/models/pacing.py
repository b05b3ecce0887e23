"""Two learners of the same outcomes, one that hardly forgets and one that forgets fast, mixed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base

from crm_online.models.bayesian import BayesianLogistic, FrozenBayesian
from crm_online.models.calibration import Calibrated
from crm_online.models.logistic import logistic

__all__ = ["TwoPaces"]

Rows = NDArray[np.float64]

LEAST: Final = 1e-3  # weight that is always shared out evenly: neither is ever lost


class TwoPaces(base.Classifier):
    """`BayesianLogistic` twice, each calibrated, mixed by how well each foretells outcomes.

    How fast to forget cannot be known beforehand: in a steady shop all of the past is worth
    having, after a change hardly any of it. Log-odds are the mean of both, weighed by the
    likelihood of the labels so far under each; older labels count less and less. The mixture is
    linear in what both are linear in, and freezes to one model.

    Parameters
    ----------
    slow, fast
        Variance that each weight gains per outcome.
    spread
        As of `BayesianLogistic`.
    memory
        Weight that an outcome keeps in the comparison per further outcome.
    caution
        Power of the likelihood, below one as outcomes of one customer resemble each other.

    References
    ----------
    [^1]: Raftery, A. E., Kárný, M. and Ettler, P., 2010. Online prediction under model uncertainty
    via dynamic model averaging. Technometrics, 52(1).
    [^2]: Herbster, M. and Warmuth, M. K., 1998. Tracking the best expert. Machine Learning, 32(2).

    Examples
    --------
    >>> model = TwoPaces()
    >>> for i in range(2000):  # what speaks for churn speaks against it from the middle on
    ...     model.learn_one({"recency": float(i % 2)}, (i % 2 > 0) == (i < 1000))
    >>> model.predict_proba_one({"recency": 0.0})[True] > 0.9, model.slow_share < 0.2
    (True, True)
    """

    def __init__(
        self,
        slow: float = 1e-8,
        fast: float = 1e-5,
        spread: float = 1.0,
        memory: float = 0.9995,
        caution: float = 0.3,
    ) -> None:
        self.slow = slow
        self.fast = fast
        self.spread = spread
        self.memory = memory
        self.caution = caution
        self._slow = Calibrated(BayesianLogistic(spread, slow))
        self._fast = Calibrated(BayesianLogistic(spread, fast))
        self._evidence = 0.0

    @property
    def _multiclass(self) -> bool:
        return False

    @property
    def slow_share(self) -> float:
        """Weight of the slow one, 0 to 1."""
        return (1.0 - LEAST) * logistic(self._evidence) + LEAST / 2.0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn one label, ``True`` or ``False``: first the weights of both, then both."""
        slow, fast = self._slow.said_one(x) or 0.0, self._fast.said_one(x) or 0.0
        ahead = _loss(_odds(self._fast, fast), y) - _loss(_odds(self._slow, slow), y)
        share = self.slow_share  # what is always shared out included
        self._evidence = self.memory * math.log(share / (1.0 - share)) + self.caution * ahead
        self._slow.learn_said(x, y, slow)
        self._fast.learn_said(x, y, fast)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return the chances of ``True`` and ``False``; one half before the first label."""
        del kwargs
        share = self.slow_share
        slow = _odds(self._slow, self._slow.said_one(x) or 0.0)
        fast = _odds(self._fast, self._fast.said_one(x) or 0.0)
        chance = logistic(share * slow + (1.0 - share) * fast)
        return {False: 1.0 - chance, True: chance}

    def freeze(self, features: Sequence[str]) -> FrozenBayesian:
        """Return the mixture as it is now, for scoring whole batches.

        Parameters
        ----------
        features
            Names of the columns, in their order; unknown ones count nothing.
        """
        slow: FrozenBayesian = self._slow.classifier.freeze(features)
        fast: FrozenBayesian = self._fast.classifier.freeze(features)
        share = self.slow_share
        one, other = share * self._slow.slope, (1.0 - share) * self._fast.slope
        shift = share * self._slow.shift + (1.0 - share) * self._fast.shift
        return replace(
            slow,  # both have seen the same, so both scale alike
            straight=_sum(one, slow.straight, other, fast.straight),
            bent=_sum(one, slow.bent, other, fast.bent),
            intercept=shift + one * slow.intercept + other * fast.intercept,
        )


def _sum(one: float, slow: Rows, other: float, fast: Rows) -> Rows:
    mixed: Rows = one * slow + other * fast
    mixed.setflags(write=False)
    return mixed


def _odds(model: Calibrated, said: float) -> float:
    return model.shift + model.slope * said


def _loss(odds: float, label: Any) -> float:
    """Negative log-likelihood of a label under log-odds."""
    against = -odds if label else odds
    return max(against, 0.0) + math.log1p(math.exp(-abs(against)))
