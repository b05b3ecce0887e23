"""Calibration: 0.3 means three in ten, also after a change; the order of customers stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from river import base, checks

from crm_online.model_specs import CHURN_MODEL
from crm_online.models.bayesian import BayesianLogistic
from crm_online.models.calibration import Calibrated
from crm_online.models.classifiers import freeze_classifier
from crm_online.models.registry import build
from tests.models.shops import FEATURES, rows_of, shop

Numbers = NDArray[np.float64]


class Told(base.Classifier):
    """Says what the example says, and never learns."""

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        pass

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        return {True: x["chance"], False: 1.0 - x["chance"]}


def calibration_error(chances: Numbers, labels: Numbers) -> float:
    bins = np.minimum((chances * 10).astype(int), 9)
    parts = [bins == b for b in range(10) if (bins == b).any()]
    return float(sum(abs(labels[p].mean() - chances[p].mean()) * p.mean() for p in parts))


def run(model: Calibrated, said: Numbers, labels: Numbers) -> Numbers:
    found = []
    for chance, churned in zip(said.tolist(), labels.tolist(), strict=True):
        found.append(model.predict_proba_one({"chance": chance})[True])
        model.learn_one({"chance": chance}, bool(churned))
    return np.array(found)


def drawn(n: int, shift: float, slope: float, seed: int = 7) -> tuple[Numbers, Numbers]:
    """What a classifier says, and labels of log-odds ``shift + slope * said``."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(scale=1.5, size=n)
    truth = 1.0 / (1.0 + np.exp(-(shift + slope * odds)))
    return 1.0 / (1.0 + np.exp(-odds)), (rng.random(n) < truth).astype(float)


@pytest.mark.parametrize(("shift", "slope"), [(0.0, 1.0), (1.0, 1.0), (-0.5, 0.4), (0.3, 2.0)])
def test_what_was_wrong_comes_right(shift: float, slope: float) -> None:
    said, labels = drawn(6000, shift, slope)
    found = run(Calibrated(Told()), said, labels)
    assert calibration_error(found[2000:], labels[2000:]) < 0.04
    before = calibration_error(said[2000:], labels[2000:])
    assert (before > 0.06) == (slope != 1.0 or shift != 0.0)


def test_after_a_change_it_comes_right_again() -> None:
    said, labels = drawn(6000, 0.0, 1.0)
    later, changed = drawn(6000, -1.2, 1.0, seed=8)
    found = run(Calibrated(Told(), drift=1e-5), np.append(said, later), np.append(labels, changed))
    assert calibration_error(found[8000:], changed[2000:]) < 0.04
    assert calibration_error(later[2000:], changed[2000:]) > 0.12


def test_labels_that_say_the_opposite_keep_the_order() -> None:
    said, labels = drawn(4000, 0.0, -2.0)
    model = Calibrated(Told())
    run(model, said, labels)
    found = [model.predict_proba_one({"chance": c})[True] for c in (0.1, 0.5, 0.9)]
    assert sorted(found) == found
    assert found[0] < found[2]


@pytest.mark.parametrize("labels", [np.zeros(3000), np.ones(3000)])
def test_one_class_only_and_sure_answers_stay_probabilities(labels: Numbers) -> None:
    said = np.resize([0.0, 1.0, 0.5], 3000)
    found = run(Calibrated(Told()), said, labels)
    assert ((found >= 0.0) & (found <= 1.0)).all()


def test_frozen_equals_it() -> None:
    model = Calibrated(Calibrated(BayesianLogistic(), grace=20), grace=100)
    for x, churned, _ in shop(600):
        model.learn_one(x, churned)
    xs = [x for x, _, _ in shop(50, seed=8)]
    assert model.shift != 0.0
    river = [model.predict_proba_one(x)[True] for x in xs]
    frozen = freeze_classifier(model, FEATURES).predict_many(rows_of(xs))
    np.testing.assert_allclose(frozen, river, rtol=0, atol=1e-12)


def test_rivers_checks() -> None:
    checks.check_estimator(build(CHURN_MODEL))
