"""Recovery from a drift, in outcomes: counted by hand, and live beside weekly."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from crm_online.evaluation.gathering import Flags, Numbers
from crm_online.evaluation.recovery import (
    LIVE,
    Stretch,
    averaged,
    follow_drift,
    outcomes_needed,
    post_drift_only,
    stretches,
)
from crm_online.settings import Settings
from crm_online.simulation.population_settings import PopulationSettings
from tests.unit.evaluation.histories import DAY, history, replay


def curve(*behind: float) -> list[Stretch]:
    return [
        Stretch(100.0 * place, {"live": 0.9 - each, "ideal": 0.9})
        for place, each in enumerate(behind)
    ]


@pytest.mark.parametrize(
    ("behind", "needed"),
    [
        ((0.0, 0.0, 0.0), 0.0),
        ((0.05, 0.03, 0.01, 0.0), 200.0),
        ((0.05, 0.0, 0.05, 0.0, 0.0), 300.0),  # who falls behind again has not recovered
        ((0.05, 0.05), None),
    ],
)
def test_outcomes_needed(behind: tuple[float, ...], needed: float | None) -> None:
    assert outcomes_needed(curve(*behind), "live", "ideal") == needed


def test_stretches_count_what_had_settled_since_the_drift() -> None:
    predictions = replay(history(60)).predictions()
    drift_at = float(predictions.opened.min()) + 10 * DAY
    found = list(stretches(predictions, {"live": predictions.features[:, 0]}, drift_at, 7 * DAY))
    assert found
    assert found[0].outcomes < found[-1].outcomes <= (predictions.due >= drift_at).sum()
    assert all(0.0 <= each.auc["live"] <= 1.0 for each in found)
    assert averaged([found, found]) == found


def test_nobody_is_asked_about_whom_it_was_trained_on() -> None:
    predictions = replay(history(60)).predictions()
    drift_at = float(predictions.opened.min()) + 10 * DAY
    asked: list[int] = []

    def train(features: Numbers, churned: Flags) -> Callable[[Numbers], Numbers]:
        known = {row.tobytes() for row in features}

        def chances(rows: Numbers) -> Numbers:
            asked.append(sum(row.tobytes() in known for row in rows))
            return np.full(len(rows), churned.mean())

        return chances

    said = post_drift_only(predictions, drift_at, train)
    after = predictions.opened >= drift_at
    assert np.isfinite(said[after]).all()
    assert np.isnan(said[~after]).all()
    assert sum(asked) < 0.05 * after.sum()  # those whose features are alike by chance


@pytest.mark.long
@pytest.mark.timeout(900)
def test_after_a_turn_fewer_outcomes_are_needed_than_by_who_trains_weekly() -> None:
    shops = [
        PopulationSettings(
            customers=600, days=240.0, seed=seed, dropout_b=30.0, drift_dropout_odds=20.0
        )
        for seed in (1, 2)
    ]
    runs = [follow_drift(shop, Settings(), time.process_time) for shop in shops]
    found, reference = averaged(runs), "logistic_regression, new data only"
    live = outcomes_needed(found, LIVE, reference)
    assert live is not None
    for name in ("lightgbm, weekly", "logistic_regression, weekly"):
        other = outcomes_needed(found, name, reference)
        assert other is None or live < other
