"""Clusters: any River clusterer over recency, frequency and money, beside the named segments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base, cluster

from crm_online.models.frozen import (
    FrozenSteps,
    freeze_steps,
    frozen_array,
    require_finite,
    scaling,
    steps_of,
)

__all__ = ["ClusterModel", "FrozenClusters", "FrozenKMeans"]

Rows = NDArray[np.float64]
Rfm = tuple[float, float, float]

NAMES: Final = ("recency", "frequency", "money")


@dataclass(frozen=True, slots=True, eq=False)
class FrozenKMeans:
    """River's ``StandardScaler | KMeans`` as arrays.

    Parameters
    ----------
    means, scales : array of float64, shape (3,)
        Subtracted from each number, and multiplied with it.
    centers : array of float64, shape (k, 3)
    power
        Of the distance.
    """

    means: Rows
    scales: Rows
    centers: Rows
    power: float

    def cluster_many(self, rows: Rows) -> list[int]:
        """Return the number of the nearest center per row; the lowest wins a tie."""
        scaled = (rows - self.means) * self.scales
        # Column by column: a (n, k, 3) block costs three times as much.
        gaps = (
            np.abs(scaled[:, i, None] - self.centers[None, :, i]) ** self.power for i in range(3)
        )
        nearest: list[int] = np.argmin(sum(gaps), axis=1).tolist()
        return nearest


@dataclass(frozen=True, slots=True, eq=False)
class FrozenClusters:
    """The clusterer as it was when frozen.

    Parameters
    ----------
    model
        ``None`` before the first customer.
    """

    model: FrozenKMeans | FrozenSteps | None

    def cluster_many(self, rfm: Rows) -> Sequence[int | None]:
        """Return the number of each customer's cluster; ``None`` where there is none yet.

        Parameters
        ----------
        rfm : array of float64, shape (n, 3)
            Days since the last activity, number of occasions, money in major units.
        """
        if self.model is None or not len(rfm):
            return [None] * len(rfm)
        return self.model.cluster_many(np.log1p(np.maximum(rfm, 0.0)))


class ClusterModel:
    """The learner's half: a clusterer over the logarithms of the three numbers.

    Parameters
    ----------
    estimator
        Any River clusterer.

    Examples
    --------
    >>> from river import preprocessing
    >>> estimator = preprocessing.StandardScaler() | cluster.KMeans(n_clusters=2, seed=7)
    >>> model = ClusterModel(estimator)
    >>> model.freeze().cluster_many(np.array([[1.0, 2.0, 3.0]]))
    [None]
    >>> for _ in range(50):
    ...     model.learn_one((1.0, 20.0, 900.0))
    ...     model.learn_one((300.0, 1.0, 10.0))
    >>> best, worst = model.freeze().cluster_many(np.array([[2.0, 18.0, 800.0], [250.0, 1.0, 9.0]]))
    >>> best == worst
    False
    """

    def __init__(self, estimator: base.Clusterer) -> None:
        self.estimator: Any = estimator
        self.observed = 0
        _draw_centers(estimator)

    def learn_one(self, rfm: Rfm) -> None:
        """Learn what one customer looks like.

        Parameters
        ----------
        rfm
            Days since the last activity, number of occasions, money in major units.

        Raises
        ------
        ValueError
            Where a number is not finite; the model is as it was before.
        """
        x = dict(zip(NAMES, rfm, strict=True))
        require_finite(x)
        logged = {name: math.log1p(max(value, 0.0)) for name, value in x.items()}
        self.estimator.learn_one(logged)
        self.observed += 1

    def freeze(self) -> FrozenClusters:
        """Return the clusters as they are now, for scoring."""
        if not self.observed:
            return FrozenClusters(None)
        return FrozenClusters(
            _freeze_k_means(self.estimator) or freeze_steps(self.estimator, NAMES)
        )


def _draw_centers(model: Any) -> None:
    """Draw the first centers of k-means now, in a fixed order.

    River draws a coordinate when it is first asked for, in the order of a set of names, which
    differs from process to process: the same outcomes would make another model.
    """
    last = steps_of(model)[-1]
    if isinstance(last, cluster.KMeans):
        for center in last.centers.values():
            for name in NAMES:
                center[name]


def _freeze_k_means(model: Any) -> FrozenKMeans | None:
    steps = steps_of(model)
    last = steps[-1]
    scaled = scaling(steps[:-1], NAMES)
    if type(last) is not cluster.KMeans or scaled is None:
        return None
    centers = np.array([[center[name] for name in NAMES] for center in last.centers.values()])
    return FrozenKMeans(*scaled, frozen_array(centers), float(last.p))
