"""Nothing that comes later changes what was said before, and saying changes no model."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from river import compose

from crm_online.evaluation.churn import evaluate_churn
from crm_online.evaluation.gathering import Predictions
from crm_online.evaluation.sweeps import mean_so_far, sweeps
from crm_online.inprocess import InProcess
from crm_online.log import LogRecord
from crm_online.model_specs import CHURN_MODEL
from crm_online.simulation.offline import score_history
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.replay import plan_replay
from tests.builders import order_completed, page
from tests.unit.evaluation.histories import DAY, SETTINGS, history, replay

CLASSIFIERS: dict[str, Any] = {
    "default": CHURN_MODEL,
    "mondrian": {"class": "river.forest.AMFClassifier", "n_estimators": 3, "seed": 7},
    "bayes": {"class": "river.naive_bayes.GaussianNB"},
}


# Only the last list of a batch goes out: whether a score has one depends on what comes behind it.
LISTS = re.compile(rb'"recommended":\[[^]]*\]')


def said(events: Sequence[RawEvent]) -> list[tuple[int, bytes]]:
    """Return all scores and outcomes, each with the offset of the record that it came with."""
    values = [
        message.value or b""
        for effects in score_history(plan_replay(events, DAY), SETTINGS)
        for noun in ("scores", "outcomes")
        for message in effects.outputs.get(noun, ())
    ]
    return [(_offset(value), LISTS.sub(b"", value)) for value in values]


@cache
def said_of_history() -> list[tuple[int, bytes]]:
    return said(history())


def of_the_first(values: list[tuple[int, bytes]], count: int) -> list[bytes]:
    return [value for offset, value in values if offset < count]


def _offset(value: bytes) -> int:
    text = value.partition(b'"offset":')[2]
    return int(text[: len(text) - len(text.lstrip(b"0123456789"))] or 10**9)


def altered(
    head: Sequence[RawEvent], tail: Sequence[RawEvent], how: str, chance: Any
) -> list[RawEvent]:
    """Make another future."""
    if how == "nothing":
        return [*head]
    if how == "strangers":
        at = tail[0].at
        return [*head, *(_visit(f"new-{n}", at + n * DAY / 2) for n in range(60))]
    if how == "everybody buys":
        known = sorted({event.customer for event in head})
        return [*head, *(_order(who, tail[0].at + n) for n, who in enumerate(known))]
    whose = [event.customer for event in tail]
    chance.shuffle(whose)
    return [*head, *(_visit(who, event.at) for who, event in zip(whose, tail, strict=True))]


def _visit(who: str, at: float) -> RawEvent:
    return RawEvent(at, who, page(who, at=at, message_id=f"{who}{at}"))


def _order(who: str, at: float) -> RawEvent:
    return RawEvent(at, who, order_completed(who, at=at, message_id=f"{who}{at}"))


@settings(max_examples=6, phases=[Phase.explicit, Phase.generate])
@given(
    st.floats(0.3, 0.95),
    st.sampled_from(["nothing", "strangers", "everybody buys", "shuffled"]),
    st.randoms(use_true_random=False),
)
def test_what_comes_after_changes_no_score_made_before(share: float, how: str, chance: Any) -> None:
    events = history()
    count = int(len(events) * share)
    head, tail = events[:count], events[count:]
    other = said(altered(head, tail, how, chance))
    assert of_the_first(other, count) == of_the_first(said_of_history(), count)


def test_the_comparison_would_see_a_score_that_changed() -> None:
    events = history()
    count = len(events) // 2
    other = [*events[: count - 200], *(_visit("x", e.at) for e in events[count - 200 : count])]
    assert of_the_first(said(other), count) != of_the_first(said_of_history(), count)


def test_a_prediction_was_made_by_a_model_that_knew_no_later_label() -> None:
    known = replay(history()).predictions()
    made = np.flatnonzero((known.churn_as_of >= 0) & ~known.late)
    assert len(made) > 100
    for row in made:
        learned = known.offset <= known.churn_as_of[row]
        assert known.due[learned].max() < known.opened[row]


def test_labels_are_those_of_the_whole_horizon() -> None:
    known = replay(history()).predictions()
    seen: dict[str, list[float]] = {}
    for event in history():
        if b"Email Delivered" not in event.value and b'"identify"' not in event.value:
            seen.setdefault(event.customer, []).append(event.at)
    np.testing.assert_array_equal(known.due - known.opened, 7 * DAY)
    told = 0
    for who, opened, due, churned in zip(
        known.customers, known.opened, known.due, known.churned, strict=True
    ):
        inside = [at for at in seen[who] if opened < at <= due]
        told += not churned
        assert churned or inside, "called active without an event"
        if churned:
            assert all(_passive(who, at) for at in inside)
    assert 0 < told < len(known)


def _passive(who: str, at: float) -> bool:
    [event] = [e for e in history() if e.customer == who and e.at == at]
    return any(
        name in event.value
        for name in (b"Email Delivered", b"Refunded", b"Closed", b"Bounced", b"identify", b"alias")
    )


def test_a_sweep_knows_only_labels_that_were_due_before_it() -> None:
    known = replay(history()).predictions()
    asked = []
    for sweep in sweeps(known, 7 * DAY):
        assert (known.due[sweep.known] < sweep.at).all()
        assert (known.opened[sweep.asked] >= sweep.at).all()
        assert (known.opened[sweep.asked] < sweep.at + 7 * DAY).all()
        asked += sweep.asked.tolist()
    assert sorted(asked) == list(range(len(known)))


@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
@given(st.floats(0.4, 0.9), st.randoms(use_true_random=False))
def test_labels_due_later_change_no_baseline(share: float, chance: Any) -> None:
    known = replay(history()).predictions()
    cut = float(np.quantile(known.opened, share))
    later = known.due >= cut
    turned = np.array([chance.random() < 0.5 for _ in range(len(known))])
    other = _with_labels(known, known.churned ^ (later & turned))
    before = known.opened <= cut
    one, two = (
        evaluate_churn(
            each,
            SETTINGS,
            sweep_seconds=7 * DAY,
            baselines=True,
            clock=iter(range(10**6)).__next__,
            tell=lambda *_: None,
        ).baselines
        for each in (known, other)
    )
    for name in one:
        np.testing.assert_array_equal(one[name].said[before], two[name].said[before])


def _with_labels(known: Predictions, churned: Any) -> Predictions:
    fields = {name: getattr(known, name) for name in Predictions.__dataclass_fields__}
    return Predictions(**{**fields, "churned": churned})


def test_the_mean_so_far_counts_labels_due_before_and_no_other() -> None:
    known = replay(history()).predictions()
    means = mean_so_far(known, known.churned.astype(float), 0.5, 2.0)
    for row in range(0, len(known), 97):
        seen = known.churned[known.due < known.opened[row]]
        assert means[row] == pytest.approx((seen.sum() + 1.0) / (len(seen) + 2.0))


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_scoring_never_changes_a_model(model: str) -> None:
    settings_ = SETTINGS.model_copy(update={"churn_model": CLASSIFIERS[model]})
    both = InProcess(settings_)
    records = [
        LogRecord(n, int(event.at * 1000), event.customer.encode(), event.value)
        for n, event in enumerate(history())
    ]
    half = len(records) // 2
    for start in range(0, half, 50):
        list(both.process(0, records[start : start + 50]))
    churn = both.learner.slots["churn"].model
    assert churn.calibrated()
    kept = {name: pickle.dumps(slot.model) for name, slot in both.learner.slots.items()}
    scored = list(both.scorer.process(0, records[half : half + 200]))
    assert sum(len(effects.outputs["scores"]) for effects in scored) > 150
    row = dict.fromkeys(churn.features, 0.5)
    churn.estimator.predict_proba_one(row)
    with compose.learn_during_predict():
        churn.freeze().predict_many(np.full((3, len(churn.features)), 0.5))
    assert {name: pickle.dumps(slot.model) for name, slot in both.learner.slots.items()} == kept
