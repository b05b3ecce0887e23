"""Bayesian models: as good as a batch fit, equal when frozen, unmoved by what poisons others."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import checks
from sklearn.linear_model import (  # type: ignore[import-untyped, unused-ignore]
    LogisticRegression,
)

from crm_online.models.bayesian import BayesianLinear, BayesianLogistic
from crm_online.monitoring.figures import log_loss
from tests.models.shops import FEATURES, examples, rows_of, shop, taught_examples


def taught(n: int = 500, **parameters: Any) -> BayesianLogistic:
    model = BayesianLogistic(**parameters)
    for x, churned, _ in shop(n):
        model.learn_one(x, churned)
    return model


def chances(model: BayesianLogistic, xs: list[dict[str, float]]) -> list[float]:
    return [model.predict_proba_one(x)[True] for x in xs]


@pytest.mark.parametrize("make", [BayesianLogistic, BayesianLinear])
def test_rivers_checks(make: Any) -> None:
    checks.check_estimator(make())


def test_one_pass_is_as_good_as_a_batch_fit() -> None:
    fresh = shop(2000, seed=8)
    labels, xs = [churned for _, churned, _ in fresh], [x for x, _, _ in fresh]
    known = shop(500)
    batch = LogisticRegression().fit(rows_of([x for x, _, _ in known]), [c for _, c, _ in known])
    online = log_loss(labels, chances(taught(500, spread=10.0), xs))
    assert online is not None
    assert online < 1.02 * float(log_loss(labels, batch.predict_proba(rows_of(xs))[:, 1]) or 0.0)


@given(learned=taught_examples, asked=st.lists(examples, min_size=1, max_size=5))
def test_frozen_equals_the_model(learned: Any, asked: Any) -> None:
    logistic, linear = BayesianLogistic(), BayesianLinear()
    for x, churned, spend in learned:
        logistic.learn_one(x, churned)
        linear.learn_one(x, math.log1p(spend))
    rows = rows_of(asked)
    found = 1.0 / (1.0 + np.exp(-logistic.freeze(FEATURES).value_many(rows)))
    np.testing.assert_allclose(found, chances(logistic, asked), rtol=0, atol=1e-9)
    numbers = [linear.predict_one(x) for x in asked]
    np.testing.assert_allclose(linear.freeze(FEATURES).value_many(rows), numbers, atol=1e-8)
    assert np.isfinite(found).all()
    assert np.isfinite(numbers).all()


def test_an_effect_that_levels_off_is_learned() -> None:
    rng = np.random.default_rng(7)
    straight = BayesianLogistic()
    for value in rng.normal(size=4000).tolist():
        straight.learn_one({"a": value}, bool(rng.random() < (0.9 if value > 0.3 else 0.5)))
    levels = chances(straight, [{"a": 1.0}, {"a": 2.5}])
    assert levels[1] - levels[0] < 0.15


@pytest.mark.parametrize("wild", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_what_is_not_known_counts_as_average(wild: float) -> None:
    model = taught()
    (x, _, _), *_ = shop(1)
    without = {name: value for name, value in x.items() if name != "age"}
    asked = chances(model, [{**x, "age": wild}, without])
    assert asked[0] == asked[1]
    for churned in (True, False) * 20:
        model.learn_one({**x, "age": wild}, churned)
    assert np.isfinite(model.freeze(FEATURES).value_many(rows_of([x]))).all()


def test_one_extreme_customer_moves_little() -> None:
    model, fresh = taught(2000), [x for x, _, _ in shop(200, seed=8)]
    before = np.array(chances(model, fresh))
    model.learn_one(dict.fromkeys(FEATURES, 3e38), True)
    (x, _, _), *_ = shop(1)
    model.learn_one({**x, "age": 1e12}, True)
    assert np.isfinite(chances(model, fresh)).all()
    others = [{**each, "age": 0.0} for each in fresh]
    assert np.isfinite(chances(model, others)).all()
    assert (np.abs(before) <= 1.0).all()


def test_constant_and_empty_features_and_one_class_only() -> None:
    model = BayesianLogistic()
    for _ in range(3000):
        model.learn_one({"constant": 5.0, "empty": 0.0}, False)
        model.learn_one({}, False)
    assert 0.0 < model.predict_proba_one({"constant": 5.0, "empty": 0.0})[True] < 0.01
    assert model.predict_proba_one({"constant": 1e9})[True] < 0.01


def test_columns_that_say_the_same_share_their_weight() -> None:
    model = BayesianLogistic()
    for x, churned, _ in shop(3000):
        model.learn_one({"a": x["recency"], "b": x["recency"]}, churned)
    frozen = model.freeze(["a", "b"])
    np.testing.assert_allclose(frozen.straight[0], frozen.straight[1], rtol=1e-6)
    assert np.linalg.eigvalsh(model._covariance).min() > 0.0


def test_features_may_come_later() -> None:
    model = BayesianLogistic()
    for x, churned, _ in shop(300):
        model.learn_one({"recency": x["recency"]}, churned)
    before = model.predict_proba_one({"recency": 1.0})[True]
    for x, churned, _ in shop(1, seed=9):
        model.learn_one(x, churned)
    assert model.predict_proba_one({"recency": 1.0})[True] == pytest.approx(before, abs=0.05)
    assert model.freeze(["age", "recency"]).straight.shape == (2,)


def test_asking_changes_nothing() -> None:
    model = taught()
    before = pickle.dumps(model)
    chances(model, [{**x, "new": 1.0} for x, _, _ in shop(20, seed=8)])
    model.freeze(["new", *FEATURES])
    assert pickle.dumps(model) == before


def test_outliers_of_the_target_count_four_deviations() -> None:
    model = BayesianLinear()
    for x, _, _ in shop(1000):
        model.learn_one(x, 0.5 * x["age"])
    (x, _, _), *_ = shop(1, seed=8)
    before = model.predict_one(x)
    model.learn_one(x, 1e9)
    assert model.predict_one(x) == pytest.approx(before, abs=0.2)
