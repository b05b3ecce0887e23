"""The re-ranker and what it looks at, against the formulas in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from crm_online.models.next_item import NextItem, Query
from crm_online.models.next_item.logarithms import take_logarithms
from crm_online.models.next_item.reranker import estimate_chances, learn_choice, score_shortlist
from crm_online.models.next_item.weights import (
    BIAS,
    DIRECT,
    FEATURES,
    HIDDEN,
    OUTPUT,
    Reranker,
    new_reranker,
)
from crm_online.scores import Interaction
from tests.models.next_item.clicks import click, make

SIZE = 9


def _stream(length: int, start: int = 0) -> list[Interaction]:
    """Sessions of four clicks that walk through one of two halves of a catalogue."""
    found = []
    for n in range(start, start + length):
        session = n // 4
        half, step = session % 2, (session * 7 + n % 4) % 20
        found.append(click(f"c{session}", f"{'ab'[half]}{step}"))
    return found


def _scores(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    matrix = weights[:BIAS].reshape(HIDDEN, FEATURES)
    units = matrix @ features + weights[BIAS:OUTPUT, None]
    units = np.where(units > 0, units, 0.1 * units)
    scores: np.ndarray = weights[DIRECT:] @ features + weights[OUTPUT:DIRECT] @ units
    return scores


def _loss(weights: np.ndarray, features: np.ndarray, chosen: int) -> float:
    scores = _scores(weights, features)
    return float(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[chosen])


def test_logarithms_are_right_over_the_whole_range() -> None:
    numbers = np.geomspace(1e-6, 1e9, 4001).astype(np.float32).reshape(1, -1)
    found = numbers.copy()
    take_logarithms(1, found.shape[1], found, found.view(np.int32))
    np.testing.assert_allclose(found, np.log(numbers.astype(np.float64)), atol=4e-6)


def test_scores_and_steps_equal_the_formulas() -> None:
    random = np.random.default_rng(3)
    model = new_reranker(5)
    features = random.normal(size=(FEATURES, SIZE)).astype(np.float32)
    hidden = np.zeros((HIDDEN, SIZE), np.float32)
    chances = np.zeros(SIZE, np.float32)
    before = model.weights.astype(np.float64)
    score_shortlist(SIZE, model.weights, features, hidden, chances)
    np.testing.assert_allclose(chances, _scores(before, features), rtol=1e-4, atol=1e-5)
    estimate_chances(SIZE, chances)
    assert chances.sum() == pytest.approx(1, abs=1e-5)
    expected = np.array(
        [
            (_loss(before + nudge, features, 4) - _loss(before - nudge, features, 4)) / 2e-5
            for nudge in np.eye(len(before)) * 1e-5
        ]
    )
    gradient, turned = np.zeros_like(model.weights), np.zeros((SIZE, 32), np.float32)
    learn_choice(SIZE, 4, model, features, hidden, chances, turned, gradient)
    np.testing.assert_allclose(gradient, expected, rtol=1e-2, atol=1e-4)
    step = 0.05 * expected / np.sqrt(expected**2 + 1e-2)
    np.testing.assert_allclose(model.weights, before - step, atol=1e-4)
    assert model.clock[0] == 1
    np.testing.assert_array_equal(model.averages, model.weights)
    first = model.weights.copy()
    score_shortlist(SIZE, model.weights, features, hidden, chances)
    estimate_chances(SIZE, chances)
    learn_choice(SIZE, 4, model, features, hidden, chances, turned, gradient)
    np.testing.assert_allclose(model.averages, (first + model.weights) / 2, atol=1e-6)


def test_sums_are_taken_in_one_order_however_kernels_were_compiled() -> None:
    random = np.random.default_rng(4)
    model = new_reranker(5)
    features = random.normal(size=(FEATURES, SIZE)).astype(np.float32)
    hidden = np.zeros((HIDDEN, SIZE), np.float32)
    chances = np.zeros(SIZE, np.float32)
    score_shortlist(SIZE, model.weights, features, hidden, chances)
    estimate_chances(SIZE, chances)
    gradient, turned = np.zeros_like(model.weights), np.zeros((SIZE, 32), np.float32)
    learn_choice(SIZE, 4, model, features, hidden, chances, turned, gradient)
    in_order = np.zeros(FEATURES, np.float32)
    for error, column in zip(chances, features.T, strict=True):
        in_order += error * column
    assert gradient[DIRECT:].tobytes() == in_order.tobytes()


def test_learning_brings_the_next_item_to_the_top() -> None:
    taught = make([], max_sessions=2048)
    taught.learn_many(_stream(4000))
    follower = make([], max_sessions=2048)
    follower.follow_many(_stream(4000))
    ranks = {}
    for name, model in (("taught", taught), ("follower", follower)):
        lists = model.replay_many(_stream(400, 4000), 10)
        hits = [
            found[0].item == touch.item
            for place, (found, touch) in enumerate(zip(lists, _stream(400, 4000), strict=True))
            if place % 4
        ]
        ranks[name] = sum(hits) / len(hits)
    assert ranks["taught"] > 0.9
    assert ranks["follower"] > 0.5  # near plain neighbours


def test_followers_differ_from_the_teacher_in_the_re_ranker_only() -> None:
    teacher, follower = make([], max_sessions=512), make([], max_sessions=512)
    teacher.learn_many(_stream(3000))
    follower.follow_many(_stream(3000))
    queries = [Query("q", 1, row) for row in (("a1", "a2"), ("b3",), ("a1", "b1", "new"))]
    assert follower.ranker_bytes() != teacher.ranker_bytes()
    assert follower.ranker_bytes() == make([]).ranker_bytes()
    follower.adopt_ranker(teacher.ranker_bytes())
    assert follower.recommend_many(queries, 9) == teacher.recommend_many(queries, 9)


def test_replaying_predicts_each_click_just_before_it_is_learned() -> None:
    stream = _stream(1600)
    replayed, stepwise = make([], max_sessions=512), make([], max_sessions=512)
    lists = replayed.replay_many(stream, 7)
    held: dict[str, tuple[str, ...]] = {}
    for touch, found in zip(stream, lists, strict=True):
        query = Query(touch.customer, 1, held.get(touch.customer, ()))
        assert stepwise.recommend_many([query], 7)[0] == found
        stepwise.learn_many([touch])
        held[touch.customer] = (*query.items, touch.item)
    assert stepwise.state_bytes() == replayed.state_bytes()


def test_what_comes_later_changes_no_list_before() -> None:
    stream = _stream(1200)
    shuffled = [stream[n] for n in np.random.default_rng(1).permutation(np.arange(800, 1200))]
    one = make([], max_sessions=512).replay_many(stream, 5)
    other = make([], max_sessions=512).replay_many([*stream[:800], *shuffled], 5)
    assert one[:800] == other[:800]
    assert one[800:] != other[800:]


def test_seeds_decide_what_is_drawn() -> None:
    states = [make(_stream(2000), seed=seed).state_bytes() for seed in (1, 1, 2)]
    assert states[0] == states[1] != states[2]


def test_only_sampled_sessions_train_beyond_the_first_steps() -> None:
    model = NextItem(max_items=50, max_sessions=512, rerank_sample=0.25)
    model.learn_many(_stream(2000))
    reranker: Reranker = model._engine.reranker
    first = int(reranker.clock[0])
    assert first > 1000  # the first steps take every session
    reranker.clock[0] = 1_000_000
    model.learn_many(_stream(4000, 2000))
    assert 0.1 < (reranker.clock[0] - 1_000_000) / (2 * first) < 0.4
