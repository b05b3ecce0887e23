"""Quality of predictions whose labels are not known yet, estimated from their probabilities."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crm_online.monitoring.figures import auc_of_counts

__all__ = ["BINS", "OpenScores", "expected_auc"]

BINS: Final = 1000


def expected_auc(chances: ArrayLike, counts: ArrayLike | None = None) -> float | None:
    """Estimate the area under the ROC curve without labels (CBPE).

    A calibrated chance p says how often such a prediction turns out true: each one counts as p
    of a churned customer and 1 - p of an active one. As good as the calibration.

    Parameters
    ----------
    chances : array of float, shape (n,)
        Calibrated probabilities of churn.
    counts : array of int, shape (n,), optional
        How often each occurs; once by default.

    Returns
    -------
    float or None
        ``None`` where one class is not expected at all.

    References
    ----------
    NannyML documentation, How it works, Confidence-based Performance Estimation (CBPE): expected
    entries of the confusion matrix at every threshold.

    Examples
    --------
    >>> expected_auc([0.0, 0.0, 1.0])
    1.0
    >>> expected_auc([0.3, 0.3, 0.3])
    0.5
    """
    chance = np.asarray(chances, float)
    weight = np.ones(chance.size) if counts is None else np.asarray(counts, float)
    known, inverse = np.unique(chance, return_inverse=True)
    weight = np.bincount(inverse, weight, known.size)
    return auc_of_counts(weight * (1.0 - known), weight * known)


class OpenScores:
    """How many open predictions there are of each probability, in thousandths.

    Opened ones come in, settled ones go out: what is left awaits its label.
    """

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(BINS + 1, np.int64)

    def add(self, chances: ArrayLike, sign: int = 1) -> None:
        """Take in predictions, or with a sign of -1 let them go."""
        bins = np.rint(np.asarray(chances, float) * BINS).astype(np.int64)
        self._counts += sign * np.bincount(bins, minlength=BINS + 1)

    @property
    def open(self) -> int:
        """How many await their label; those that opened before counting began never count."""
        return int(np.maximum(self._counts, 0).sum())

    def auc(self) -> float | None:
        """Estimate what their area under the ROC curve will be."""
        return expected_auc(np.arange(BINS + 1) / BINS, np.maximum(self._counts, 0))
