"""Drift: of what models are asked with, what they answer, and how well they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import drift

from crm_online.monitoring.samples import Cycle

__all__ = ["ALARM", "Alarm", "MeanDrift", "Shift", "affected", "stability_index"]

BINS: Final = 10
ALARM: Final = 0.2
USUAL_CYCLES: Final = 8
FEWEST_CYCLES: Final = 4
FEWEST_ROWS: Final = 200
FLOOR: Final = 0.5  # of a row, in an empty bin
FIFTHS: Final = 5
TOGETHER: Final = 8  # outcomes that ADWIN is given the mean of, which costs an eighth
LOOK_EVERY: Final = 4  # such means, as often as ADWIN would look by itself

Rows = NDArray[np.floating[Any]]


class Alarm(NamedTuple):
    """Something changed.

    Parameters
    ----------
    kind
        ``"loss"``, ``"calibration"``, ``"feature"`` or ``"score"``.
    name
        Of the feature or the score; for a loss or calibration, of the feature by which it changed
        most unevenly.
    value
        The mean by now, of the loss or of label less chance, or the population stability index.
    usual
        What it was before.
    offset
        Of the record on ``crm.outcomes`` that gave it away.
    at
        Event time.
    """

    kind: str
    name: str
    value: float
    usual: float
    offset: int
    at: datetime


def stability_index(reference: Rows, current: Rows) -> float:
    """Return the population stability index (PSI) of one column, in ten bins of the reference.

    Up to .1 little has changed, from .2 on much has.

    Parameters
    ----------
    reference, current : array of float, shape (n,) and (m,)

    References
    ----------
    - Siddiqi (2006), Credit Risk Scorecards, Wiley: the index and its use.
    - du Pisanie, Allison, Budde & Visagie (2023), A critical review of existing and new
      population stability testing procedures in credit risk scoring, arXiv:2303.01227: the
      thresholds of practice, and what they are worth.

    Examples
    --------
    >>> before = np.arange(1000.0)
    >>> round(stability_index(before, before), 6)
    0.0
    >>> stability_index(before, before + 300.0) > ALARM
    True
    """
    edges = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS))
    shares = []
    for column in (reference, current):
        counts = np.bincount(np.searchsorted(edges, column, side="right"), minlength=len(edges) + 1)
        filled = np.maximum(counts, FLOOR)
        shares.append(filled / filled.sum())
    before, after = shares
    return float(((after - before) * np.log(after / before)).sum())


class Shift:
    """Compares each cycle of predictions with the one before, column by column.

    A cycle is as long as the interval of predictions, so every active customer is in it once.
    Some features move all the time, such as the age of customers who all came in one week:
    an alarm is what exceeds the largest index of the eight cycles before by the threshold.

    Parameters
    ----------
    interval
        Of predictions, seconds.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._names: tuple[str, ...] = ()
        self._before: Rows | None = None
        self._cycle: Cycle | None = None
        self._past: list[dict[str, float]] = []

    @property
    def newest(self) -> Mapping[str, float]:
        """The index of each column in the last cycle that ended."""
        return self._past[-1] if self._past else {}

    def add(
        self, at: float, hashed: int, columns: Callable[[], dict[str, float]]
    ) -> list[tuple[str, float, float]]:
        """Take one prediction; returns column, index and the usual index where these alarm.

        Parameters
        ----------
        at
            Event time, seconds.
        hashed
            Of its id, below 2**32.
        columns
            Makes its numbers by name, if they are wanted; NaN where there is none yet. Where
            names change, all begins anew.
        """
        found: list[tuple[str, float, float]] = []
        cycle = self._cycle
        if cycle is None:
            cycle = self._cycle = Cycle(at)
        elif at >= cycle.start + self._interval and cycle.offered >= FEWEST_ROWS:
            found = self._end(cycle.rows())
            cycle = self._cycle = Cycle(at)
        if cycle.wants(hashed):
            row = columns()
            names = tuple(row)
            if names != self._names:
                self._names, self._before, self._past = names, None, []
                cycle = self._cycle = Cycle(at)
            cycle.keep(hashed, row.values())
        return found

    def _end(self, rows: Rows) -> list[tuple[str, float, float]]:
        found: list[tuple[str, float, float]] = []
        if self._before is not None:
            index = _indices(self._names, self._before, rows)
            past = self._past[-USUAL_CYCLES:]
            if len(past) >= FEWEST_CYCLES:
                usual = {name: max(each.get(name, 0.0) for each in past) for name in index}
                found = [(n, v, usual[n]) for n, v in index.items() if v - usual[n] >= ALARM]
            self._past = [*past, index]
        self._before = rows
        return found


def _indices(names: Sequence[str], before: Rows, after: Rows) -> dict[str, float]:
    known = np.asarray(np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0))
    return {
        name: round(stability_index(before[:, i], after[:, i]), 6)
        for i, name in enumerate(names)
        if known[i]
    }


class MeanDrift:
    """River's ADWIN on means of eight outcomes; an alarm where they move away from the best.

    Parameters
    ----------
    best
        What the mean would ideally be: 0 for a loss.

    References
    ----------
    Bifet & Gavaldà (2007), Learning from time-changing data with adaptive windowing, SIAM
    International Conference on Data Mining.

    Examples
    --------
    >>> watch = MeanDrift(best=0.0)
    >>> any(watch.update(0.5 + 0.001 * (i % 7)) for i in range(2000))
    False
    >>> any(watch.update(0.1 + 0.001 * (i % 7)) for i in range(2000))  # better
    False
    >>> any(watch.update(0.5 + 0.001 * (i % 7)) for i in range(2000))
    True
    """

    def __init__(self, best: float) -> None:
        self._adwin: Any = drift.ADWIN(clock=LOOK_EVERY)  # type: ignore[no-untyped-call]
        self._best = best
        self._sum = 0.0
        self._count = 0
        self.before = 0.0

    @property
    def mean(self) -> float:
        """Over the window that nothing has changed in."""
        return float(self._adwin.estimation)

    @property
    def width(self) -> int:
        """How many outcomes that window holds."""
        return int(self._adwin.width) * TOGETHER

    def update(self, number: float) -> bool:
        """Take the number of one outcome, between 0 and 1; tells whether it is worse for good."""
        self._sum += number
        self._count += 1
        if self._count < TOGETHER:
            return False
        before = self.mean
        self._adwin.update(self._sum / TOGETHER)
        self._sum, self._count = 0.0, 0
        if not self._adwin.drift_detected:
            return False
        self.before = before
        return abs(self.mean - self._best) > abs(before - self._best)


def affected(names: Sequence[str], rows: Rows, numbers: Rows, newest: int) -> str:
    """Name the feature by which a change in a mean differs most: where it happened, where not.

    Parameters
    ----------
    names
        Of the features.
    rows : array of float, shape (n, f)
        Features of settled predictions, oldest first.
    numbers : array of float, shape (n,)
        What each cost, or by how much it was wrong.
    newest
        How many of them belong to the time after the change.
    """
    new = np.arange(len(rows)) >= len(rows) - newest
    if not new.any() or new.all():
        return ""
    spread = [_unevenness(rows[:, i], numbers, new) for i in range(len(names))]
    return names[int(np.argmax(spread))]


def _unevenness(column: Rows, numbers: Rows, new: NDArray[np.bool_]) -> float:
    bins = np.searchsorted(np.unique(np.quantile(column, (0.2, 0.4, 0.6, 0.8))), column, "right")
    after, before = (
        (np.bincount(bins[part], minlength=FIFTHS), np.bincount(bins[part], numbers[part], FIFTHS))
        for part in (new, ~new)
    )
    both = (after[0] > 0) & (before[0] > 0)
    if not both.any():
        return 0.0
    rises = after[1][both] / after[0][both] - before[1][both] / before[0][both]
    weights = after[0][both]
    return float((weights * (rises - np.average(rises, weights=weights)) ** 2).sum())
