"""Segments: how large, how steady from week to week, who goes where, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crm_online.errors import ConfigurationError
from crm_online.evaluation.gathering import Flags, Gathering, Moments, Numbers
from crm_online.models.segments import SEGMENTS

__all__ = ["SegmentEvaluation", "evaluate_segments"]

Rows = NDArray[np.intp]
Rfm = tuple[float, float, float]

SAMPLE: Final = 5000
SEED: Final = 7


class SegmentEvaluation(NamedTuple):
    """What there is to report.

    Parameters
    ----------
    weeks : array of float64, shape (w,)
        Where each step of the grid begins, seconds since 1970.
    shares : array of float64, shape (w, 11)
        Share of each segment among the customers scored in that step.
    report
        All figures by name.
    """

    weeks: Numbers
    shares: Numbers
    report: dict[str, Any]


def evaluate_segments(gathering: Gathering, interval_seconds: float) -> SegmentEvaluation:
    """Look at the segments on the grid of predictions: once per customer and interval.

    Parameters
    ----------
    gathering
        Of a replay.
    interval_seconds
        The grid's.

    Raises
    ------
    ConfigurationError
        Where no customer was seen for longer than an interval.
    """
    moments = gathering.moments()
    grid = _Grid(moments, interval_seconds)
    if not grid.size:
        raise ConfigurationError(
            "no customer was there long enough to be looked at twice: give --sweep-days fewer "
            "days, or a longer history"
        )
    flow = grid.flow()
    report = {
        "customers": grid.customers,
        "weeks": len(grid.weeks),
        "moves": int(flow.sum()),
        "stability": _share(float(np.trace(flow)), float(flow.sum())),
        **_extremes(grid.stability_by_week()),
        "segments": _worth(gathering, grid, flow),
        "flow": _named(flow),
        "clusters": _clusters(gathering, grid),
    }
    return SegmentEvaluation(grid.weeks, grid.shares(), report)


class _Grid:
    """The moments on the grid of predictions, customer by customer."""

    def __init__(self, moments: Moments, interval: float) -> None:
        rows = np.flatnonzero(moments.timer)
        _, codes = np.unique(moments.customers[rows].astype(str), return_inverse=True)
        order = np.lexsort((moments.at[rows], codes))
        self.rows: Rows = rows[order]
        self.codes = codes[order]
        self.at = moments.at[self.rows]
        self.size = len(self.rows)
        self.customers = int(self.codes.max()) + 1 if self.size else 0
        number = {name: n for n, name in enumerate(SEGMENTS)}
        self.segments = np.array([number[name] for name in moments.segments[self.rows]], np.intp)
        self.clusters = moments.clusters[self.rows]
        self.names = moments.customers[self.rows]
        first = float(self.at.min()) if self.size else 0.0
        self._week = ((self.at - first) // interval).astype(np.intp)
        count = int(self._week.max()) + 1 if self.size else 0
        self.weeks: Numbers = first + interval * np.arange(count, dtype=np.float64)
        # A gap of more than one step is a customer who slept; half a step forgives rounding.
        self._follows: Flags = (np.diff(self.codes) == 0) & (np.diff(self.at) < 1.5 * interval)

    def flow(self) -> NDArray[np.int64]:
        """Count how often a customer of one segment stood in another one step later."""
        counts = np.zeros((len(SEGMENTS), len(SEGMENTS)), np.int64)
        before, after = self.segments[:-1][self._follows], self.segments[1:][self._follows]
        np.add.at(counts, (before, after), 1)
        return counts

    def stability_by_week(self) -> Numbers:
        """Return the share of customers who kept their segment, for each step that had any."""
        same = (self.segments[:-1] == self.segments[1:])[self._follows]
        weeks = self._week[1:][self._follows]
        moves = np.bincount(weeks)
        kept = np.bincount(weeks, same)
        shares: Numbers = kept[moves > 0] / moves[moves > 0]
        return shares

    def shares(self) -> Numbers:
        """Return the share of each segment in each step."""
        counts = np.zeros((len(self.weeks), len(SEGMENTS)))
        np.add.at(counts, (self._week, self.segments), 1.0)
        shares: Numbers = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        return shares

    def latest(self) -> Rows:
        """Return the newest place of each customer who was looked at in the last step."""
        last = np.append(np.flatnonzero(np.diff(self.codes)), self.size - 1)
        recent: Rows = last[self._week[last] >= self._week.max() - 1]
        return recent


def _worth(gathering: Gathering, grid: _Grid, flow: NDArray[np.int64]) -> dict[str, Any]:
    predictions = gathering.predictions()
    places = {pair: n for n, pair in enumerate(zip(grid.names, grid.at.tolist(), strict=True))}
    pairs = zip(predictions.customers, predictions.opened.tolist(), strict=True)
    segment = grid.segments[[places[pair] for pair in pairs]]
    size = np.bincount(grid.segments, minlength=len(SEGMENTS))
    latest = np.bincount(grid.segments[grid.latest()], minlength=len(SEGMENTS))
    worth = {}
    for number, name in enumerate(SEGMENTS):
        here = segment == number
        worth[name] = {
            "customers": int(latest[number]),
            "share": float(size[number] / grid.size),
            "stability": _share(float(flow[number, number]), float(flow[number].sum())),
            "settled": int(here.sum()),
            "churn": float(predictions.churned[here].mean()) if here.any() else None,
            "spend": float(predictions.spend[here].mean()) if here.any() else None,
        }
    return worth


def _clusters(gathering: Gathering, grid: _Grid) -> dict[str, Any]:
    latest = grid.latest()
    known = latest[np.isfinite(grid.clusters[latest])]
    numbers, rfm = grid.clusters[known].astype(int), gathering.rfm()
    return {
        "silhouette": _silhouette(rfm, grid, known, numbers),
        "silhouette_of_segments": _silhouette(rfm, grid, known, grid.segments[known]),
        "sizes": {str(number): int((numbers == number).sum()) for number in np.unique(numbers)},
    }


def _silhouette(
    rfm: Mapping[tuple[str, float], Rfm], grid: _Grid, places: Rows, groups: NDArray[np.intp]
) -> float | None:
    """Rate groups in the space that the clusterer sees: scaled logarithms of the three numbers.

    References
    ----------
    Rousseeuw (1987), Silhouettes: a graphical aid to the interpretation and validation of
    cluster analysis, Journal of Computational and Applied Mathematics 20.
    """
    from sklearn.metrics import silhouette_score  # noqa: PLC0415 - an extra
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    if not 1 < len(np.unique(groups)) < len(groups):
        return None
    pairs = zip(grid.names[places], grid.at[places].tolist(), strict=True)
    logged = np.log1p(np.maximum([rfm[pair] for pair in pairs], 0.0))
    scaled = StandardScaler().fit_transform(logged)
    size = min(SAMPLE, len(groups))
    return float(silhouette_score(scaled, groups, sample_size=size, random_state=SEED))


def _extremes(stability: Numbers) -> dict[str, float | None]:
    return {
        "stability_lowest": float(stability.min()) if stability.size else None,
        "stability_highest": float(stability.max()) if stability.size else None,
    }


def _named(flow: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    return {
        name: dict(zip(SEGMENTS, row.tolist(), strict=True))
        for name, row in zip(SEGMENTS, flow, strict=True)
    }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
