"""The models a scorer predicts with: frozen, one version for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base

from crm_online.customers.features import (
    FEATURES,
    Facts,
    describe,
    features_many,
    natural_many,
)
from crm_online.customers.predictions import pack_numbers, version_of
from crm_online.customers.state import Prediction
from crm_online.models.churn import ChurnModel
from crm_online.models.clusters import ClusterModel
from crm_online.models.registry import build
from crm_online.models.segments import RfmSegments
from crm_online.models.snapshots import ModelSnapshot, Place
from crm_online.models.value import ValueModel
from crm_online.scores import Reason
from crm_online.settings import Settings

__all__ = ["LEARNERS_OWN", "ActiveModels", "Scored", "new_models"]

# What the learner alone goes on from; no scorer predicts with it.
LEARNERS_OWN: Final = ("churn_contest", "value_contest", "quality", "monitor", "uplift")


def new_models(settings: Settings) -> dict[str, object]:
    """Build every model that learns from outcomes, untaught, by its published name."""
    return {
        "churn": ChurnModel(
            build(settings.churn_model, setting="CRM_CHURN_MODEL", kind=base.Classifier),
            FEATURES,
            settings.min_outcomes,
        ),
        "value": ValueModel(
            build(settings.value_model, setting="CRM_VALUE_MODEL", kind=base.Regressor),
            FEATURES,
            settings.min_outcomes,
        ),
        "segments": RfmSegments(),
        "clusters": ClusterModel(
            build(settings.cluster_model, setting="CRM_CLUSTER_MODEL", kind=base.Clusterer)
        ),
    }


class Scored:
    """The models' numbers for the rows of one slice.

    Parameters
    ----------
    features : array of float64, shape (n, f)
    rfm : array of float64, shape (n, 3)
    models
        Those that predict, fixed for this slice.
    """

    def __init__(
        self, features: NDArray[np.float64], rfm: NDArray[np.float64], models: ActiveModels
    ) -> None:
        self._features = features
        self._rfm: list[list[float]] = rfm.tolist()
        self._offsets = models.offsets
        self._contestants = models.contestants
        self.versions = models.versions
        churn = models.churn.predict_many(features)
        self.calibrated = churn.calibrated
        self.churn = _rounded(churn.probability, len(features))
        self.value = _rounded(models.value.predict_many(features), len(features))
        self.segments = models.segments.segment_many(rfm)
        self.clusters = models.clusters.cluster_many(rfm)
        self._top = churn.top.tolist()
        self._contributions = np.round(churn.contributions, 4).tolist()
        values = (
            np.take_along_axis(features, churn.top, 1) if churn.top.size else churn.contributions
        )
        self._values = np.round(natural_many(churn.top, values), 4).tolist()

    def rfm(self, row: int) -> tuple[float, float, float]:
        """Return recency (days), frequency (occasions) and money (major units) of a row."""
        recency, frequency, money = self._rfm[row]
        return recency, frequency, money

    def reasons(self, row: int) -> list[Reason]:
        """Return the three features that weigh most in a row's churn score, strongest first."""
        return [
            Reason(FEATURES[feature], value, share, describe(FEATURES[feature], value))
            for feature, value, share in zip(
                self._top[row], self._values[row], self._contributions[row], strict=True
            )
        ]

    def keep(self, opened: Sequence[tuple[int, Prediction]]) -> None:
        """Write the numbers of their rows into the predictions that were opened."""
        for row, prediction in opened:
            prediction.numbers = pack_numbers(self._features[row], self.churn[row], self.value[row])
            prediction.churn_offset = self._offsets["churn"]
            prediction.value_offset = self._offsets["value"]
            prediction.churn_by = self._contestants["churn"]
            prediction.value_by = self._contestants["value"]


class ActiveModels:
    """The newest snapshot of each model, frozen for prediction.

    Parameters
    ----------
    settings
        Of the whole program.
    """

    def __init__(self, settings: Settings) -> None:
        self._min_outcomes = settings.min_outcomes
        self.offsets: dict[str, int] = {}
        self.contestants: dict[str, str] = {}
        self._places: dict[str, Place] = {}
        self.versions: dict[str, str] = {}
        for name, model in new_models(settings).items():
            self._freeze(name, model, (0, -1))

    def adopt(self, snapshot: ModelSnapshot) -> None:
        """Predict with a newer snapshot from now on; others than these models are passed over."""
        if snapshot.name in self._places and snapshot.place > self._places[snapshot.name]:
            model, _ = snapshot.model
            self._freeze(snapshot.name, model, snapshot.place)

    def score(self, rows: Sequence[Facts]) -> Scored:
        """Predict for all rows of a slice with one version of each model."""
        if not rows:
            return Scored(np.empty((0, len(FEATURES))), np.empty((0, 3)), self)
        return Scored(*features_many(rows), self)

    def _freeze(self, name: str, model: Any, place: Place) -> None:
        if name == "churn":
            self.churn = model.freeze(FEATURES, self._min_outcomes)
        elif name == "value":
            self.value = model.freeze(FEATURES, self._min_outcomes)
        elif name == "segments":
            self.segments = model.freeze()
        elif name == "clusters":
            self.clusters = model.freeze()
        _, offset = self._places[name] = place
        self.offsets = {**self.offsets, name: offset}
        self.contestants = {**self.contestants, name: getattr(model, "contestant", "")}
        if offset >= 0:
            version = version_of(name, offset, self.contestants[name])
            self.versions = {**self.versions, name: version}


def _rounded(numbers: NDArray[np.float64] | None, size: int) -> list[float | None]:
    """Round to six decimals by way of float32, which open predictions are kept in."""
    if numbers is None:
        return [None] * size
    rounded: list[float | None] = (
        np.round(numbers, 6).astype(np.float32).astype(np.float64).tolist()
    )
    return rounded
