"""Frozen classifiers: batches of probabilities, and the features that move each of them most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from river import base

from crm_online.models.calibration import SURE, Calibrated
from crm_online.models.frozen import (
    FrozenAdditive,
    FrozenSteps,
    freeze_linear,
    freeze_steps,
    frozen_array,
)
from crm_online.models.logistic import logistic_many

__all__ = ["REASONS", "FrozenClassifier", "freeze_classifier"]

Rows = NDArray[np.float64]
Columns = NDArray[np.intp]

REASONS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class FrozenClassifier:
    """A classifier as it was when frozen; what the learner does later does not reach it.

    Parameters
    ----------
    model
        Arrays, or the private copy of an estimator.
    means : array of float64, shape (f,)
        The average customer, whom contributions compare with.
    shift, slope
        Of the calibration: what log-odds are moved by.
    """

    model: FrozenAdditive | FrozenSteps
    means: Rows
    shift: float = 0.0
    slope: float = 1.0

    def predict_many(self, rows: Rows) -> Rows:
        """Return P(True) per row.

        Parameters
        ----------
        rows : array of float64, shape (n, f)

        Returns
        -------
        array of float64, shape (n,)
            NaN where the classifier has no opinion yet.
        """
        if not isinstance(self.model, FrozenSteps):
            return logistic_many(self.shift + self.slope * self.model.value_many(rows))
        probability = self.model.proba_many(rows)
        if (self.shift, self.slope) == (0.0, 1.0):
            return probability
        moved = logistic_many(self.shift + self.slope * _log_odds(probability))
        return np.where(np.isnan(probability), probability, moved)

    def contributions_many(self, rows: Rows) -> tuple[Columns, Rows]:
        """Return the three features that move each row's log-odds most.

        An additive model's shares are exact. For others a share is how far the log-odds change
        when that feature takes its mean.

        Parameters
        ----------
        rows : array of float64, shape (n, f)

        Returns
        -------
        top : array of int, shape (n, 3)
            Numbers of columns, strongest first.
        contributions : array of float64, shape (n, 3)
        """
        if isinstance(self.model, FrozenSteps):
            return _strongest(self.slope * self._left_out(self.model, rows))
        return _strongest(self.slope * self.model.parts_many(rows))

    def _left_out(self, model: FrozenSteps, rows: Rows) -> Rows:
        n, f = rows.shape
        without = np.repeat(rows[None], f, axis=0)
        columns = np.arange(f)
        without[columns, :, columns] = self.means[:, None]
        changed = _log_odds(model.proba_many(without.reshape(n * f, f))).reshape(f, n)
        return (_log_odds(model.proba_many(rows)) - changed).T


def freeze_classifier(
    model: base.Classifier, features: Sequence[str], means: Sequence[float] | None = None
) -> FrozenClassifier:
    """Freeze any River classifier for scoring whole batches.

    ``StandardScaler | LogisticRegression`` and `BayesianLogistic` become arrays, equal to the
    estimator to 1e-12; others answer through ``predict_proba_many`` if they have it, else
    through ``predict_proba_one``. A calibration around any of them stays.

    Parameters
    ----------
    model
        The classifier; it is copied.
    features
        Names of the columns, in their order.
    means
        The average customer; by default the linear model's own, else zeros.
    """
    if isinstance(model, Calibrated):
        behind = freeze_classifier(model.classifier, features, means)
        slope = model.slope * behind.slope  # a calibration may stand behind another
        return replace(behind, shift=model.shift + model.slope * behind.shift, slope=slope)
    linear = freeze_linear(model, features)
    if linear is not None:
        return FrozenClassifier(linear, linear.means if means is None else frozen_array(means))
    average = frozen_array(np.zeros(len(features)) if means is None else means)
    return FrozenClassifier(freeze_steps(model, features), average)


def _log_odds(probability: Rows) -> Rows:
    inside = np.clip(np.nan_to_num(probability, nan=0.5), SURE, 1.0 - SURE)
    odds: Rows = np.log(inside / (1.0 - inside))
    return odds


def _strongest(parts: Rows) -> tuple[Columns, Rows]:
    k = min(REASONS, parts.shape[1])
    top = np.argpartition(-np.abs(parts), k - 1, axis=1)[:, :k]
    sizes = np.take_along_axis(parts, top, axis=1)
    order = np.argsort(-np.abs(sizes), axis=1, kind="stable")
    return np.take_along_axis(top, order, axis=1), np.take_along_axis(sizes, order, axis=1)
