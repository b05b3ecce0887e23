"""Segments: recency, frequency and money by streaming quantiles, into the eleven names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base, stats

from crm_online.models.frozen import frozen_array, require_finite

__all__ = ["RFM_TABLE", "SEGMENTS", "FrozenSegments", "RfmSegments"]

Rows = NDArray[np.float64]
Rfm = tuple[float, float, float]

SEGMENTS: Final = (
    "champions",
    "loyal_customers",
    "potential_loyalists",
    "recent_customers",
    "promising",
    "needs_attention",
    "about_to_sleep",
    "at_risk",
    "cant_lose_them",
    "hibernating",
    "lost",
)

_BY_RECENCY: Final = (
    ("lost", "lost", "at_risk", "cant_lose_them", "cant_lose_them"),
    ("hibernating", "hibernating", "at_risk", "at_risk", "at_risk"),
    ("about_to_sleep", "about_to_sleep", "needs_attention", "loyal_customers", "loyal_customers"),
    ("promising", "potential_loyalists", "potential_loyalists", "loyal_customers", "champions"),
    ("recent_customers", "potential_loyalists", "potential_loyalists", "champions", "champions"),
)
RFM_TABLE: Final = tuple(SEGMENTS.index(name) for row in _BY_RECENCY for name in row)
"""Number of the segment at 5 × (recency score - 1) + (frequency-and-money score - 1)."""

QUANTILES: Final = (0.2, 0.4, 0.6, 0.8)
MIN_OBSERVATIONS: Final = 100
# Many customers share a count or a price: an edge a hair off it would tell equals apart.
DECIMALS: Final = (4, 0, 2)

# Until quantiles are known: half a year, a quarter, a month and a week of silence; the second,
# third, fifth and ninth occasion; some money, and what a small, a usual, a large sum is in a shop.
DEFAULT_EDGES: Final = (
    (-180.0, -90.0, -30.0, -7.0),
    (1.0, 2.0, 4.0, 8.0),
    (0.0, 50.0, 150.0, 500.0),
)


@dataclass(frozen=True, slots=True, eq=False)
class FrozenSegments:
    """The quantiles as they were when frozen.

    Parameters
    ----------
    recency, frequency, money : array of float64, shape (4,)
        Rising edges between the scores 1 to 5; recency in negative days.
    """

    recency: Rows
    frequency: Rows
    money: Rows

    def scores_many(self, rfm: Rows) -> NDArray[np.intp]:
        """Return the three scores of each customer, 1 (worst) to 5, shape (n, 3)."""
        # Ties go the way that makes sense: all who were here today score high on recency, all
        # who came once, or paid nothing, score low on frequency and money.
        recency = np.searchsorted(self.recency, -rfm[:, 0], side="right")
        frequency = np.searchsorted(self.frequency, rfm[:, 1], side="left")
        money = np.searchsorted(self.money, rfm[:, 2], side="left")
        return np.column_stack((recency, frequency, money)) + 1

    def segment_many(self, rfm: Rows) -> list[str]:
        """Name the segment of each customer.

        Parameters
        ----------
        rfm : array of float64, shape (n, 3)
            Days since the last activity, number of occasions, money in major units.
        """
        recency, frequency, money = self.scores_many(rfm).T
        both = (frequency + money) // 2
        names: list[str] = _NAMES[5 * (recency - 1) + both - 1].tolist()
        return names


class RfmSegments(base.Clusterer):
    """RFM scores by streaming quintiles, and the published table that names the segments.

    Each of the three numbers scores 1 to 5 by the quintile it falls into; frequency and money
    are averaged (halves go down), and the pair of scores names the segment. Where the published
    ranges overlap, the commonest reading was chosen; no cell lies outside its segment's range.

    Parameters
    ----------
    min_observations
        Customers to see before the quantiles replace `DEFAULT_EDGES`.

    References
    ----------
    [^1]: Putler, RFM analysis for successful customer segmentation,
    https://www.putler.com/rfm-analysis/
    [^2]: Jain, R. and Chlamtac, I., 1985. The P² algorithm for dynamic calculation of
    quantiles and histograms without storing observations. Communications of the ACM, 28(10).

    Examples
    --------
    >>> model = RfmSegments()
    >>> model.freeze().segment_many(np.array([[1.0, 30.0, 900.0], [400.0, 1.0, 20.0]]))
    ['champions', 'lost']
    """

    def __init__(self, min_observations: int = MIN_OBSERVATIONS) -> None:
        self.min_observations = min_observations
        self.observed = 0
        self._quantiles = [[stats.Quantile(q) for q in QUANTILES] for _ in range(3)]

    def learn_one(self, x: Rfm | Mapping[Any, Any]) -> None:
        """Learn what one customer looks like.

        Parameters
        ----------
        x
            ``recency`` in days, ``frequency`` in occasions, ``money`` in major units: a tuple,
            or a mapping as River passes it.

        Raises
        ------
        ValueError
            Where a number is not finite; the model is as it was before.
        """
        recency, frequency, money = _taken(x)
        require_finite({"recency": recency, "frequency": frequency, "money": money})
        for value, quantiles in zip((-recency, frequency, money), self._quantiles, strict=True):
            for quantile in quantiles:
                quantile.update(value)
        self.observed += 1

    def predict_one(self, x: Rfm | Mapping[Any, Any]) -> int:
        """Return the number of the segment in `SEGMENTS`."""
        return SEGMENTS.index(self.segment_one(x))

    def segment_one(self, x: Rfm | Mapping[Any, Any]) -> str:
        """Name the segment of one customer."""
        return self.freeze().segment_many(np.array([_taken(x)], dtype=np.float64))[0]

    def edges(self) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
        """Return the four rising edges of recency (negative days), frequency and money."""
        if self.observed < self.min_observations:
            return DEFAULT_EDGES
        recency, frequency, money = (
            _in_order([quantile.get() or 0.0 for quantile in quantiles], decimals)
            for quantiles, decimals in zip(self._quantiles, DECIMALS, strict=True)
        )
        return recency, frequency, money

    def freeze(self) -> FrozenSegments:
        """Return the segments as they are now, for scoring."""
        recency, frequency, money = self.edges()
        return FrozenSegments(frozen_array(recency), frozen_array(frequency), frozen_array(money))


_NAMES: Final[NDArray[Any]] = np.array([SEGMENTS[number] for number in RFM_TABLE], dtype=object)
_NAMES.setflags(write=False)


def _in_order(edges: list[float], decimals: int) -> list[float]:
    # Four independent estimates may cross; scores need them rising.
    rising: list[float] = np.maximum.accumulate(np.round(edges, decimals)).tolist()
    return rising


def _taken(x: Rfm | Mapping[Any, Any]) -> Rfm:
    if isinstance(x, Mapping):
        return x["recency"], x["frequency"], x["money"]
    return x
