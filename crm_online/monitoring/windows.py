"""The last so many outcomes in constant memory, whatever the batches they came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crm_online.monitoring.estimated import expected_auc
from crm_online.monitoring.figures import auc, calibration_error, log_loss, spearman

__all__ = [
    "WINDOWS",
    "Recent",
    "churn_figures",
    "list_figures",
    "value_figures",
]

WINDOWS: Final = (1_000, 10_000)

Rows = NDArray[np.float64]


class Recent:
    """A ring of the newest rows.

    Parameters
    ----------
    columns
        How many numbers a row has.
    size
        How many rows are kept.

    Examples
    --------
    >>> recent = Recent(columns=1, size=3)
    >>> recent.add([[1.0], [2.0]])
    >>> recent.add([[3.0], [4.0]])
    >>> recent.newest(2).tolist(), recent.newest(9).tolist()
    ([[3.0], [4.0]], [[2.0], [3.0], [4.0]])
    """

    def __init__(self, columns: int, size: int = WINDOWS[-1]) -> None:
        self._columns = columns
        self._size = size
        self._rows: NDArray[np.float32] = np.zeros((0, columns), np.float32)
        self.seen = 0

    def add(self, rows: Sequence[Sequence[float]]) -> None:
        """Take rows, oldest first."""
        taken = np.array(rows[-self._size :], np.float32).reshape(-1, self._columns)
        skipped = len(rows) - len(taken)
        if len(self._rows) < self._size:
            # It grows to its full size first, so that short histories make small snapshots.
            needed = min(self._size, self.seen + len(rows)) - len(self._rows)
            self._rows = np.concatenate([self._rows, np.zeros((needed, self._columns), np.float32)])
        places = (self.seen + skipped + np.arange(len(taken))) % self._size
        self._rows[places] = taken
        self.seen += len(rows)

    def newest(self, count: int) -> Rows:
        """Return up to so many of the newest rows, oldest first."""
        count = min(count, self.seen, self._size)
        places = (self.seen - count + np.arange(count)) % self._size
        return self._rows[places].astype(np.float64)


def churn_figures(rows: Rows) -> dict[str, float | None]:
    """Figures of churn.

    Parameters
    ----------
    rows : array of float, shape (n, 2)
        Chances, and labels as 0 or 1.
    """
    chances, labels = rows[:, 0], rows[:, 1] > 0.0
    return {
        "auc": auc(labels, chances),
        "log_loss": log_loss(labels, chances),
        "calibration_error": calibration_error(labels, chances),
        "churn_rate": float(labels.mean()) if labels.size else None,
        "expected_auc": expected_auc(chances),
    }


def value_figures(rows: Rows) -> dict[str, float | None]:
    """Figures of value.

    Parameters
    ----------
    rows : array of float, shape (n, 2)
        Expected and true spend.
    """
    expected, spent = rows[:, 0], rows[:, 1]
    total = float(spent.sum())
    return {
        "mae": float(np.abs(expected - spent).mean()) if len(rows) else None,
        "spearman": spearman(expected, spent),
        "sum_ratio": float(expected.sum()) / total if total else None,
    }


def list_figures(rows: Rows) -> dict[str, float | None]:
    """Figures of next items.

    Parameters
    ----------
    rows : array of float, shape (n, 1)
        Reciprocal ranks; 0 is a miss.
    """
    if not len(rows):
        return {"hit_rate": None, "mrr": None}
    return {"hit_rate": float((rows > 0.0).mean()), "mrr": float(rows.mean())}
