"""Second-order online learners: linear in features and in their bent copies, sure by evidence.

A gradient learns one number per weight and needs many outcomes to get there. These keep the whole
covariance of the weights, so that each outcome moves every weight as far as all outcomes before
it allow: one pass comes to what a batch fit with a ridge finds.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base

from crm_online.models.compiling import compiled
from crm_online.models.logistic import logistic

__all__ = ["BayesianLinear", "BayesianLogistic", "FrozenBayesian"]

Rows = NDArray[np.float64]

SEEN, MEAN, SQUARES = range(3)
CLIP: Final = 3.0  # standard deviations: one extreme customer is no more than a rare one
FLAT: Final = 1e-3  # least curvature of the logistic loss, or a sure mistake would move all
OUTLIER: Final = 4.0  # standard deviations of the noise that an error counts at most
NOISE_MEMORY: Final = 2_000  # outcomes that the noise is measured over
LEAST_NOISE: Final = 1e-12
SETTLED: Final = 30  # outcomes before errors are called outliers
LARGEST: Final = 1e100  # its square is still a number


def _expand(row: Rows, scale: Rows, weights: Rows, learns: bool) -> tuple[float, Rows]:  # noqa: FBT001 (numba takes arguments by place)
    """Return the linear score of a row and what it is a sum over; what is not known is average."""
    n = row.shape[0]
    design = np.ones(2 * n + 1)
    score = weights[2 * n]
    for j in range(n):
        value, z = row[j], 0.0
        known = abs(value) <= LARGEST  # neither NaN nor what overflows
        if known and learns:
            scale[SEEN, j] += 1.0
            delta = value - scale[MEAN, j]
            scale[MEAN, j] += delta / scale[SEEN, j]
            scale[SQUARES, j] += delta * (value - scale[MEAN, j])
        if known and scale[SQUARES, j] > 0.0:
            z = (value - scale[MEAN, j]) / math.sqrt(scale[SQUARES, j] / scale[SEEN, j])
            z = min(max(z, -CLIP), CLIP)
        design[j] = z
        design[n + j] = math.tanh(z)
        score += weights[j] * z + weights[n + j] * design[n + j]
    return score, design


def _filter(
    design: Rows, slope: float, curvature: float, weights: Rows, covariance: Rows, drifts: Rows
) -> None:
    """One step of an extended Kalman filter: weights move, and their covariance shrinks."""
    size = design.shape[0]
    gain = np.zeros(size)
    reach = 0.0
    for a in range(size):
        for b in range(size):  # by rows, which are the columns, too: the loop becomes SIMD code
            gain[b] += covariance[a, b] * design[a]
    for a in range(size):
        reach += gain[a] * design[a]
    surprise = 1.0 + curvature * max(reach, 0.0)
    for a in range(size):
        weights[a] += slope / surprise * gain[a]
        shrink = curvature / surprise * gain[a]
        for b in range(size):
            covariance[a, b] -= shrink * gain[b]
        covariance[a, a] += drifts[0]
    covariance[size - 1, size - 1] += drifts[1]


@functools.cache
def _kernels() -> tuple[Callable[..., tuple[float, Rows]], Callable[..., None]]:
    return compiled(_expand), compiled(_filter)


class _Bayesian(base.Estimator):
    """What both have in common: scaling, bending, weights and their covariance."""

    def __init__(
        self, spread: float = 1.0, drift: float = 1e-8, intercept_drift: float = 1e-6
    ) -> None:
        self.spread = spread
        self.drift = drift
        self.intercept_drift = intercept_drift
        self._names: tuple[Any, ...] = ()
        self._scale = np.zeros((3, 0))  # count, mean and sum of squares of each feature
        self._weights = np.zeros(1)
        self._covariance = np.ones((1, 1))

    def freeze(self, features: Sequence[str]) -> FrozenBayesian:
        """Return the model as it is now, for scoring whole batches.

        Parameters
        ----------
        features
            Names of the columns, in their order; unknown ones count nothing.
        """
        n, places = len(self._names), {name: i for i, name in enumerate(self._names)}
        columns = [places.get(name, -1) for name in features]

        def chosen(values: Rows) -> Rows:
            array = np.append(values, 0.0)[columns]  # -1: the zero
            array.setflags(write=False)
            return array

        seen, mean, squares = self._scale
        varied = squares > 0.0
        deviation = np.sqrt(squares / np.maximum(seen, 1.0))
        return FrozenBayesian(
            chosen(mean),
            chosen(np.where(varied, 1.0 / np.where(varied, deviation, 1.0), 0.0)),
            chosen(self._weights[:n]),
            chosen(self._weights[n:-1]),
            float(self._weights[-1]),
        )

    def _score(self, x: Mapping[Any, Any], *, learns: bool = False) -> tuple[float, Rows]:
        if tuple(x) == self._names:
            row = np.fromiter(x.values(), np.float64, len(x))
        else:
            if learns:
                self._grow([name for name in x if name not in self._names])
            row = np.array([x.get(name, math.nan) for name in self._names], np.float64)
        return _kernels()[0](row, self._scale, self._weights, learns)

    def _learn(self, design: Rows, slope: float, curvature: float) -> None:
        drifts = np.array([self.drift, self.intercept_drift])
        _kernels()[1](design, slope, curvature, self._weights, self._covariance, drifts)

    def _grow(self, names: Sequence[Any]) -> None:
        """Make room for features that come for the first time."""
        if not names:
            return
        old, new = len(self._names), len(names)
        self._names += tuple(names)
        self._scale = np.append(self._scale, np.zeros((3, new)), axis=1)
        n = old + new
        kept = [*range(old), *range(n, n + old), 2 * n]
        weights, covariance = np.zeros(2 * n + 1), np.eye(2 * n + 1) * (self.spread / (2 * n))
        weights[kept] = self._weights
        covariance[np.ix_(kept, kept)] = self._covariance
        self._weights, self._covariance = weights, covariance


class BayesianLogistic(_Bayesian, base.Classifier):
    """Logistic regression that keeps the covariance of its weights: an extended Kalman filter.

    Each feature enters standardised by what was seen so far and cut at three deviations, once
    as it is and once through tanh, which lets an effect level off. Weights begin at zero, with
    a variance that says how far log-odds of customers lie apart before anything is known. A
    feature that is missing or not finite counts as an average one.

    Parameters
    ----------
    spread
        Variance of log-odds between customers before the first outcome, shared by all weights.
    drift
        Variance that each weight gains per outcome: what is learned may change again.
    intercept_drift
        The same for the intercept, which follows the base rate.

    References
    ----------
    [^1]: Spiegelhalter, D. J. and Lauritzen, S. L., 1990. Sequential updating of conditional
    probabilities on directed graphical structures. Networks, 20(5).
    [^2]: Ollivier, Y., 2018. Online natural gradient as a Kalman filter. Electronic Journal of
    Statistics, 12(2).

    Examples
    --------
    >>> model = BayesianLogistic()
    >>> for days in (90.0, 2.0, 70.0, 5.0) * 20:
    ...     model.learn_one({"recency": days}, days > 30)
    >>> model.predict_proba_one({"recency": 80.0})[True] > 0.9
    True
    """

    @property
    def _multiclass(self) -> bool:
        return False

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn one label, ``True`` or ``False``."""
        score, design = self._score(x, learns=True)
        chance = logistic(score)
        self._learn(design, bool(y) - chance, max(chance * (1.0 - chance), FLAT))

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return the chances of ``True`` and ``False``; one half before the first label."""
        del kwargs
        chance = logistic(self._score(x)[0])
        return {False: 1.0 - chance, True: chance}


class BayesianLinear(_Bayesian, base.Regressor):
    """The same for numbers: recursive least squares with a prior, for targets around zero.

    The noise is measured over the last 2,000 outcomes; errors beyond four of its deviations
    count as four.

    Parameters
    ----------
    spread, drift, intercept_drift
        As of `BayesianLogistic`, in the target's own units.

    Examples
    --------
    >>> model = BayesianLinear()
    >>> for i in range(200):
    ...     model.learn_one({"basket": float(i % 5)}, i % 5 - 2.0)
    >>> round(model.predict_one({"basket": 4.0}), 1)
    2.0
    """

    def __init__(
        self, spread: float = 1.0, drift: float = 1e-8, intercept_drift: float = 1e-6
    ) -> None:
        super().__init__(spread, drift, intercept_drift)
        self._outcomes = 0
        self._noise = 1.0

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Learn one number."""
        score, design = self._score(x, learns=True)
        error, limit = y - score, OUTLIER * math.sqrt(self._noise)
        self._outcomes += 1
        if self._outcomes > SETTLED:
            error = min(max(error, -limit), limit)
        share = 1.0 / min(max(self._outcomes, 10), NOISE_MEMORY)
        self._noise = max(self._noise + share * (error * error - self._noise), LEAST_NOISE)
        self._learn(design, error / self._noise, 1.0 / self._noise)

    def predict_one(self, x: dict[Any, Any]) -> float:
        """Return the expected number; 0 before the first."""
        return self._score(x)[0]


@dataclass(frozen=True, slots=True, eq=False)
class FrozenBayesian:
    """A Bayesian model as it was when frozen, as arrays; equal to it to 1e-12.

    Parameters
    ----------
    means, scales : array of float64, shape (f,)
        Subtracted from each feature, and multiplied with it (0 where it never varied).
    straight, bent : array of float64, shape (f,)
        Weights of the features, and of their tanh.
    intercept
        Of the linear score.
    """

    means: Rows
    scales: Rows
    straight: Rows
    bent: Rows
    intercept: float

    def parts_many(self, rows: Rows) -> Rows:
        """Return each feature's share in the linear score, shape (n, f)."""
        z = np.clip((rows - self.means) * self.scales, -CLIP, CLIP)
        parts: Rows = z * self.straight + np.tanh(z) * self.bent
        return parts

    def value_many(self, rows: Rows) -> Rows:
        """Return the linear score (log-odds, or the regression's value), shape (n,)."""
        scores: Rows = self.parts_many(rows).sum(axis=1) + self.intercept
        return scores
