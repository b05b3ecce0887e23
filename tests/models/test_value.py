"""Value: a River regressor of spend, frozen equal to River, never poisoned, never below zero."""

from __future__ import annotations

import dataclasses
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import checks, compose, linear_model, preprocessing, tree

from crm_online.models.spend import ExpectedSpend
from crm_online.models.value import ValueModel
from tests.models.shops import FEATURES, examples, rounding, rows_of, shop, taught_examples

ESTIMATORS: dict[str, Any] = {
    "expected spend": ExpectedSpend,
    "halves": lambda: ExpectedSpend(
        tree.HoeffdingTreeClassifier(grace_period=50), tree.HoeffdingTreeRegressor(grace_period=50)
    ),
    "linear": lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    "tree": tree.HoeffdingTreeRegressor,
}


def taught(estimator: Any, n: int = 300) -> ValueModel:
    model = ValueModel(estimator, FEATURES, min_outcomes=5)
    for x, _, spend in shop(n):
        model.learn_one(x, spend)
    return model


def test_expected_spend_passes_rivers_checks() -> None:
    checks.check_estimator(ExpectedSpend())


def test_expected_spend_passes_rivers_checks_with_other_halves() -> None:
    checks.check_estimator(ESTIMATORS["halves"]())


@given(learned=taught_examples, asked=st.lists(examples, min_size=1, max_size=5))
def test_frozen_spend_equals_river(learned: Any, asked: Any) -> None:
    model = ExpectedSpend()
    for x, _, spend in learned:
        model.learn_one(x, spend)
    river = np.array([model.predict_one(x) for x in asked])
    frozen, rows = model.freeze(FEATURES), rows_of(asked)
    found = frozen.value_many(rows)
    rounded = rounding(frozen.size, rows) + rounding(frozen.chance.model, rows)
    assert (np.abs(found - river) <= (1e-9 + rounded) * np.maximum(river, 1.0)).all()
    assert np.isfinite(found).all()
    assert (found >= 0).all()


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
def test_any_regressor_answers_behind_the_same_call(make: Any) -> None:
    model = taught(make())
    xs = [x for x, _, _ in shop(50, seed=8)]
    river = [max(model.estimator.predict_one(x), 0.0) for x in xs]
    found = model.freeze().predict_many(rows_of(xs))
    np.testing.assert_allclose(found, river, rtol=1e-9, atol=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
def test_scoring_never_changes_a_model(make: Any) -> None:
    model = taught(make())
    frozen = model.freeze()
    rows = rows_of([x for x, _, _ in shop(30, seed=9)])
    learner, held = pickle.dumps(model), pickle.dumps(frozen)
    first = frozen.predict_many(rows)
    with compose.learn_during_predict():
        second = frozen.predict_many(rows)
    np.testing.assert_array_equal(first, second)
    assert (pickle.dumps(model), pickle.dumps(frozen)) == (learner, held)
    for x, _, spend in shop(200, seed=11):
        model.learn_one(x, spend * 3)
    np.testing.assert_array_equal(first, frozen.predict_many(rows))


def test_frozen_models_cannot_be_written_to() -> None:
    frozen = taught(ExpectedSpend()).freeze()
    for thing, name in [(frozen, "mean"), (frozen.model, "smearing")]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, 1.0)


def test_the_mean_stands_in_until_enough_customers_spent() -> None:
    model = ValueModel(ExpectedSpend(), FEATURES, min_outcomes=3)
    (x, _, _), *_ = shop(1)
    rows = rows_of([x, x])
    assert model.freeze().predict_many(rows) is None
    for spend in (0.0, 30.0, 0.0, 10.0):
        model.learn_one(x, spend)
    assert model.freeze().predict_many(rows).tolist() == [10.0, 10.0]  # type: ignore[union-attr]
    assert not model.calibrated()
    model.learn_one(x, 5.0)
    assert model.calibrated()
    assert model.freeze().model is not None


def test_totals_are_right_and_customers_are_told_apart() -> None:
    model = taught(ExpectedSpend(), n=6000)
    fresh = shop(6000, seed=12)
    found = model.freeze().predict_many(rows_of([x for x, _, _ in fresh]))
    spent = np.array([spend for _, _, spend in fresh])
    assert found is not None
    assert found.sum() == pytest.approx(spent.sum(), rel=0.15)
    assert np.abs(found - spent).mean() < np.abs(spent.mean() - spent).mean()
    best = np.argsort(found)[-600:]
    assert spent[best].mean() > 2 * spent.mean()


def test_nobody_is_expected_to_spend_more_than_anyone_did() -> None:
    model = taught(ExpectedSpend())
    assert isinstance(model.estimator, ExpectedSpend)
    far = rows_of([dict.fromkeys(FEATURES, 1e30), dict.fromkeys(FEATURES, -1e30)])
    highest = max(spend for _, _, spend in shop(300))
    found = model.freeze().predict_many(far)
    assert found is not None
    assert (found <= highest * max(model.estimator.smearing, 1.0) * (1 + 1e-9)).all()


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e39])
def test_poison_is_refused_and_leaves_the_model_as_it_was(poison: float) -> None:
    model = taught(ExpectedSpend())
    before = pickle.dumps(model)
    (x, _, spend), *_ = shop(1)
    with pytest.raises(ValueError, match="age is not a finite"):
        model.learn_one({**x, "age": poison}, spend)
    with pytest.raises(ValueError, match="spend is not a finite"):
        model.learn_one(x, poison)
    with pytest.raises(ValueError, match="spend is not a finite"):
        model.estimator.learn_one(x, poison)
    assert pickle.dumps(model) == before


def test_refunds_count_as_no_spend() -> None:
    model = ValueModel(ExpectedSpend(), FEATURES, 5)
    (x, _, _), *_ = shop(1)
    model.learn_one(x, -40.0)
    assert (model.mean, model.spenders, model.others) == (0.0, 0, 1)
