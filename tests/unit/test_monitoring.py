"""Live quality: estimates close to the truth, alarms that name what changed, silence otherwise."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from itertools import pairwise
from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online.models.unpickling import load
from crm_online.monitoring.drift import ALARM, MeanDrift, affected, stability_index
from crm_online.monitoring.estimated import OpenScores, expected_auc
from crm_online.monitoring.figures import auc, calibration_error, spearman
from crm_online.monitoring.monitor import Monitor
from crm_online.monitoring.samples import SAMPLED, Cycle
from crm_online.monitoring.windows import Recent, churn_figures
from crm_online.scores import Opened, Outcome, Settled
from tests.models.pickles import spelled_out
from tests.outcomes import START, history

WEEK = 7 * 86_400.0


def watched(outcomes: Sequence[Outcome], batch: int = 500) -> Monitor:
    monitor = Monitor(WEEK)
    for first in range(0, len(outcomes), batch):
        for offset, outcome in enumerate(outcomes[first : first + batch], first):
            monitor.learn_one(outcome, offset)
        monitor.settle()
    return monitor


@given(st.integers(0, 2**16), st.floats(0.3, 4.0))
def test_the_estimate_is_close_where_scores_are_calibrated(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    chances = 1.0 / (1.0 + np.exp(-rng.normal(-0.5, spread, 4_000)))
    truth = auc(rng.random(4_000) < chances, chances)
    assert expected_auc(chances) == pytest.approx(truth, abs=0.04)


def test_the_estimate_is_off_where_scores_are_not_calibrated() -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(0.0, 1.0, 4_000)
    labels = rng.random(4_000) < 1.0 / (1.0 + np.exp(-logit))
    bold = 1.0 / (1.0 + np.exp(-4.0 * logit))  # the same order, four times as sure
    truth, estimate = auc(labels, bold), expected_auc(bold)
    assert truth is not None
    assert estimate is not None
    assert estimate > truth + 0.1


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_in_thousandths_the_estimate_is_the_same(thousandths: list[int]) -> None:
    scores = OpenScores()
    chances = np.array(thousandths) / 1000
    scores.add(chances)
    assert scores.auc() == pytest.approx(expected_auc(chances))
    scores.add(chances, sign=-1)
    assert (scores.open, scores.auc()) == (0, None)


@given(st.lists(st.floats(-9, 9, width=32), max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_windows_forget_all_but_the_newest(numbers: list[float], cuts: list[int]) -> None:
    at_once, apart = Recent(1, size=7), Recent(1, size=7)
    at_once.add([(n,) for n in numbers])
    edges = sorted({0, len(numbers), *(min(cut, len(numbers)) for cut in cuts)})
    for start, end in pairwise(edges):
        apart.add([(n,) for n in numbers[start:end]])
    assert at_once.newest(7)[:, 0].tolist() == apart.newest(7)[:, 0].tolist() == numbers[-7:]
    assert at_once.newest(3)[:, 0].tolist() == numbers[-3:]


@given(st.permutations([*range(40)]))
def test_a_cycle_keeps_the_lowest_hashes_in_any_order(order: list[int]) -> None:
    cycle = Cycle(0.0)
    for hashed in [*order, *range(40, 3 * SAMPLED)]:
        if cycle.wants(hashed):
            cycle.keep(hashed, [hashed])
    assert cycle.rows()[:, 0].tolist() == [*range(SAMPLED)]
    assert cycle.offered == 3 * SAMPLED


def test_figures_of_nothing_are_none() -> None:
    assert set(churn_figures(np.empty((0, 2))).values()) == {None}
    assert spearman([1.0, 1.0], [1.0, 2.0]) is None
    assert calibration_error([], []) is None


def test_stability_is_small_without_a_change_and_large_with_one() -> None:
    rng = np.random.default_rng(5)
    before = rng.normal(size=1_000)
    assert stability_index(before, rng.normal(size=1_000)) < ALARM / 2
    assert stability_index(before, rng.normal(0.8, size=1_000)) > ALARM
    assert stability_index(np.zeros(100), np.zeros(100)) == 0.0  # constant features


def test_a_mean_that_gets_worse_alarms_and_one_that_gets_better_does_not() -> None:
    rng, watch = random.Random(1), MeanDrift(best=0.0)
    assert not any(watch.update(rng.uniform(0.3, 0.5)) for _ in range(2_000))
    assert not any(watch.update(rng.uniform(0.1, 0.3)) for _ in range(2_000))
    assert any(watch.update(rng.uniform(0.3, 0.5)) for _ in range(2_000))


def test_the_feature_is_named_where_a_loss_rose() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(1_000, 3)).astype(np.float32)
    losses = np.full(1_000, 0.2, np.float32)
    losses[500:] += 0.5 * (rows[500:, 1] > 0.5)
    assert affected(["one", "two", "three"], rows, losses, 500) == "two"
    assert affected(["one"], rows[:, :1], losses, 1_000) == ""


def test_without_a_change_there_is_no_alarm() -> None:
    for seed in range(3):
        assert watched(history(9_000, seed, per_day=100)).alarms == []


def changed(**later: object) -> list[Outcome]:
    """The same population; after two thirds something happens."""
    usual = history(9_000, 3, per_day=100)
    other = history(9_000, 3, per_day=100, **later)  # type: ignore[arg-type]
    moment = START + timedelta(days=60)
    return [
        b if isinstance(b, Opened | Settled) and b.opened_at >= moment else a
        for a, b in zip(usual, other, strict=True)
    ]


def test_a_feature_whose_feed_changes_is_named() -> None:
    found = watched(changed(feature=lambda x: 100.0 * x)).alarms
    assert {(alarm.kind, alarm.name) for alarm in found} == {("feature", "recency")}
    assert all(alarm.value - alarm.usual >= ALARM for alarm in found)


def test_scores_that_shift_are_named() -> None:
    found = watched(changed(said=lambda x: 0.9 + 0.05 / (1.0 + exp(-x)))).alarms
    assert ("score", "churn_probability") in {(alarm.kind, alarm.name) for alarm in found}


def test_a_loss_that_rises_is_told_with_where_it_rose_most() -> None:
    def turned(x: float) -> float:
        return 1.0 / (1.0 + exp(2.0 * x))

    found = watched(changed(truth=turned, said=lambda x: 1.0 / (1.0 + exp(-2.0 * x)))).alarms
    loss = [alarm for alarm in found if alarm.kind == "loss"]
    assert loss
    assert {alarm.name for alarm in loss} == {"recency"}
    assert all(alarm.value > alarm.usual for alarm in loss)


def test_probabilities_that_are_too_low_all_of_a_sudden_are_told() -> None:
    def more(x: float) -> float:
        return 1.0 / (1.0 + exp(-2.0 * x - 1.0))

    found = watched(changed(truth=more, said=lambda x: 1.0 / (1.0 + exp(-2.0 * x)))).alarms
    (first, *_) = [alarm for alarm in found if alarm.kind == "calibration"]
    assert first.value > first.usual


def test_batches_leave_no_trace_and_snapshots_go_on() -> None:
    outcomes = changed(feature=lambda x: 100.0 * x)
    whole = watched(outcomes)
    assert spelled_out(watched(outcomes, batch=331)) == spelled_out(whole)
    first = watched(outcomes[:7_000])
    heir = load(pickle.dumps(first, protocol=5), "monitor@6999")
    for offset, outcome in enumerate(outcomes[7_000:], 7_000):
        heir.learn_one(outcome, offset)
    heir.settle()
    assert spelled_out(heir) == spelled_out(whole)


@cache
def eventful() -> tuple[list[Outcome], bytes]:
    """The loss rises, then a feature changes; and what is known when each outcome comes alone."""

    def truth(x: float) -> float:
        return 1.0 / (1.0 + exp(2.0 * x - 1.0))

    def said(x: float) -> float:
        return 1.0 / (1.0 + exp(-2.0 * x))

    risen = changed(truth=truth, said=said)
    both = changed(truth=truth, said=said, feature=lambda x: 100.0 * x)
    later = START + timedelta(days=75)
    outcomes = [
        b if getattr(b, "opened_at", START) >= later else a
        for a, b in zip(risen, both, strict=True)
    ]
    return outcomes, spelled_out(watched(outcomes, batch=1))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 18_000), max_size=3))
def test_alarms_stand_in_log_order_whatever_the_batches(cuts: list[int]) -> None:
    outcomes, one_by_one = eventful()
    monitor = Monitor(WEEK)
    for start, end in pairwise(sorted({0, *cuts, len(outcomes)})):
        for offset, outcome in enumerate(outcomes[start:end], start):
            monitor.learn_one(outcome, offset)
        monitor.settle()
    assert [alarm.kind for alarm in monitor.alarms].index("loss") == 0
    assert monitor.alarms[-1].kind == "feature"
    assert spelled_out(monitor) == one_by_one


def test_memory_is_bounded() -> None:
    sizes = [len(pickle.dumps(watched(history(n, per_day=100)))) for n in (12_000, 15_000)]
    assert sizes[1] < 1.2 * sizes[0] < 500_000
