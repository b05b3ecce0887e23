"""Churn: the scorer's published chances over settled predictions, beside batch models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from crm_online.errors import ConfigurationError
from crm_online.evaluation.batch_models import CLASSIFIERS, Train
from crm_online.evaluation.gathering import TOO_SHORT, Flags, Numbers, Predictions
from crm_online.evaluation.metrics import churn_figures
from crm_online.evaluation.relearning import relearn_churn
from crm_online.evaluation.sweeps import Ask, Clock, Rated, Sweep, mean_so_far, refitted
from crm_online.settings import Settings

__all__ = ["ChurnEvaluation", "evaluate_churn", "retrained"]

SEASONED: Final = 1000  # outcomes known before a prediction was made


class ChurnEvaluation(NamedTuple):
    """What there is to report.

    Parameters
    ----------
    predictions
        All that settled.
    counted : array of bool, shape (n,)
        Those that figures are of: made before their label existed, with a number.
    scorer
        What the scorer published, and the seconds its model took.
    reproduced
        How many of the counted a second run of the model gave again (its sixth decimal may differ).
    baselines
        What other models said of the same predictions, by name.
    """

    predictions: Predictions
    counted: Flags
    scorer: Rated
    reproduced: int
    baselines: dict[str, Rated]

    def figures(self, rated: Rated) -> dict[str, float | None]:
        """Return the figures of one model, over the counted predictions."""
        known, seasoned = self.predictions, self.counted & self.predictions.seasoned(SEASONED)
        after = churn_figures(known.churned[seasoned], rated.said[seasoned])
        return {
            **churn_figures(known.churned[self.counted], rated.said[self.counted]),
            **{f"{name}_after_1000": after[name] for name in ("auc", "log_loss", "ece")},
            "seconds": rated.seconds,
        }

    def report(self) -> dict[str, Any]:
        """Return counts, and the figures of all models."""
        known = self.predictions
        return {
            "predictions": int(self.counted.sum()),
            "churned": int(known.churned[self.counted].sum()),
            "customers": len(set(known.customers[self.counted])),
            "settled": len(known),
            "late": int(known.late.sum()),
            "unscored": int((~self.counted & ~known.late).sum()),
            "reproduced": self.reproduced,
            "scorer": self.figures(self.scorer),
            "baselines": {name: self.figures(rated) for name, rated in self.baselines.items()},
        }


def evaluate_churn(
    predictions: Predictions,
    settings: Settings,
    *,
    sweep_seconds: float,
    baselines: bool,
    clock: Clock,
    tell: Callable[[str, float], None],
) -> ChurnEvaluation:
    """Rate the scorer, and the batch models on the same rows.

    Parameters
    ----------
    predictions
        From a replay with these settings.
    settings
        Of the whole program.
    sweep_seconds
        From one training of the batch models to the next.
    baselines
        Whether to train them at all.
    clock
        Returns seconds that only rise.
    tell
        Told the name of a model, and the share that is done.

    Raises
    ------
    ConfigurationError
        Where there is nothing to rate.
    """
    counted = ~predictions.late & np.isfinite(predictions.chance)
    _require_both_classes(predictions.churned[counted])
    relearned = relearn_churn(predictions, settings, clock, lambda done: tell("scorer", done))
    scorer = Rated(predictions.chance, relearned.seconds)
    same = int(np.isclose(relearned.said, predictions.chance, 0.0, 2e-6)[counted].sum())
    others: dict[str, Rated] = {}
    if baselines:
        others = _others(predictions, settings, sweep_seconds, clock, tell)
    return ChurnEvaluation(predictions, counted, scorer, same, others)


def _others(
    predictions: Predictions,
    settings: Settings,
    sweep_seconds: float,
    clock: Clock,
    tell: Callable[[str, float], None],
) -> dict[str, Rated]:
    began = clock()
    base_rate = mean_so_far(predictions, predictions.churned.astype(float), 0.5, 2.0)
    rated = {"base_rate": Rated(base_rate, clock() - began)}
    for name, train in CLASSIFIERS.items():

        def told(done: float, name: str = name) -> None:
            tell(name, done)

        least = settings.min_outcomes
        rated[name] = retrained(predictions, train, base_rate, least, sweep_seconds, clock, told)
    return rated


def retrained(
    predictions: Predictions,
    train: Train,
    stand_in: Numbers,
    least: int,
    sweep_seconds: float,
    clock: Clock,
    tell: Callable[[float], None],
) -> Rated:
    """Rate a batch model that is trained anew at every sweep, on all labels known by then.

    Parameters
    ----------
    predictions
        All that settled.
    train
        From `batch_models`.
    stand_in : array of float64, shape (n,)
        What is said before there are enough labels.
    least
        Labels of each class that are enough.
    sweep_seconds, clock, tell
        As of `refitted`.
    """

    def fit(sweep: Sweep) -> Ask | None:
        labels = predictions.churned[sweep.known]
        if min(labels.sum(), (~labels).sum()) < least:
            return None  # as the scorer: the base rate until then
        chances_of = train(predictions.features[sweep.known], labels)
        return lambda rows: chances_of(predictions.features[rows])

    return refitted(predictions, sweep_seconds, fit, stand_in, clock, tell)


def _require_both_classes(churned: Flags) -> None:
    if not churned.size:
        raise ConfigurationError(TOO_SHORT)
    if churned.all() or not churned.any():
        each = "everyone" if churned.all() else "nobody"
        raise ConfigurationError(
            f"{each} churned in {churned.size:,} settled predictions, so there is nothing to tell "
            "apart: try another --horizon-days, or --set churn_on=order"
        )
