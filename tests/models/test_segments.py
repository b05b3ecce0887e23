"""Segments and clusters: the eleven names, edges in order, equal to River, never poisoned."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import checks, cluster, compose, preprocessing

from crm_online.model_specs import CLUSTER_MODEL
from crm_online.models.clusters import ClusterModel, FrozenKMeans
from crm_online.models.frozen import FrozenSteps
from crm_online.models.registry import build
from crm_online.models.segments import DEFAULT_EDGES, RFM_TABLE, SEGMENTS, RfmSegments

# Segment: lowest and highest recency score, lowest and highest frequency-and-money score.
PUBLISHED = {
    "champions": (4, 5, 4, 5),
    "loyal_customers": (2, 5, 3, 5),
    "potential_loyalists": (3, 5, 1, 3),
    "recent_customers": (4, 5, 0, 1),
    "promising": (3, 4, 0, 1),
    "needs_attention": (2, 3, 2, 3),
    "about_to_sleep": (2, 3, 0, 2),
    "at_risk": (0, 2, 2, 5),
    "cant_lose_them": (0, 1, 4, 5),
    "hibernating": (1, 2, 1, 2),
    "lost": (0, 2, 0, 2),
}
money = st.floats(0, 1e9) | st.sampled_from([0.0, 50.0, 1e-9])
triples = st.tuples(st.floats(0, 4000) | st.just(0.0), st.integers(0, 500).map(float), money)
SCORES = list(itertools.product(range(1, 6), repeat=3))


def population(n: int, seed: int = 7) -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(seed)
    days, orders = rng.exponential(60, n), rng.geometric(0.4, n).astype(float)
    spend = np.where(rng.random(n) < 0.7, rng.lognormal(4, 1, n), 0.0)
    return [tuple(row) for row in np.column_stack((days, orders, spend)).tolist()]


def segments(n: int) -> RfmSegments:
    model = RfmSegments()
    for rfm in population(n):
        model.learn_one(rfm)
    return model


def clusters(estimator: Any, n: int = 300) -> ClusterModel:
    model = ClusterModel(estimator)
    for rfm in population(n):
        model.learn_one(rfm)
    return model


def test_the_eleven_names_are_the_keys_of_the_published_table() -> None:
    assert len(SEGMENTS) == 11
    assert set(SEGMENTS) == set(PUBLISHED)


def test_every_cell_lies_in_its_segments_published_range() -> None:
    for cell, number in enumerate(RFM_TABLE):
        recency, both = cell // 5 + 1, cell % 5 + 1
        low, high, least, most = PUBLISHED[SEGMENTS[number]]
        assert low <= recency <= high
        assert least <= both <= most
    assert set(RFM_TABLE) == set(range(11))


def test_all_scores_have_a_name_and_every_name_is_reached() -> None:
    frozen = RfmSegments().freeze()
    days, visits, spend = (365, 120, 60, 14, 1), (1, 2, 3, 6, 20), (0, 20, 100, 300, 1000)
    rfm = np.array([(days[r - 1], visits[f - 1], spend[m - 1]) for r, f, m in SCORES], float)
    assert frozen.scores_many(rfm).tolist() == [list(scores) for scores in SCORES]
    assert set(frozen.segment_many(rfm)) == set(SEGMENTS)


@pytest.mark.parametrize(
    ("rfm", "name"),
    [
        ((1.0, 30.0, 2000.0), "champions"),
        ((1.0, 1.0, 20.0), "recent_customers"),
        ((20.0, 1.0, 0.0), "promising"),
        ((400.0, 30.0, 2000.0), "cant_lose_them"),
        ((120.0, 30.0, 2000.0), "at_risk"),
        ((120.0, 1.0, 20.0), "hibernating"),
        ((400.0, 1.0, 20.0), "lost"),
        ((60.0, 1.0, 20.0), "about_to_sleep"),
    ],
)
def test_before_quantiles_are_known_default_edges_hold(rfm: Any, name: str) -> None:
    model = RfmSegments()
    assert model.segment_one(rfm) == name
    named = dict(zip(("recency", "frequency", "money"), rfm, strict=True))
    assert SEGMENTS[model.predict_one(named)] == name


def test_quantiles_take_over_when_enough_were_seen() -> None:
    assert segments(99).edges() == DEFAULT_EDGES
    recency, frequency, spend = segments(5000).edges()
    rows = np.array(population(5000))
    quantiles = (0.2, 0.4, 0.6, 0.8)
    np.testing.assert_allclose(recency, np.quantile(-rows[:, 0], quantiles), rtol=0.1)
    np.testing.assert_allclose(frequency, np.quantile(rows[:, 1], quantiles), atol=1.0)
    np.testing.assert_allclose(spend, np.quantile(rows[:, 2], quantiles), rtol=0.1, atol=1.0)


@given(st.lists(triples, min_size=1, max_size=60), st.lists(triples, min_size=1, max_size=20))
def test_edges_rise_and_everyone_gets_one_of_the_eleven_names(seen: Any, asked: Any) -> None:
    model = RfmSegments(min_observations=1)
    for rfm in seen:
        model.learn_one(rfm)
    for edges in model.edges():
        assert len(edges) == 4
        assert all(math.isfinite(edge) for edge in edges)
        assert list(edges) == sorted(edges)
    scores = model.freeze().scores_many(np.array(asked))
    assert ((scores >= 1) & (scores <= 5)).all()
    names = model.freeze().segment_many(np.array(asked))
    assert set(names) <= set(SEGMENTS)
    assert names == [model.segment_one(rfm) for rfm in asked]


@given(st.lists(triples, min_size=1, max_size=60), triples, st.floats(0, 1e3))
def test_more_recent_frequent_or_spending_never_scores_lower(
    seen: Any, rfm: Any, more: Any
) -> None:
    model = RfmSegments(min_observations=1)
    for other in seen:
        model.learn_one(other)
    better = (max(rfm[0] - more, 0.0), rfm[1] + more, rfm[2] + more)
    scores = model.freeze().scores_many(np.array([rfm, better]))
    assert (scores[1] >= scores[0]).all()


def test_ties_score_high_on_recency_and_low_on_frequency_and_money() -> None:
    model = RfmSegments()
    for _ in range(200):
        model.learn_one((0.0, 1.0, 0.0))
    frozen = model.freeze()
    assert frozen.scores_many(np.array([[0.0, 1.0, 0.0]])).tolist() == [[5, 1, 1]]
    assert frozen.segment_many(np.array([[0.0, 1.0, 0.0]])) == ["recent_customers"]


def test_edges_beside_a_shared_count_or_price_do_not_tell_equals_apart() -> None:
    rng = np.random.default_rng(7)
    model = RfmSegments()
    for _ in range(3000):
        model.learn_one((rng.exponential(30), float(rng.integers(1, 4)), 9.99 * rng.integers(1, 4)))
    _, frequency, spend = model.edges()
    assert all(edge == round(edge) for edge in frequency)
    assert all(edge == round(edge, 2) for edge in spend)


def test_segments_pass_rivers_checks() -> None:
    checks.check_estimator(RfmSegments())


def test_segments_cluster_inside_a_river_pipeline() -> None:
    pipeline = compose.Select("recency", "frequency", "money") | RfmSegments()
    x = {"recency": 1.0, "frequency": 30.0, "money": 2000.0, "other": 1.0}
    pipeline.learn_one(x)
    assert SEGMENTS[pipeline.predict_one(x)] == "champions"


CLUSTERERS: dict[str, Any] = {
    "default": lambda: build(CLUSTER_MODEL),
    "bare": lambda: cluster.KMeans(n_clusters=3, seed=7, p=1),
    "range": lambda: preprocessing.MinMaxScaler() | cluster.KMeans(n_clusters=3, seed=7),
    "stream": lambda: cluster.CluStream(n_macro_clusters=3, time_gap=50, seed=7),
    "density": lambda: cluster.DBSTREAM(clustering_threshold=1.0),
}


@pytest.mark.parametrize("make", CLUSTERERS.values(), ids=CLUSTERERS)
def test_frozen_clusters_equal_river(make: Any) -> None:
    model = clusters(make())
    frozen = model.freeze()
    rows = np.array(population(100, seed=8))
    logged = [
        dict(zip(("recency", "frequency", "money"), row, strict=True))
        for row in np.log1p(rows).tolist()
    ]
    assert frozen.cluster_many(rows) == [model.estimator.predict_one(x) for x in logged]


@given(st.lists(triples, min_size=1, max_size=40), st.lists(triples, min_size=1, max_size=10))
def test_frozen_centers_are_nearest_as_river_measures(seen: Any, asked: Any) -> None:
    model = ClusterModel(build(CLUSTER_MODEL))
    for rfm in seen:
        model.learn_one(rfm)
    found = model.freeze().cluster_many(np.array(asked))
    scaler, nearest = model.estimator["StandardScaler"], model.estimator["KMeans"]
    for rfm, number in zip(asked, found, strict=True):
        x = dict(zip(("recency", "frequency", "money"), map(math.log1p, rfm), strict=True))
        scaled = scaler.transform_one(x)
        gaps = {
            c: sum((center[k] - scaled[k]) ** 2 for k in scaled)
            for c, center in nearest.centers.items()
        }
        assert gaps[number] == pytest.approx(min(gaps.values()), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("make", CLUSTERERS.values(), ids=CLUSTERERS)
def test_scoring_never_changes_a_clusterer(make: Any) -> None:
    model = clusters(make())
    frozen = model.freeze()
    learner = pickle.dumps(model)
    rows = np.array(population(50, seed=9))
    first = frozen.cluster_many(rows)
    with compose.learn_during_predict():
        assert frozen.cluster_many(rows) == first
    assert pickle.dumps(model) == learner
    for rfm in population(100, seed=10):
        model.learn_one(rfm)
    assert frozen.cluster_many(rows) == first


def test_linear_freezing_is_used_where_it_fits() -> None:
    assert isinstance(clusters(CLUSTERERS["default"]()).freeze().model, FrozenKMeans)
    assert isinstance(clusters(CLUSTERERS["range"]()).freeze().model, FrozenSteps)


def test_frozen_segments_and_clusters_cannot_be_written_to() -> None:
    frozen, found = segments(200).freeze(), clusters(build(CLUSTER_MODEL)).freeze()
    with pytest.raises(dataclasses.FrozenInstanceError):
        frozen.money = frozen.recency  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        frozen.money[0] = 1.0
    assert isinstance(found.model, FrozenKMeans)
    with pytest.raises(ValueError, match="read-only"):
        found.model.centers[0, 0] = 1.0


def test_nobody_has_a_cluster_before_the_first_customer() -> None:
    frozen = ClusterModel(build(CLUSTER_MODEL)).freeze()
    assert frozen.cluster_many(np.zeros((2, 3))) == [None, None]
    assert clusters(build(CLUSTER_MODEL)).freeze().cluster_many(np.empty((0, 3))) == []
    assert RfmSegments().freeze().segment_many(np.empty((0, 3))) == []


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(3))
def test_poison_is_refused_and_leaves_the_models_as_they_were(poison: float, place: int) -> None:
    rfm: Any = tuple(poison if i == place else 1.0 for i in range(3))
    for model in (segments(150), clusters(build(CLUSTER_MODEL))):
        before = pickle.dumps(model)
        with pytest.raises(ValueError, match="is not a finite"):
            model.learn_one(rfm)
        assert pickle.dumps(model) == before


def test_clusters_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-m", "tests.models.hash_seed"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1
