"""The learner with challengers: metrics, snapshots and directives are functions of the log."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online import Learner, Settings
from crm_online.contract.records import RECORDS
from crm_online.internal import directive, reset
from crm_online.log import LogRecord, Message
from crm_online.models.active import LEARNERS_OWN, ActiveModels
from crm_online.models.snapshots import ModelSnapshot, SnapshotReader
from crm_online.scores import Settled
from tests.models.pickles import spelled_out
from tests.outcomes import history, log_of

PRIOR = {"class": "river.dummy.PriorClassifier"}
LINEAR = {
    "pipeline": [
        {"class": "river.preprocessing.StandardScaler"},
        {"class": "river.linear_model.LogisticRegression"},
    ]
}
CONTESTED = Settings(min_outcomes=20, churn_model=PRIOR, churn_challengers={"linear": LINEAR})
ALONE = Settings(min_outcomes=20)
KEY = ALONE.signing_key.get_secret_value().encode()


@cache
def outcomes() -> tuple[LogRecord, ...]:
    return tuple(log_of(history(900, touches=10)))


@cache
def whole() -> tuple[bytes, bytes]:
    learner = Learner(CONTESTED)
    learner.process("outcomes", outcomes())
    return state(learner)


def renumbered(messages: list[Message]) -> list[LogRecord]:
    return [LogRecord(i, 0, m.key, m.value, m.headers) for i, m in enumerate(messages)]


def read(messages: list[Message]) -> dict[str, ModelSnapshot]:
    return {s.name: s for s in SnapshotReader(KEY).apply(renumbered(messages))}


def state(learner: Learner) -> tuple[bytes, bytes]:
    """All that the learner knows, and all that it says."""
    held = [slot.snapshot() for slot in learner.slots.values()]
    contests = [slot.contest for slot in learner.contests.values()]
    learner._reported = (-1, -1)
    said = b"".join(m.value or b"" for m in learner.metrics())
    return spelled_out([held, contests]), said


def test_the_history_changes_the_champion() -> None:
    learner = Learner(CONTESTED)
    learner.process("outcomes", outcomes())
    assert learner.contests["churn"].contest.champion == "linear"


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 1_800), max_size=6))
def test_batches_leave_no_trace(cuts: list[int]) -> None:
    learner, records = Learner(CONTESTED), outcomes()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(records)], strict=True):
        learner.process("outcomes", records[start:end])
    assert state(learner) == whole()


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1_890), st.booleans()), min_size=1, max_size=4))
def test_a_restart_from_any_snapshots_goes_on_bit_for_bit(stops: list[tuple[int, bool]]) -> None:
    """Small models and whole contests are published apart, so a learner may find them apart."""
    topic: list[Message] = []
    learner, begin = Learner(CONTESTED), 0
    for stop, large in sorted(stops):
        learner.process("outcomes", outcomes()[begin:stop])
        topic += learner.publish()
        if large:
            topic += learner.publish_whole()
        learner = Learner(CONTESTED)
        reader = SnapshotReader(KEY)
        newest = {s.name: s for s in reader.apply(renumbered(topic))}
        begin = learner.restore(newest.values())["outcomes"]
        learner.take_over(reader.standing)
    learner.process("outcomes", outcomes()[begin:])
    assert state(learner) == whole()


def test_a_learner_that_learns_again_publishes_no_older_champion() -> None:
    records = outcomes()
    learner = Learner(CONTESTED)
    learner.process("outcomes", records[:900])
    topic = learner.publish()
    learner.process("outcomes", records[900:1_200])
    topic += learner.publish()  # the champion alone; the contest stands as of 899
    heir, reader = Learner(CONTESTED), SnapshotReader(KEY)
    newest = {s.name: s for s in reader.apply(renumbered(topic))}
    assert (newest["churn"].offset, newest["churn_contest"].offset) == (1_199, 899)
    assert heir.restore(newest.values())["outcomes"] == 900
    heir.take_over(reader.standing)
    heir.process("outcomes", records[900:1_000])
    assert "churn" not in read(heir.publish())
    heir.process("outcomes", records[1_000:1_300])
    assert read(heir.publish())["churn"].offset == 1_299


def test_scorers_say_who_predicted() -> None:
    learner, active = Learner(CONTESTED), ActiveModels(CONTESTED)
    learner.process("outcomes", outcomes()[:900])
    published = read(learner.publish())
    active.adopt(published["churn"])
    assert active.versions["churn"] == "churn@899"
    learner.process("outcomes", outcomes()[900:])
    active.adopt(read(learner.publish())["churn"])
    assert active.versions["churn"] == f"churn@{len(outcomes()) - 1}/linear"


def test_scorers_pass_over_what_only_learners_need() -> None:
    learner = Learner(CONTESTED)
    learner.process("outcomes", outcomes()[:900])
    messages = renumbered(learner.publish() + learner.publish_whole())
    names = {s.name for s in SnapshotReader(KEY, LEARNERS_OWN).apply(messages)}
    assert names == {"churn", "value", "segments", "clusters"}


def test_operators_change_the_champion_in_log_order() -> None:
    records = list(outcomes()[:600])
    order = LogRecord(300, 0, *directive(KEY, "churn", "promote", "linear"))
    records = [*records[:300], order, *[r._replace(offset=r.offset + 1) for r in records[300:]]]
    learner = Learner(CONTESTED)
    learner.process("outcomes", records)
    contest = learner.contests["churn"].contest
    assert [(c.kind, c.offset, c.name) for c in contest.changes] == [("promoted", 300, "linear")]
    assert read(learner.publish())["churn"].model[0].contestant == "linear"
    heir = Learner(CONTESTED)
    published = read([*learner.publish_whole()])
    heir.restore(published.values())
    heir.process("outcomes", [order])  # read again: applied once
    assert len(heir.contests["churn"].contest.changes) == 1


def test_a_directive_moves_every_model_on() -> None:
    learner = Learner(CONTESTED)
    learner.process("outcomes", outcomes()[:300])
    learner.publish()
    order = directive(KEY, "value", "promote", "nobody")
    learner.process("outcomes", [LogRecord(300, 0, *order)])
    assert {slot.offset for slot in learner.slots.values()} == {300}
    assert read(learner.publish())["quality"].offset == 300


@pytest.mark.parametrize("key", [b"another", b""])
def test_only_our_own_directives_count_and_none_stops_the_learner(
    key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    learner = Learner(CONTESTED)
    forged = LogRecord(0, 0, *directive(key, "churn", "promote", "linear"))
    learner.process("outcomes", [forged])
    assert learner.contests["churn"].contest.champion == "main"
    assert not learner.contests["churn"].contest.changes
    assert "CRM_SIGNING_KEY" in caplog.text
    assert "at offset 0" in caplog.text


def test_a_reset_forgets_all_of_it() -> None:
    learner, fresh = Learner(CONTESTED), Learner(CONTESTED)
    learner.process("outcomes", outcomes())
    for each, offset in ((learner, len(outcomes())), (fresh, 0)):
        each.process("outcomes", [LogRecord(offset, 0, *reset(KEY, 1, 1))])
    assert learner.contests["churn"].contest.champion == "main"
    kept, new = learner.watch.model, fresh.watch.model
    assert spelled_out(kept) == spelled_out(new)


def test_challengers_are_let_in_beside_a_model_that_is_there() -> None:
    before = Learner(Settings(min_outcomes=20, churn_model=PRIOR))
    before.process("outcomes", outcomes()[:900])
    learner = Learner(CONTESTED)
    assert learner.restore(read(before.publish()).values())["outcomes"] == 900
    contest = learner.contests["churn"].contest
    assert contest.contestants["linear"].since == 899
    assert contest.contestants["main"].model.churned > 0
    learner.process("outcomes", outcomes()[900:])
    assert contest.champion == "linear"


def test_without_challengers_the_champion_stays_and_the_contest_goes() -> None:
    before = Learner(CONTESTED)
    before.process("outcomes", outcomes())
    topic = before.publish() + before.publish_whole()
    learner, reader = Learner(ALONE), SnapshotReader(KEY)
    learner.restore(reader.apply(renumbered(topic)))
    learner.take_over(reader.standing)
    contest = learner.contests["churn"].contest
    assert (contest.champion, contest.alone) == ("linear", True)
    more = log_of(history(60, seed=2, first=5_000), first=len(outcomes()))
    learner.process("outcomes", more)
    removed = {m.key for m in learner.publish() if m.value is None}
    assert b"churn_contest" in removed


def test_a_monitor_beside_older_snapshots_begins_where_they_stand() -> None:
    before = Learner(ALONE)
    before.process("outcomes", outcomes()[:900])
    found = read(before.publish())
    del found["monitor"]  # of a version that had none
    learner = Learner(ALONE)
    assert learner.restore(found.values())["outcomes"] == 900
    learner.process("outcomes", outcomes())
    assert learner.watch.model.churn.seen == sum(
        b'"settled"' in (r.value or b"") for r in outcomes()[900:]
    )


def test_the_monitor_is_published_no_later_than_the_quality_beside_it() -> None:
    learner = Learner(ALONE)
    learner.process("outcomes", outcomes()[:10])
    names = [m.key for m in learner.publish() if m.key and b"/" not in m.key]
    assert names.index(b"monitor") < names.index(b"quality")


def said(learner: Learner) -> dict[str, Any]:
    return {
        (m.key or b"").decode().removeprefix("learn/-/"): RECORDS[
            dict(m.headers)["ce_type"].decode()
        ].model_validate_json(m.value or b"")
        for m in learner.metrics()
    }


def test_metrics_say_what_was_learned() -> None:
    learner = Learner(CONTESTED)
    learner.process("outcomes", outcomes())
    found = said(learner)
    windows = {
        f"{m}.{w}"
        for m in ("churn", "value", "next_item")
        for w in ("all", "last-1000", "last-10000")
    }
    assert set(found) == {
        *(f"quality.{name}" for name in windows),
        "drift",
        "contest.churn",
        "contest.value",
    }
    churn = found["quality.churn.last-1000"]
    assert churn.outcomes == 900
    assert churn.figures["auc"] == pytest.approx(
        found["quality.churn.all"].figures["auc"], abs=1e-3
    )
    assert churn.figures["calibration_error"] < 0.06
    assert found["contest.churn"].champion == "linear"
    assert found["contest.churn"].changes[0].kind == "promoted"
    assert churn.offset == len(outcomes()) - 1
    assert learner.metrics() == []


def test_outcomes_without_a_number_are_not_counted_as_rated() -> None:
    made = [
        msgspec.structs.replace(each, churn_probability=None, expected_value=None)
        if isinstance(each, Settled) and number < 400
        else each
        for number, each in enumerate(history(300))
    ]
    settled = [each for each in made if isinstance(each, Settled)]
    rated = sum(each.churn_probability is not None for each in settled)
    learner = Learner(ALONE)
    learner.process("outcomes", log_of(made))
    found = said(learner)
    assert 0 < rated < len(settled)
    for model in ("churn", "value"):
        windows = {found[f"quality.{model}.{w}"].outcomes for w in ("all", "last-1000")}
        assert windows == {rated}
    figures = found["quality.churn.all"].figures
    assert (figures["unscored"], figures["late"]) == (len(settled) - rated, 0.0)


def test_metrics_are_cloudevents_with_the_same_id_for_a_repeat() -> None:
    learner, again = Learner(ALONE), Learner(ALONE)
    for each in (learner, again):
        each.process("outcomes", outcomes())
    one, other = learner.metrics(), again.metrics()
    assert one == other
    names = [dict(m.headers)["ce_id"] for m in one]
    assert len(set(names)) == len(names)
    assert {dict(m.headers)["ce_source"] for m in one} == {b"crm/learn"}


def test_nothing_is_said_before_the_first_outcome() -> None:
    assert Learner(ALONE).metrics() == []


def test_open_predictions_are_estimated_beside_the_settled_ones() -> None:
    half = log_of(history(3_000, per_day=200))
    half = half[: len(half) * 2 // 3]
    learner = Learner(ALONE)
    learner.process("outcomes", half)
    figures = said(learner)["quality.churn.last-10000"].figures
    kinds = [msgspec.json.decode(r.value or b"")["kind"] for r in half]
    assert figures["open"] == kinds.count("opened") - kinds.count("settled") > 500
    assert figures["gap"] == pytest.approx(figures["estimated_auc"] - figures["auc"])
    assert abs(figures["gap"]) < 0.03
