"""Batch models as they are usually run: fitted anew at every sweep on the labels known by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crm_online.evaluation.gathering import Numbers, Predictions

__all__ = ["Ask", "Clock", "Rated", "Rows", "Sweep", "mean_so_far", "refitted", "sweeps"]

Rows = NDArray[np.intp]
Ask = Callable[[Rows], Numbers]
Clock = Callable[[], float]


class Rated(NamedTuple):
    """What one model said.

    Parameters
    ----------
    said : array of float64, shape (n,)
        One number per prediction, in their order.
    seconds
        Spent on fitting and predicting.
    """

    said: Numbers
    seconds: float


class Sweep(NamedTuple):
    """One sweep.

    Parameters
    ----------
    at
        Seconds since 1970.
    known : array of int
        Predictions whose labels were known by then: due strictly before.
    asked : array of int
        Predictions made from then on, until the next sweep.
    """

    at: float
    known: Rows
    asked: Rows


def sweeps(predictions: Predictions, seconds: float) -> Iterator[Sweep]:
    """Go through the sweeps, on a grid from the first prediction on.

    A sweep without a prediction until the next is left out.

    Parameters
    ----------
    predictions
        All that settled.
    seconds
        From one sweep to the next.
    """
    if not len(predictions):
        return
    start = float(predictions.opened.min())
    numbers = np.floor((predictions.opened - start) / seconds).astype(int)
    by_due = np.argsort(predictions.due, kind="stable")
    dues = predictions.due[by_due]
    for number in np.unique(numbers):
        at = start + int(number) * seconds
        known = by_due[: np.searchsorted(dues, at, side="left")]
        yield Sweep(at, known, np.flatnonzero(numbers == number))


def mean_so_far(predictions: Predictions, labels: Numbers, prior: float, weight: float) -> Numbers:
    """Return the mean of the labels known before each prediction was made.

    Parameters
    ----------
    predictions
        All that settled.
    labels : array of float64, shape (n,)
        Theirs.
    prior, weight
        What to say without a label, and how many labels that is worth.
    """
    by_due = np.argsort(predictions.due, kind="stable")
    sums = np.concatenate(([0.0], np.cumsum(labels[by_due])))
    known = np.searchsorted(predictions.due[by_due], predictions.opened, side="left")
    means: Numbers = (sums[known] + prior * weight) / np.maximum(known + weight, 1.0)
    return means


def refitted(
    predictions: Predictions,
    every_seconds: float,
    fit: Callable[[Sweep], Ask | None],
    stand_in: Numbers,
    clock: Clock,
    tell: Callable[[float], None],
) -> Rated:
    """Fit at every sweep, and predict all that is asked until the next.

    Parameters
    ----------
    predictions
        All that settled.
    every_seconds
        From one sweep to the next.
    fit
        Returns what answers for rows until the next sweep; ``None`` while too little is known.
    stand_in : array of float64, shape (n,)
        What is said until then.
    clock
        Returns seconds that only rise.
    tell
        Told the share that is done, 0 to 1.
    """
    said, seconds, done = stand_in.copy(), 0.0, 0
    for sweep in sweeps(predictions, every_seconds):
        began = clock()
        ask = fit(sweep)
        if ask is not None:
            said[sweep.asked] = ask(sweep.asked)
        seconds += clock() - began
        done += len(sweep.asked)
        tell(done / len(predictions))
    return Rated(said, seconds)
