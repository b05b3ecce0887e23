"""From log-odds to probabilities, without overflow: of one number, and of arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["logistic", "logistic_many"]

Rows = NDArray[np.float64]


def logistic(odds: float) -> float:
    """Return the probability that log-odds stand for.

    An array of one takes ten times as long, hence this beside `logistic_many`.

    Examples
    --------
    >>> logistic(0.0), logistic(-1e6), logistic(1e6)
    (0.5, 0.0, 1.0)
    """
    small = math.exp(-abs(odds))
    return (1.0 if odds >= 0.0 else small) / (1.0 + small)


def logistic_many(odds: Rows) -> Rows:
    """Return the probability of each.

    Examples
    --------
    >>> logistic_many(np.array([0.0, -1e6, 1e6])).tolist()
    [0.5, 0.0, 1.0]
    """
    small = np.exp(-np.abs(odds))
    return np.where(odds >= 0.0, 1.0, small) / (1.0 + small)
