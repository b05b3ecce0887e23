"""Who had bought what by when: the purchases behind each prediction, from the scores alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crm_online.evaluation.gathering import Moments, Numbers, Predictions

__all__ = ["Buyers", "Purchases"]

Rows = NDArray[np.intp]

DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class Buyers:
    """What a model of repeat buying knows of n customers; days on which one bought count once.

    Parameters
    ----------
    repeats : array of float64, shape (n,)
        Days with a purchase after the first; -1 for customers who never bought.
    recency : array of float64, shape (n,)
        Days from the first purchase to the last.
    age : array of float64, shape (n,)
        Days from the first purchase until now.
    mean_value : array of float64, shape (n,)
        Spend per day with a purchase, major units.
    """

    repeats: Numbers
    recency: Numbers
    age: Numbers
    mean_value: Numbers

    def only(self, wanted: NDArray[np.bool_]) -> Buyers:
        """Return some of them."""
        return Buyers(
            self.repeats[wanted], self.recency[wanted], self.age[wanted], self.mean_value[wanted]
        )


class Purchases:
    """The scores of a replay, customer by customer, each in log order.

    Only what the log held before a moment counts for that moment.

    Parameters
    ----------
    moments
        All scores of the replay.
    """

    def __init__(self, moments: Moments) -> None:
        _, codes = np.unique(moments.customers.astype(str), return_inverse=True)
        order = np.argsort(codes, kind="stable")
        self._codes = codes[order]
        self._starts = _starts(self._codes)
        self._at = _running_maximum(moments.at[order], self._codes)
        self._spend = moments.spend[order]
        self._count_purchases()
        places = zip(moments.customers[order], moments.at[order].tolist(), strict=True)
        timers = moments.timer[order].tolist()
        self._row = {place: row for row, place in enumerate(places) if timers[row]}

    def _count_purchases(self) -> None:
        first = self._starts == np.arange(len(self._at))
        before = np.where(first, 0.0, np.concatenate(([0.0], self._spend[:-1])))
        bought = self._spend > before
        rows = np.arange(len(self._at))
        last = np.maximum.accumulate(np.where(bought, rows, -1))
        self._last = np.where(last >= self._starts, last, -1)
        previous = np.concatenate(([-1], self._last[:-1]))
        same_day = (previous >= self._starts) & (self._at[previous] // DAY == self._at // DAY)
        counted = np.cumsum(bought & ~same_day)
        base = counted[self._starts] - (bought & ~same_day)[self._starts]
        self._days = (counted - base).astype(float)
        # The first purchase of a block is where its count of days turns 1.
        turn = np.where(bought & (self._days == 1.0) & ~same_day, rows, -1)
        earliest = np.maximum.accumulate(turn)
        self._first = np.where(earliest >= self._starts, earliest, -1)

    def rows_of(self, predictions: Predictions) -> Rows:
        """Return where each prediction was made."""
        opened = predictions.opened.tolist()
        pairs = zip(predictions.customers, opened, strict=True)
        return np.array([self._row[pair] for pair in pairs], np.intp)

    def spend_of_last(self, rows: Rows, seconds: float) -> Numbers:
        """Return what was spent in so many seconds before each moment."""
        spent = np.empty(len(rows))
        cuts = self._at[rows] - seconds
        for number, (row, cut) in enumerate(zip(rows.tolist(), cuts.tolist(), strict=True)):
            start = int(self._starts[row])
            place = start + int(np.searchsorted(self._at[start : row + 1], cut, side="right"))
            spent[number] = self._spend[row] - (self._spend[place - 1] if place > start else 0.0)
        return spent

    def rate_so_far(self, rows: Rows, at_least_seconds: float) -> Numbers:
        """Return spend per second since the first score of each customer."""
        age = np.maximum(self._at[rows] - self._at[self._starts[rows]], at_least_seconds)
        rates: Numbers = self._spend[rows] / age
        return rates

    def buyers(self, rows: Rows) -> Buyers:
        """Return what is known at each moment."""
        return self._buyers(rows, self._at[rows])

    def buyers_at(self, at: float) -> Buyers:
        """Return what is known of all who had bought by then."""
        rows = np.flatnonzero(self._at <= at)
        latest = rows[np.append(np.flatnonzero(np.diff(self._codes[rows])), len(rows) - 1)]
        latest = latest[self._last[latest] >= 0] if len(rows) else rows
        return self._buyers(latest, np.full(len(latest), at))

    def _buyers(self, rows: Rows, at: Numbers) -> Buyers:
        has = self._last[rows] >= 0
        first = np.where(has, self._at[self._first[rows]], at)
        last = np.where(has, self._at[self._last[rows]], at)
        days = self._days[rows]
        return Buyers(
            np.where(has, days - 1.0, -1.0),
            (last // DAY - first // DAY),
            (at - first) / DAY,
            self._spend[rows] / np.maximum(days, 1.0),
        )


def _starts(codes: NDArray[np.intp]) -> Rows:
    """Return, for every row, the first row of its customer."""
    starts: Rows = np.searchsorted(codes, codes, side="left")
    return starts


def _running_maximum(at: Numbers, codes: NDArray[np.intp]) -> Numbers:
    """Never let a late event take a customer's clock back."""
    raised = at.copy()
    bounds = np.flatnonzero(np.diff(codes)) + 1
    for part in np.split(raised, bounds):
        np.maximum.accumulate(part, out=part)
    return raised
