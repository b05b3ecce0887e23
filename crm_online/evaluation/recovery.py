"""After a drift: how many outcomes models need until they are as good as one that knows no past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from crm_online.customers.state import DAY
from crm_online.evaluation.batch_models import CLASSIFIERS, Train
from crm_online.evaluation.churn import retrained
from crm_online.evaluation.gathering import Numbers, Predictions
from crm_online.evaluation.replaying import replayed
from crm_online.evaluation.sweeps import Clock
from crm_online.monitoring.figures import auc
from crm_online.settings import Settings
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.replay import plan_replay

__all__ = [
    "LIVE",
    "TOLERANCE",
    "Stretch",
    "averaged",
    "follow_drift",
    "outcomes_needed",
    "post_drift_only",
    "stretches",
]

TOLERANCE: Final = 0.01  # of AUC: who is as close as that has recovered
FOLDS: Final = 5
LEAST: Final = 50  # predictions that a stretch must have


SWEEP_DAYS: Final = 7.0
LIVE: Final = "crm-online"


class Stretch(NamedTuple):
    """Predictions made in one sweep after the drift.

    Parameters
    ----------
    outcomes
        Settled since the drift and known when they were made, on average.
    auc
        Of each model over them, by name.
    """

    outcomes: float
    auc: dict[str, float]


def follow_drift(shop: PopulationSettings, settings: Settings, clock: Clock) -> list[Stretch]:
    """Replay a generated shop, and rate models over each week after its drift.

    Parameters
    ----------
    shop
        What to generate.
    settings
        Of the whole program.
    clock
        Returns seconds that only rise.

    Returns
    -------
    list of Stretch
        The scorer (`LIVE`); batch models trained anew every week, on all labels known by then; and
        the same trained on predictions made after the drift alone (`post_drift_only`).
    """
    predictions = replayed(plan_replay(Population(shop).events(), DAY), settings).predictions()
    said, unknown = {LIVE: predictions.chance}, np.full(len(predictions), 0.5)
    week = SWEEP_DAYS * DAY
    for name, train in CLASSIFIERS.items():
        weekly = retrained(
            predictions, train, unknown, settings.min_outcomes, week, clock, lambda _: None
        )
        said[f"{name}, weekly"] = weekly.said
        said[f"{name}, new data only"] = post_drift_only(predictions, shop.drift_at, train)
    return list(stretches(predictions, said, shop.drift_at, week))


def post_drift_only(predictions: Predictions, drift_at: float, train: Train) -> Numbers:
    """Return what a model says that is trained on predictions made after the drift, and no other.

    It knows all of them but those of the customer it is asked for (five folds of customers), also
    later ones: what can be reached, not what anybody could have said at the time.

    Parameters
    ----------
    predictions
        All that settled.
    drift_at
        Seconds since 1970.
    train
        From `batch_models`.

    Returns
    -------
    array of float64, shape (n,)
        NaN before the drift.
    """
    after = predictions.opened >= drift_at
    _, customers = np.unique(predictions.customers.astype(str), return_inverse=True)
    said = np.full(len(predictions), np.nan)
    for fold in range(FOLDS):
        own = customers % FOLDS == fold
        known, asked = after & ~own, after & own
        chances_of = train(predictions.features[known], predictions.churned[known])
        said[asked] = chances_of(predictions.features[asked])
    return said


def stretches(
    predictions: Predictions, said: Mapping[str, Numbers], drift_at: float, sweep_seconds: float
) -> Iterator[Stretch]:
    """Rate models over the predictions of each sweep after the drift.

    Parameters
    ----------
    predictions
        All that settled.
    said : of array of float64, shape (n,)
        By each model.
    drift_at, sweep_seconds
        Seconds since 1970; length of a stretch.
    """
    dues = np.sort(predictions.due[predictions.due >= drift_at])
    known = np.searchsorted(dues, predictions.opened, side="left")
    numbers = np.floor((predictions.opened - drift_at) / sweep_seconds).astype(int)
    counted = (numbers >= 0) & ~predictions.late
    for number in range(int(numbers.max(initial=-1)) + 1):
        rows = np.flatnonzero(counted & (numbers == number))
        labels = predictions.churned[rows]
        if len(rows) < LEAST or labels.all() or not labels.any():
            continue
        figures = {name: auc(labels, chances[rows]) or 0.0 for name, chances in said.items()}
        yield Stretch(float(known[rows].mean()), figures)


def averaged(runs: Sequence[Sequence[Stretch]]) -> list[Stretch]:
    """Return the means of several runs, stretch by stretch, as far as all of them go.

    Examples
    --------
    >>> averaged([[Stretch(10.0, {"live": 0.5})], [Stretch(20.0, {"live": 1.0})]])
    [Stretch(outcomes=15.0, auc={'live': 0.75})]
    """
    return [
        Stretch(
            float(np.mean([each.outcomes for each in alike])),
            {name: float(np.mean([each.auc[name] for each in alike])) for name in alike[0].auc},
        )
        for alike in zip(*runs, strict=False)
    ]


def outcomes_needed(found: Sequence[Stretch], name: str, reference: str) -> float | None:
    """Return how many outcomes had come when a model was close to the reference, and stayed so.

    Parameters
    ----------
    found
        From `stretches` or `averaged`.
    name, reference
        Of the two.

    Returns
    -------
    float or None
        Of the first stretch from which on the mean distance is never above the tolerance, taken
        over it and the next; None where there is none.

    Examples
    --------
    >>> aucs = [(0.0, 0.9), (100.0, 0.8), (200.0, 0.89), (300.0, 0.9)]
    >>> found = [Stretch(n, {"live": auc, "ideal": 0.9}) for n, auc in aucs]
    >>> outcomes_needed(found, "live", "ideal")
    200.0
    """
    behind = np.array([each.auc[reference] - each.auc[name] for each in found])
    smooth = (behind + np.append(behind[1:], behind[-1:])) / 2.0
    for place, each in enumerate(found):
        if (smooth[place:] <= TOLERANCE + 1e-12).all():
            return each.outcomes
    return None
