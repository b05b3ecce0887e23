"""Churn: equal to River, cold start, reasons, refusal of poison, and models that never change."""

from __future__ import annotations

import dataclasses
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import (
    anomaly,
    checks,
    compose,
    ensemble,
    forest,
    linear_model,
    neighbors,
    optim,
    preprocessing,
    tree,
)

from crm_online.model_specs import CHURN_MODEL
from crm_online.models.bayesian import BayesianLogistic, FrozenBayesian
from crm_online.models.calibration import Calibrated
from crm_online.models.churn import ChurnModel
from crm_online.models.classifiers import freeze_classifier
from crm_online.models.frozen import FrozenLinear, FrozenSteps
from crm_online.models.pacing import TwoPaces
from crm_online.models.registry import build
from tests.models.shops import FEATURES, examples, rounding, rows_of, shop, taught_examples

SCALED = [
    lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.AdaGrad(0.05)),
    lambda: preprocessing.StandardScaler(with_std=False) | linear_model.LogisticRegression(),
    lambda: linear_model.LogisticRegression(optim.Adam(0.01), l2=0.1),
]
RIVER = {
    "pipeline": [
        {"class": "river.preprocessing.StandardScaler"},
        {"class": "river.linear_model.LogisticRegression"},
    ]
}
BAYESIAN: list[Any] = [
    BayesianLogistic,
    TwoPaces,
    lambda: build(CHURN_MODEL),
    lambda: Calibrated(BayesianLogistic(spread=4.0), grace=0),
    lambda: Calibrated(build(RIVER), grace=20),
]
OTHERS: dict[str, Any] = {
    "calibrated bayes": lambda: Calibrated(build({"class": "river.naive_bayes.GaussianNB"})),
    "tree": lambda: tree.HoeffdingTreeClassifier(grace_period=50),
    "forest": lambda: forest.ARFClassifier(n_models=3, seed=7),
    "mondrian": lambda: forest.AMFClassifier(n_estimators=3, seed=7),
    "bayes": lambda: build({"class": "river.naive_bayes.GaussianNB"}),
    "neighbours": neighbors.KNNClassifier,
    "range": lambda: preprocessing.MinMaxScaler() | linear_model.LogisticRegression(),
    "window": lambda: preprocessing.StandardScaler(window_size=50) | linear_model.Perceptron(),
    "bagging": lambda: ensemble.BaggingClassifier(linear_model.LogisticRegression(), seed=7),
    "filter": lambda: compose.Pipeline(
        anomaly.QuantileFilter(anomaly.HalfSpaceTrees(seed=7), q=0.99),
        build({"class": "river.naive_bayes.GaussianNB"}),
    ),
}


def taught(estimator: Any, n: int = 300, min_outcomes: int = 5) -> ChurnModel:
    model = ChurnModel(estimator, FEATURES, min_outcomes)
    for x, churned, _ in shop(n):
        model.learn_one(x, churned)
    return model


@pytest.mark.parametrize("make", SCALED)
@given(learned=taught_examples, asked=st.lists(examples, min_size=1, max_size=5))
def test_a_frozen_linear_model_equals_river(make: Any, learned: Any, asked: Any) -> None:
    estimator = make()
    for x, churned, _ in learned:
        estimator.learn_one(x, churned)
    frozen = freeze_classifier(estimator, FEATURES)
    assert isinstance(frozen.model, FrozenLinear)
    river = np.array([estimator.predict_proba_one(x)[True] for x in asked])
    gaps = np.abs(frozen.predict_many(rows_of(asked)) - river)
    assert (gaps <= 1e-9 + rounding(frozen.model, rows_of(asked))).all()


@pytest.mark.parametrize("make", [*SCALED, *BAYESIAN])
def test_a_frozen_linear_model_equals_river_to_twelve_digits(make: Any) -> None:
    model = taught(make())
    xs = [x for x, _, _ in shop(500, seed=8)]
    river = [model.estimator.predict_proba_one(x)[True] for x in xs]
    frozen: Any = model.freeze().predict_many(rows_of(xs)).probability
    np.testing.assert_allclose(frozen, river, rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_any_other_classifier_answers_behind_the_same_call(make: Any) -> None:
    model = taught(make())
    frozen = model.freeze()
    assert isinstance(frozen.classifier.model, FrozenSteps)
    xs = [x for x, _, _ in shop(20, seed=8)]
    river = [model.estimator.predict_proba_one(x).get(True, 0.0) for x in xs]
    scores: Any = frozen.predict_many(rows_of(xs))
    np.testing.assert_allclose(scores.probability, river, atol=1e-9)
    assert scores.top.shape == scores.contributions.shape == (20, 3)
    assert np.isfinite(scores.contributions).all()


@pytest.mark.parametrize("make", [*SCALED, *BAYESIAN, *OTHERS.values()])
def test_scoring_never_changes_a_model(make: Any) -> None:
    model = taught(make())
    frozen = model.freeze()
    rows = rows_of([x for x, _, _ in shop(30, seed=9)])
    learner, held = pickle.dumps(model), pickle.dumps(frozen)
    first = frozen.predict_many(rows)
    with compose.learn_during_predict():
        second = frozen.predict_many(rows)
    np.testing.assert_array_equal(first.probability, second.probability)
    np.testing.assert_array_equal(first.contributions, second.contributions)
    assert pickle.dumps(model) == learner
    assert pickle.dumps(frozen) == held


@pytest.mark.parametrize("make", [SCALED[0], BAYESIAN[1], OTHERS["forest"]])
def test_learning_never_changes_what_was_frozen(make: Any) -> None:
    model = taught(make())
    frozen = model.freeze()
    rows = rows_of([x for x, _, _ in shop(30, seed=9)])
    before: Any = frozen.predict_many(rows)
    for x, churned, _ in shop(300, seed=10):
        model.learn_one(x, not churned)
    np.testing.assert_array_equal(before.probability, frozen.predict_many(rows).probability)
    after: Any = model.freeze().predict_many(rows)
    assert not np.allclose(before.probability, after.probability)


def test_frozen_models_cannot_be_written_to() -> None:
    frozen = taught(build(CHURN_MODEL)).freeze()
    with pytest.raises(dataclasses.FrozenInstanceError):
        frozen.base_rate = 0.5  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        frozen.classifier.model.intercept = 0.0  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="read-only"):
        frozen.classifier.model.straight[0] = 1.0  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="read-only"):
        frozen.classifier.means[0] = 1.0


def test_before_enough_outcomes_the_base_rate_stands_in() -> None:
    model = ChurnModel(build(CHURN_MODEL), FEATURES, min_outcomes=3)
    rows = rows_of([x for x, _, _ in shop(4)])
    assert model.base_rate is None
    assert model.freeze().predict_many(rows).probability is None
    (x, _, _), *_ = shop(1)
    for churned in [True, False, False, False]:
        model.learn_one(x, churned)
    scores = model.freeze().predict_many(rows)
    assert scores.probability is not None
    assert scores.probability.tolist() == [pytest.approx(2 / 6)] * 4  # one of each is added
    assert not scores.calibrated
    assert scores.top.shape == scores.contributions.shape == (4, 0)
    assert not model.calibrated()
    assert model.calibrated(1)
    assert model.freeze(min_outcomes=1).calibrated


def test_calibrated_needs_both_classes() -> None:
    model = ChurnModel(build(CHURN_MODEL), FEATURES, min_outcomes=2)
    (x, _, _), *_ = shop(1)
    for churned, expected in [(True, False), (True, False), (True, False), (False, False)]:
        model.learn_one(x, churned)
        assert model.calibrated() is expected
    model.learn_one(x, False)
    assert model.calibrated()


def test_reasons_are_the_strongest_shares_in_log_odds() -> None:
    model = taught(build(CHURN_MODEL), n=2000)
    xs = [x for x, _, _ in shop(50, seed=8)]
    rows = rows_of(xs)
    frozen = model.freeze()
    scores = frozen.predict_many(rows)
    classifier = frozen.classifier
    assert isinstance(classifier.model, FrozenBayesian)
    parts = classifier.slope * classifier.model.parts_many(rows)
    odds = np.log(scores.probability / (1 - scores.probability))  # type: ignore[operator]
    constant = classifier.shift + classifier.slope * classifier.model.intercept
    np.testing.assert_allclose(parts.sum(axis=1) + constant, odds, atol=1e-9)
    for row, top, sizes in zip(parts, scores.top, scores.contributions, strict=True):
        assert sizes.tolist() == row[top].tolist()
        assert sorted(np.abs(row))[::-1][:3] == np.abs(sizes).tolist()
    longest_silent = rows_of([{**dict.fromkeys(FEATURES, 0.0), "recency": 3.0}])
    found = frozen.predict_many(longest_silent)
    assert FEATURES[found.top[0, 0]] == "recency"
    assert found.contributions[0, 0] > 0


def test_other_classifiers_find_the_feature_that_matters() -> None:
    model = ChurnModel(tree.HoeffdingTreeClassifier(grace_period=50), FEATURES, 5)
    for x, _, _ in shop(2000):
        model.learn_one(x, x["recency"] > 0)
    silent = rows_of([{**dict.fromkeys(FEATURES, 0.0), "recency": -3.0}])
    found = model.freeze().predict_many(silent)
    assert FEATURES[found.top[0, 0]] == "recency"
    assert found.contributions[0, 0] < 0


def test_fewer_features_than_reasons() -> None:
    model = ChurnModel(build(CHURN_MODEL), ["recency"], 1)
    model.learn_one({"recency": 1.0}, True)
    model.learn_one({"recency": 2.0}, False)
    scores = model.freeze().predict_many(np.array([[1.0], [2.0]]))
    assert scores.top.tolist() == [[0], [0]]


@pytest.mark.parametrize("make", [SCALED[0], OTHERS["tree"], OTHERS["range"]])
def test_an_empty_batch_is_scored(make: Any) -> None:
    scores = taught(make()).freeze().predict_many(np.empty((0, len(FEATURES))))
    assert scores.probability is not None
    assert scores.probability.shape == (0,)
    assert scores.top.shape == (0, 3)


def test_a_classifier_without_an_opinion_gives_the_base_rate() -> None:
    model = taught(build(CHURN_MODEL))
    model.estimator = tree.HoeffdingTreeClassifier()
    scores = model.freeze().predict_many(rows_of([x for x, _, _ in shop(3)]))
    assert scores.probability is not None
    assert set(scores.probability.tolist()) == {model.base_rate}


def test_columns_follow_their_names_and_unknown_ones_count_nothing() -> None:
    model = taught(build(CHURN_MODEL))
    rows = rows_of([x for x, _, _ in shop(10, seed=8)])
    names = ("new", *reversed(FEATURES))
    wider = np.column_stack((np.full(10, 9.0), rows[:, ::-1]))
    np.testing.assert_allclose(
        model.freeze(names).predict_many(wider).probability,  # type: ignore[arg-type]
        model.freeze().predict_many(rows).probability,  # type: ignore[arg-type]
        atol=1e-12,
    )


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e39, -1e300])
def test_poison_is_refused_and_leaves_the_model_as_it_was(poison: float) -> None:
    model = taught(build(CHURN_MODEL))
    before = pickle.dumps(model)
    (x, _, _), *_ = shop(1)
    with pytest.raises(ValueError, match="age is not a finite float32 number"):
        model.learn_one({**x, "age": poison}, True)
    for label in (math.nan, None, 1, "yes"):
        with pytest.raises(ValueError, match="neither true nor false"):
            model.learn_one(x, label)  # type: ignore[arg-type]
    assert pickle.dumps(model) == before


@given(learned=taught_examples, asked=st.lists(examples, min_size=1, max_size=5))
def test_probabilities_stay_probabilities(learned: Any, asked: Any) -> None:
    model = ChurnModel(build(CHURN_MODEL), FEATURES, min_outcomes=1)
    for x, churned, _ in learned:
        model.learn_one(x, churned)
    scores = model.freeze().predict_many(rows_of(asked))
    if scores.probability is not None:
        assert ((scores.probability >= 0) & (scores.probability <= 1)).all()
    assert np.isfinite(scores.contributions).all()


def test_the_same_outcomes_make_the_same_model() -> None:
    assert pickle.dumps(taught(build(CHURN_MODEL))) == pickle.dumps(taught(build(CHURN_MODEL)))


def test_the_default_estimator_passes_rivers_checks() -> None:
    checks.check_estimator(build(CHURN_MODEL))
