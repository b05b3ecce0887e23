"""Figures of quality over settled predictions; ``None`` where a figure does not exist."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crm_online.monitoring.figures import auc, calibration_error, log_loss, spearman

__all__ = [
    "Figures",
    "brier",
    "calibration_curve",
    "churn_figures",
    "lift",
    "pr_auc",
    "top_share",
    "value_figures",
]

Figures = dict[str, float | None]
Numbers = NDArray[np.float64]

BINS: Final = 10
TOP: Final = 0.1


def churn_figures(labels: ArrayLike, chances: ArrayLike) -> Figures:
    """Return all figures of churn predictions by name.

    Parameters
    ----------
    labels : array of bool, shape (n,)
        True is churned.
    chances : array of float, shape (n,)
        Probabilities of churn.
    """
    return {
        "auc": auc(labels, chances),
        "pr_auc": pr_auc(labels, chances),
        "log_loss": log_loss(labels, chances),
        "brier": brier(labels, chances),
        "ece": calibration_error(labels, chances),
        "lift_10": lift(labels, chances),
    }


def value_figures(spent: ArrayLike, expected: ArrayLike) -> Figures:
    """Return all figures of value predictions by name.

    Parameters
    ----------
    spent, expected : array of float, shape (n,)
        What was spent, and what was said before.
    """
    truth, said = np.asarray(spent, float), np.asarray(expected, float)
    total = float(truth.sum())
    return {
        "mae": float(np.abs(said - truth).mean()) if truth.size else None,
        "spearman": spearman(truth, said),
        "top_decile_share": top_share(truth, said),
        "sum_ratio": float(said.sum()) / total if total else None,
    }


def pr_auc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Average precision: the step-wise area under the precision-recall curve.

    Examples
    --------
    >>> round(pr_auc([False, True, True, False], [0.1, 0.8, 0.4, 0.4]) or 0.0, 4)
    0.8333
    """
    from sklearn.metrics import average_precision_score  # noqa: PLC0415 - an extra

    truth = np.asarray(labels, bool)
    if not truth.any() or truth.all():
        return None
    return float(average_precision_score(truth, np.asarray(scores, float)))


def brier(labels: ArrayLike, chances: ArrayLike) -> float | None:
    """Mean squared distance between chance and what happened.

    Examples
    --------
    >>> brier([True, False], [0.5, 0.0])
    0.125
    """
    truth = np.asarray(labels, float)
    if not truth.size:
        return None
    return float(((np.asarray(chances, float) - truth) ** 2).mean())


def calibration_curve(
    labels: ArrayLike, chances: ArrayLike, bins: int = BINS
) -> tuple[Numbers, Numbers]:
    """Return mean chance and share of churned in bins of equally many rows.

    Returns
    -------
    chance, share : array of float64, shape (bins,)
        Fewer bins where there are fewer rows.
    """
    truth, said = np.asarray(labels, float), np.asarray(chances, float)
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, bins) if part.size]
    return (
        np.array([said[part].mean() for part in parts]),
        np.array([truth[part].mean() for part in parts]),
    )


def lift(labels: ArrayLike, scores: ArrayLike, top: float = TOP) -> float | None:
    """How many times more often than on average the highest scored tenth churned.

    Examples
    --------
    >>> lift([True] + 9 * [False], [0.9] + 9 * [0.1])
    10.0
    >>> lift([True] + 9 * [False], 10 * [0.1])
    1.0
    """
    truth = np.asarray(labels, float)
    if not truth.sum():
        return None
    return _top_sum(truth, scores, top) / _size(truth.size, top) / float(truth.mean())


def top_share(amounts: ArrayLike, scores: ArrayLike, top: float = TOP) -> float | None:
    """Share of all amounts that belongs to the highest scored tenth.

    Examples
    --------
    >>> top_share([60.0] + 9 * [10.0], [1.0] + 9 * [0.0])
    0.4
    """
    spent = np.asarray(amounts, float)
    total = float(spent.sum())
    return _top_sum(spent, scores, top) / total if total else None


def _size(rows: int, top: float) -> int:
    return max(1, int(rows * top))


def _top_sum(amounts: Numbers, scores: ArrayLike, top: float) -> float:
    """Sum over the highest scored; rows that tie at the edge count in part, each alike."""
    said, size = np.asarray(scores, float), _size(amounts.size, top)
    edge = np.partition(said, said.size - size)[said.size - size]
    above, ties = said > edge, said == edge
    room = size - int(above.sum())
    return float(amounts[above].sum() + amounts[ties].mean() * room)
