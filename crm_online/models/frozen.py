"""Estimators frozen for scoring: arrays where the model is linear, a private copy elsewhere."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from river import base, compose, linear_model, optim, preprocessing

from crm_online.models.bayesian import BayesianLinear, BayesianLogistic
from crm_online.models.pacing import TwoPaces

__all__ = [
    "FrozenAdditive",
    "FrozenLinear",
    "FrozenSteps",
    "freeze_linear",
    "freeze_regressor",
    "freeze_steps",
    "frozen_array",
    "require_finite",
    "scaling",
    "steps_of",
]

Rows = NDArray[np.float64]

FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
LINEAR_MODELS: Final = (linear_model.LogisticRegression, linear_model.LinearRegression)
LINEAR_LOSSES: Final = (optim.losses.Log, optim.losses.Squared)


def require_finite(values: Mapping[str, float]) -> None:
    """Refuse numbers that would poison running means: not finite, or beyond float32.

    Parameters
    ----------
    values
        Names to numbers; the message names the first bad one, never its value.

    Raises
    ------
    ValueError
        Where a number is NaN, infinite or larger than float32 can hold.

    Examples
    --------
    >>> require_finite({"recency": 3.0})
    >>> require_finite({"recency": float("nan")})
    Traceback (most recent call last):
        ...
    ValueError: recency is not a finite float32 number
    """
    for name, value in values.items():
        # A comparison with NaN is false, so this one test refuses all three kinds.
        if not -FLOAT32_MAX <= value <= FLOAT32_MAX:
            raise ValueError(f"{name} is not a finite float32 number")


def frozen_array(values: Sequence[float] | Rows) -> Rows:
    """Copy numbers into an array that nobody can write to."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def steps_of(model: base.Estimator) -> list[Any]:
    """Return the steps of a pipeline, or the estimator as its only step."""
    return list(model.steps.values()) if isinstance(model, compose.Pipeline) else [model]


class FrozenAdditive(Protocol):
    """A frozen model whose score is a sum over features: contributions are exact."""

    @property
    def means(self) -> Rows:
        """The average customer, shape (f,)."""

    def parts_many(self, rows: Rows) -> Rows:
        """Return each feature's share in the score, shape (n, f); an average feature has none."""

    def value_many(self, rows: Rows) -> Rows:
        """Return the score (log-odds, or the regression's value), shape (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class FrozenLinear:
    """River's ``StandardScaler | LogisticRegression`` or ``LinearRegression`` as arrays.

    Parameters
    ----------
    means, scales : array of float64, shape (f,)
        Subtracted from each feature, and multiplied with it (0 where it never varied).
    weights : array of float64, shape (f,)
        Of the linear model.
    intercept
        Of the linear model.
    """

    means: Rows
    scales: Rows
    weights: Rows
    intercept: float

    def parts_many(self, rows: Rows) -> Rows:
        """Return each feature's share in the linear score, shape (n, f)."""
        return (rows - self.means) * (self.scales * self.weights)

    def value_many(self, rows: Rows) -> Rows:
        """Return the linear score (log-odds, or the regression's value), shape (n,)."""
        scores: Rows = ((rows - self.means) * self.scales) @ self.weights + self.intercept
        return scores


def freeze_linear(model: base.Estimator, features: Sequence[str]) -> FrozenAdditive | None:
    """Turn an additive model into arrays; ``None`` where it is not of that form.

    Parameters
    ----------
    model
        A Bayesian model of ours, or a linear model of River's with the logistic or the squared
        loss, alone or behind a ``StandardScaler`` without a window.
    features
        Names of the columns, in their order.
    """
    if isinstance(model, BayesianLogistic | BayesianLinear | TwoPaces):
        return model.freeze(features)
    steps = steps_of(model)
    last = steps[-1]
    if type(last) not in LINEAR_MODELS or type(last.loss) not in LINEAR_LOSSES:
        return None
    scaled = scaling(steps[:-1], features)
    if scaled is None:
        return None
    known = last.weights
    weights = [known.get(name, 0.0) for name in features]
    return FrozenLinear(*scaled, frozen_array(weights), float(last.intercept))


def freeze_regressor(
    model: base.Estimator, features: Sequence[str]
) -> FrozenAdditive | FrozenSteps:
    """Freeze any River regressor.

    Parameters
    ----------
    model
        The regressor; it is copied.
    features
        Names of the columns, in their order.
    """
    return freeze_linear(model, features) or freeze_steps(model, features)


def scaling(steps: Sequence[Any], features: Sequence[str]) -> tuple[Rows, Rows] | None:
    """Turn what stands before a model into means and scales.

    Parameters
    ----------
    steps
        Nothing, or one ``StandardScaler`` without a window; else the answer is ``None``.
    features
        Names of the columns, in their order.
    """
    means, scales = np.zeros(len(features)), np.ones(len(features))
    if steps:
        scaler = steps[0]
        plain = type(scaler) is preprocessing.StandardScaler and scaler.window_size is None
        if len(steps) > 1 or not plain:
            return None
        means = np.array([scaler.means.get(name, 0.0) for name in features])
        if scaler.with_std:
            variances = np.array([scaler.vars.get(name, 0.0) for name in features])
            varied = variances > 0.0
            scales = np.where(varied, 1.0 / np.sqrt(np.where(varied, variances, 1.0)), 0.0)
    return frozen_array(means), frozen_array(scales)


@dataclass(frozen=True, slots=True, eq=False)
class FrozenSteps:
    """Any other estimator: a private copy, asked and never taught. Made by `freeze_steps`.

    Parameters
    ----------
    features
        Names of the columns, in their order.
    transformers
        What rows pass through first.
    last
        What predicts.
    many
        Whether all of them take a batch at once.
    """

    features: tuple[str, ...]
    transformers: tuple[Any, ...]
    last: Any
    many: bool

    def proba_many(self, rows: Rows) -> Rows:
        """Return P(True) per row, shape (n,); NaN where the classifier has no opinion yet."""
        if self.many and len(rows):
            # Half a second of a worker's start, for estimators that few configure.
            import pandas as pd  # type: ignore[import-untyped, unused-ignore] # noqa: PLC0415

            frame = pd.DataFrame(rows, columns=list(self.features))
            for step in self.transformers:
                frame = step.transform_many(frame)
            answers = self.last.predict_proba_many(frame)
            return np.asarray(answers[True], dtype=np.float64)
        return np.array([self._proba_one(x) for x in self._transformed(rows)], dtype=np.float64)

    def value_many(self, rows: Rows) -> Rows:
        """Return a regressor's prediction per row, shape (n,)."""
        predict = self.last.predict_one
        return np.array([predict(x) for x in self._transformed(rows)], dtype=np.float64)

    def cluster_many(self, rows: Rows) -> list[int | None]:
        """Return a clusterer's prediction per row."""
        predict = self.last.predict_one
        answers = [predict(x) for x in self._transformed(rows)]
        return [None if answer is None else int(answer) for answer in answers]

    def _proba_one(self, x: dict[str, float]) -> float:
        answers = self.last.predict_proba_one(x)
        return float(answers.get(True, 0.0)) if answers else math.nan

    def _transformed(self, rows: Rows) -> list[dict[str, float]]:
        transformed = []
        for row in rows.tolist():
            x = dict(zip(self.features, row, strict=True))
            for step in self.transformers:
                x = step.transform_one(x)
            transformed.append(x)
        return transformed


def freeze_steps(model: base.Estimator, features: Sequence[str]) -> FrozenSteps:
    """Copy an estimator or a pipeline, to be asked step by step.

    River's own `Pipeline` may teach its transformers during a prediction, where
    ``compose.learn_during_predict`` says so for the whole process.

    Parameters
    ----------
    model
        The estimator.
    features
        Names of the columns, in their order.
    """
    *before, last = steps_of(copy.deepcopy(model))
    transformers = tuple(step for step in before if not isinstance(step, base.AnomalyFilter))
    batches = isinstance(last, base.MiniBatchClassifier) and all(
        isinstance(step, base.MiniBatchTransformer) for step in transformers
    )
    return FrozenSteps(tuple(features), transformers, last, batches)
