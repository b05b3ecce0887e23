"""Estimators built from settings: what is built, and what is refused with which words."""

from __future__ import annotations

import pytest
from river import base

from crm_online.errors import ConfigurationError
from crm_online.model_specs import CHURN_MODEL, CLUSTER_MODEL, VALUE_MODEL
from crm_online.models.registry import build
from crm_online.models.spend import ExpectedSpend

STEP = {"class": "river.preprocessing.StandardScaler"}


def test_model_specs_are_built_with_their_parameters() -> None:
    churn = build(CHURN_MODEL, "churn_model", kind=base.Classifier)
    assert str(churn) == "TwoPaces"
    assert isinstance(build(VALUE_MODEL, kind=base.Regressor), ExpectedSpend)
    assert build(CLUSTER_MODEL, kind=base.Clusterer)["KMeans"].seed == 7


def test_every_build_is_a_new_estimator() -> None:
    assert build(CHURN_MODEL) is not build(CHURN_MODEL)


def test_lists_of_specs_and_inner_estimators_are_built() -> None:
    spec = {
        "class": "river.ensemble.VotingClassifier",
        "models": [
            {"class": "river.naive_bayes.GaussianNB"},
            {"pipeline": [STEP, {"class": "river.linear_model.LogisticRegression"}]},
        ],
    }
    assert [str(model) for model in build(spec).models] == [
        "GaussianNB",
        "StandardScaler | LogisticRegression",
    ]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"class": "os.system"}, "neither of River nor of crm_online"),
        ({"class": "subprocess.Popen", "args": ["true"]}, "neither of River nor of crm_online"),
        ({"class": "river.linear_model.Nothing"}, "there is no river.linear_model.Nothing"),
        ({"class": "river.nothing.Nothing"}, "there is no river.nothing.Nothing"),
        # Modules hold what they import: os through River would be os all the same.
        ({"class": "river.base.base.typing.Any"}, "there is no"),
        ({"class": "river.base.base.copy"}, "is not a class"),
        ({"class": "river.compose.pipeline.Path"}, "there is no"),
        ({"class": "river.checks.check_estimator"}, "is not a class"),
        ({"class": "KMeans"}, "full name"),
        ({"class": 7}, "full name"),
        ({"class": "river.cluster.KMeans", "clusters": 3}, "refuses its parameters"),
        ({"class": "river.cluster.KMeans"}, "give river.cluster.KMeans a seed"),
        ({"pipeline": []}, "write a pipeline as"),
        ({"pipeline": "scaler"}, "write a pipeline as"),
        ({"pipeline": [STEP], "seed": 1}, "write a pipeline as"),
        ({"pipeline": [STEP, "model"]}, "every step of a pipeline"),
        (STEP, "is not a Classifier"),
        ({"pipeline": [STEP, {"class": "river.linear_model.LinearRegression"}]}, "is not a Class"),
        ({"n_clusters": 3}, "is not a Classifier"),
    ],
)
def test_refusals_name_the_setting_and_the_reason(spec: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^CRM_CHURN_MODEL: ") as refused:
        build(spec, "CRM_CHURN_MODEL", kind=base.Classifier)
    assert words in str(refused.value)


def test_other_classes_must_be_allowed_by_name() -> None:
    spec = {"class": "fractions.Fraction", "numerator": 3}
    with pytest.raises(ConfigurationError):
        build(spec)
    assert build(spec, allow={"fractions.Fraction"}) == 3


def test_a_seedless_model_inside_another_is_refused() -> None:
    spec = {"pipeline": [STEP, {"class": "river.forest.ARFClassifier"}]}
    with pytest.raises(ConfigurationError, match=r"the same outcomes must always make the same"):
        build(spec)
