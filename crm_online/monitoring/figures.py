"""What predictions are rated by, live and in evaluations; ``None`` where no such figure exists."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["auc", "auc_of_counts", "calibration_error", "log_loss", "spearman"]

Rows = NDArray[np.float64]

BINS: Final = 10
FLOOR: Final = 1e-15  # of a probability in a logarithm


def auc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Area under the ROC curve, ties counted half; ``None`` where one class is missing.

    Parameters
    ----------
    labels : array of bool, shape (n,)
        True is churned.
    scores : array of float, shape (n,)
        Higher speaks for churn.

    References
    ----------
    Hanley & McNeil (1982): the area equals the Mann-Whitney statistic.

    Examples
    --------
    >>> auc([False, True, True, False], [0.1, 0.8, 0.4, 0.4])
    0.875
    """
    truth = np.asarray(labels, bool)
    known, inverse = np.unique(np.asarray(scores, float), return_inverse=True)
    churned, active = (np.bincount(inverse, rows, known.size) for rows in (truth, ~truth))
    return auc_of_counts(active, churned)


def auc_of_counts(active: NDArray[Any], churned: NDArray[Any]) -> float | None:
    """Area under the ROC curve, from how often each score occurs in the two classes.

    Parameters
    ----------
    active, churned : array of float, shape (n,)
        Rows of the class with each score, in rising order of the scores; they may be fractions.

    Examples
    --------
    >>> auc_of_counts(np.array([3.0, 1.0, 0.0]), np.array([0.0, 1.0, 3.0]))
    0.96875
    """
    pairs = float(active.sum() * churned.sum())
    if pairs <= 0.0:
        return None
    below = np.cumsum(active) - active / 2.0
    return float((churned * below).sum()) / pairs


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float | None:
    """Mean negative log-likelihood, in nats; ``None`` without a row.

    Examples
    --------
    >>> round(log_loss([True, False], [0.5, 0.5]), 4)
    0.6931
    """
    truth = np.asarray(labels, bool)
    if not truth.size:
        return None
    chance = np.clip(np.asarray(probabilities, float), FLOOR, 1.0 - FLOOR)
    return float(-np.log(np.where(truth, chance, 1.0 - chance)).mean())


def calibration_error(labels: ArrayLike, chances: ArrayLike) -> float | None:
    """Mean gap between chance and share, over ten bins of equal width, weighed by their rows.

    References
    ----------
    Naeini, Cooper & Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian
    binning, AAAI.

    Examples
    --------
    >>> calibration_error([True, False, False, False], [0.5, 0.5, 0.0, 0.0])
    0.0
    """
    truth, said = np.asarray(labels, float), np.asarray(chances, float)
    if not truth.size:
        return None
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(bins, said - truth, BINS)).sum() / truth.size)


def spearman(one: ArrayLike, other: ArrayLike) -> float | None:
    """Correlate ranks; ``None`` where one side is constant.

    Examples
    --------
    >>> round(spearman([1.0, 2.0, 3.0], [10.0, 20.0, 90.0]), 6)
    1.0
    """
    first, second = _ranks(one), _ranks(other)
    if not first.size or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: ArrayLike) -> Rows:
    """Rank from 1; who ties shares the mean of their ranks."""
    _, inverse, counts = np.unique(
        np.asarray(values, float), return_inverse=True, return_counts=True
    )
    ranks: Rows = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return ranks
