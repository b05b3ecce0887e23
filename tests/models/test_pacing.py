"""Two paces: as good as the slow one where nothing changes, sooner right again where all does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import checks

from crm_online.models.bayesian import BayesianLogistic
from crm_online.models.pacing import TwoPaces
from crm_online.monitoring.figures import log_loss

Numbers = NDArray[np.float64]

WIDTH = 6
STRENGTH = np.linspace(-1.5, 1.5, WIDTH)


def drawn(n: int, weights: Numbers, seed: int) -> list[tuple[dict[str, float], bool]]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, WIDTH))
    churned = rng.random(n) < 1.0 / (1.0 + np.exp(-rows @ weights))
    named = [{f"x{i}": value for i, value in enumerate(row)} for row in rows.tolist()]
    return list(zip(named, churned.tolist(), strict=True))


def losses(model: Any, outcomes: list[tuple[dict[str, float], bool]], last: int) -> float:
    """Learn all; the mean loss of the last ones, each foretold before it was learned."""
    said = []
    for x, churned in outcomes:
        said.append(model.predict_proba_one(x)[True])
        model.learn_one(x, churned)
    found = log_loss([churned for _, churned in outcomes[-last:]], said[-last:])
    assert found is not None
    return found


def test_rivers_checks() -> None:
    checks.check_estimator(TwoPaces())


def test_where_nothing_changes_the_past_is_kept() -> None:
    steady = drawn(8000, STRENGTH, seed=1)
    model = TwoPaces(fast=1e-3)
    assert losses(model, steady, 4000) < 1.01 * losses(BayesianLogistic(), steady, 4000)
    assert model.slow_share > 0.5


def test_after_a_turn_it_is_right_again_sooner() -> None:
    turned = [*drawn(8000, STRENGTH, seed=1), *drawn(1500, -STRENGTH, seed=2)]
    model = TwoPaces()
    assert losses(model, turned, 500) < 0.8 * losses(BayesianLogistic(), turned, 500)
    assert model.slow_share < 0.1


def test_predictions_change_nothing() -> None:
    model, (first, *others) = TwoPaces(), drawn(50, STRENGTH, seed=3)
    for x, churned in others:
        model.learn_one(x, churned)
    before = model.predict_proba_one(first[0])
    for x, _ in others:
        model.predict_proba_one(x)
    assert model.predict_proba_one(first[0]) == before
