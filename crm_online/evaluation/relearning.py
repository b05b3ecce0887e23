"""The scorer's model a second time, alone: what it costs, and that it says the same again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crm_online.evaluation.gathering import Numbers, Predictions
from crm_online.evaluation.sweeps import Clock, Rated
from crm_online.models.active import new_models
from crm_online.settings import Settings

__all__ = ["relearn_churn", "relearn_value"]

Tell = Callable[[float], None]


def relearn_churn(predictions: Predictions, settings: Settings, clock: Clock, tell: Tell) -> Rated:
    """Teach a new churn model the same outcomes, and ask it for the same predictions.

    Each prediction names the version that made it: the model as of an outcome. Learning up to
    there, freezing and predicting are timed; nothing else is.

    Parameters
    ----------
    predictions
        From a replay with these settings.
    settings
        Of the whole program.
    clock
        Returns seconds that only rise.
    tell
        Told the share that is done.
    """

    def predict(frozen: Any, rows: Numbers) -> Numbers | None:
        chances: Numbers | None = frozen.predict_many(rows).probability
        return chances

    lessons = _Lessons(predictions, predictions.churned.tolist(), predictions.churn_as_of)
    return _relearn(lessons, new_models(settings)["churn"], predict, clock, tell)


def relearn_value(predictions: Predictions, settings: Settings, clock: Clock, tell: Tell) -> Rated:
    """Teach a new value model the same outcomes, as of `relearn_churn`."""

    def predict(frozen: Any, rows: Numbers) -> Numbers | None:
        spend: Numbers | None = frozen.predict_many(rows)
        return spend

    lessons = _Lessons(predictions, predictions.spend.tolist(), predictions.value_as_of)
    return _relearn(lessons, new_models(settings)["value"], predict, clock, tell)


class _Lessons(NamedTuple):
    predictions: Predictions
    labels: list[Any]
    made_as_of: NDArray[np.int64]


def _relearn(
    lessons: _Lessons,
    model: Any,
    predict: Callable[[Any, Numbers], Numbers | None],
    clock: Clock,
    tell: Tell,
) -> Rated:
    known = lessons.predictions
    named = [dict(zip(known.names, row, strict=True)) for row in known.features.tolist()]
    said = np.full(len(known), np.nan)
    seconds, taught = 0.0, 0
    for as_of in np.unique(lessons.made_as_of[lessons.made_as_of >= 0]):
        asked = np.flatnonzero(lessons.made_as_of == as_of)
        until = int(np.searchsorted(known.offset, as_of, side="right"))
        began = clock()
        for row in range(taught, until):
            model.learn_one(named[row], lessons.labels[row])
        numbers = predict(model.freeze(), known.features[asked])
        seconds += clock() - began
        taught = max(taught, until)
        if numbers is not None:
            said[asked] = np.round(numbers, 6).astype(np.float32)  # as published
        tell(taught / len(known))
    return Rated(said, seconds)
