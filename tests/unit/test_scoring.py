"""Scoring and learning as a whole, without Kafka: what users of the library rely on."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from crm_online import InProcess, Learner, Scorer, Settings
from crm_online.internal import tick
from crm_online.log import Effects, LogRecord, Message
from crm_online.models.snapshots import SnapshotReader
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from tests.logs import event, log_of
from tests.models.pickles import spelled_out

SETTINGS = Settings(horizon_days=14, min_outcomes=20, max_batch=500)
KEY = SETTINGS.signing_key.get_secret_value().encode()


@pytest.fixture(scope="module")
def population() -> list[LogRecord]:
    people = Population(PopulationSettings(customers=60, days=70, seed=3))
    return [
        LogRecord(offset, int(e.at * 1000), e.customer.encode(), e.value)
        for offset, e in enumerate(people.events())
    ]


def run(records: list[LogRecord], partitions: int = 1, size: int = 300) -> list[Effects]:
    both = InProcess(SETTINGS, partitions)
    shares: list[list[LogRecord]] = [[] for _ in range(partitions)]
    for record in records:
        share = shares[sum(record.key or b"") % partitions]
        share.append(record._replace(offset=len(share)))
    end = tick(KEY, at=records[-1].timestamp / 1000)
    found = []
    for number, share in enumerate(shares):
        last = LogRecord(len(share), records[-1].timestamp, end.key, end.value, end.headers)
        share.append(last)
        for start in range(0, len(share), size):
            found += list(both.process(number, share[start : start + size]))
    return found


def written(effects: list[Effects], noun: str) -> Iterator[Any]:
    for one in effects:
        for message in one.outputs.get(noun, ()):
            if message.value is not None:
                yield orjson.loads(message.value)


def settled(effects: list[Effects]) -> dict[str, tuple[object, ...]]:
    return {
        o["prediction_id"]: (
            o["customer_id"],
            o["opened_at"],
            o["due_at"],
            o["churned"],
            o["spend"],
            o["features"],
        )
        for o in written(effects, "outcomes")
        if o["kind"] == "settled"
    }


def test_settled_outcomes_do_not_depend_on_partitions_or_batches(
    population: list[LogRecord],
) -> None:
    one = settled(run(population))
    many = settled(run(population, partitions=5, size=37))
    assert len(one) > 200
    assert one == many


def test_every_event_gets_exactly_one_score_with_a_name_of_its_own(
    population: list[LogRecord],
) -> None:
    effects = run(population)
    scores = [s for s in written(effects, "scores") if "score_id" in s]
    assert sum(s["cause"] == "event" for s in scores) == len(population)
    assert len({s["score_id"] for s in scores}) == len(scores)


def test_before_the_first_outcome_there_is_no_made_up_probability(
    population: list[LogRecord],
) -> None:
    first = next(written(run(population[:1]), "scores"))
    assert (first["churn_probability"], first["calibrated"], first["churn_reasons"]) == (
        None,
        False,
        [],
    )
    assert first["expected_value"] is None


def test_until_both_classes_are_known_the_score_is_the_base_rate() -> None:
    both = InProcess(Settings(horizon_days=14, min_outcomes=50))
    values = [event(f"c-{n}", 0.0) for n in range(8)]
    values += [event("c-0", 10.0), event("c-1", 10.0), event("x", 22.0), event("x", 22.1)]
    effects = [e for r in log_of(values) for e in both.process(0, [r])]
    *_, last = written(effects, "scores")
    assert last["churn_probability"] == pytest.approx(0.7)  # of 8 outcomes, one of each added
    assert last["calibrated"] is False


def test_calibrated_scores_come_with_three_reasons_and_the_models_that_made_them(
    population: list[LogRecord],
) -> None:
    *_, last = [s for s in written(run(population), "scores") if s.get("cause") == "event"]
    assert last["calibrated"] is True
    assert 0.0 < last["churn_probability"] < 1.0
    reasons = last["churn_reasons"]
    sizes = [abs(r["contribution"]) for r in reasons]
    assert len(sizes) == 3
    assert sizes == sorted(sizes, reverse=True)
    assert set(last["models"]) == {"churn", "value", "segments", "clusters"}
    assert "@" in last["models"]["churn"]


def test_scoring_never_changes_a_model(population: list[LogRecord]) -> None:
    both = InProcess(SETTINGS)
    list(both.process(0, population[:2000]))
    kept = {name: pickle.dumps(slot.model) for name, slot in both.learner.slots.items()}
    list(both.scorer.process(0, population[2000:2600]))
    assert {name: pickle.dumps(slot.model) for name, slot in both.learner.slots.items()} == kept


def outcomes_of(population: list[LogRecord]) -> list[LogRecord]:
    messages = [m for e in run(population) for m in e.outputs.get("outcomes", ())]
    return [LogRecord(i, 0, m.key, m.value, m.headers) for i, m in enumerate(messages)]


def test_a_learner_restored_from_any_snapshot_equals_the_undisturbed_one(
    population: list[LogRecord],
) -> None:
    records = outcomes_of(population)
    undisturbed = Learner(SETTINGS)
    undisturbed.process("outcomes", records)
    first = Learner(SETTINGS)
    first.process("outcomes", records[: len(records) // 2])
    published = [LogRecord(i, 0, *m) for i, m in enumerate(first.publish())]
    heir = Learner(SETTINGS)
    start = heir.restore(SnapshotReader(KEY).apply(published))["outcomes"]
    assert start == len(records) // 2
    heir.process("outcomes", records[max(0, start - 40) :])
    for name, slot in undisturbed.slots.items():
        assert spelled_out(heir.slots[name].snapshot()) == spelled_out(slot.snapshot())


def test_repeated_outcomes_teach_nothing(population: list[LogRecord]) -> None:
    records = outcomes_of(population)
    once, twice = Learner(SETTINGS), Learner(SETTINGS)
    once.process("outcomes", records)
    half = len(records) // 2
    doubled = records[:half] + records[half - 100 : half] + records[half:]
    twice.process("outcomes", [r._replace(offset=i) for i, r in enumerate(doubled)])
    assert once.quality.figures() == twice.quality.figures()
    for name in ("churn", "value", "segments", "clusters"):
        assert pickle.dumps(once.slots[name].model) == pickle.dumps(twice.slots[name].model)


def test_items_just_bought_are_not_recommended_again() -> None:
    both = InProcess(Settings(repurchase="never"))
    values = [
        event(f"c-{n}", n + 0.01, "Product Viewed", items=[item])
        for n in range(30)
        for item in ("p-1", "p-2", "p-3")
    ]
    values.append(event("me", 40.0, "Product Viewed", items=["p-1"]))
    values.append(event("me", 40.001, "Order Completed", items=["p-2"]))
    values.append(event("me", 40.002, "Product Viewed", items=["p-1"]))
    effects = [e for r in log_of(values) for e in both.process(0, [r])]
    *_, last = written(effects, "recommendations")
    items = [item["item_id"] for item in last["items"]]
    assert "p-2" not in items
    assert "p-3" in items


def test_no_score_has_a_list_that_a_later_touch_made() -> None:
    both = InProcess(Settings())
    others = [
        event(f"c-{n}", n + 0.01, "Product Viewed", items=[item])
        for n in range(30)
        for item in ("p-1", "p-2", "p-3")
    ]
    mine = [
        event("me", 40.0, "Product Viewed", items=["p-1"]),
        event("me", 40.001, "Product Viewed", items=["p-2"]),
        event("me", 40.002, "Email Opened"),
    ]
    records = log_of([*others, *mine])
    for record in records[: len(others)]:
        list(both.process(0, [record]))
    effects = list(both.process(0, records[len(others) :]))
    (offer,) = [o for o in written(effects, "recommendations") if o["customer_id"] == "me"]
    offered = [item["item_id"] for item in offer["items"]]
    scores = [s for s in written(effects, "scores") if s["customer_id"] == "me"]
    assert offered
    assert [score["recommended"] for score in scores] == [[], [], offered]


def test_every_recommended_item_says_why(population: list[LogRecord]) -> None:
    lists = list(written(run(population), "recommendations"))
    reasons = [item["reason"] for one in lists for item in one["items"]]
    assert len(lists) > 50
    assert all(reason["text"] for reason in reasons)
    assert {reason["source"] for reason in reasons} >= {"session-neighbours", "trending"}


def test_a_list_is_followed_by_one_outcome_at_most_per_touch(population: list[LogRecord]) -> None:
    found = run(population[:1500], size=5)
    touches = [o for o in written(found, "outcomes") if o["kind"] == "next_item"]
    assert len(touches) > 100
    assert len({o["source"]["offset"] for o in touches}) == len(touches)


def test_expired_customers_leave_tombstones_on_their_topics() -> None:
    both = InProcess(Settings(active_days=30, horizon_days=7, state_ttl_days=60))
    values: list[bytes | Message] = [event("a", 0.0), event("b", 59.0), event("b", 61.0)]
    effects = [e for r in log_of(values) for e in both.process(0, [r])]
    gone = [
        (noun, m.key)
        for e in effects
        for noun, ms in e.outputs.items()
        for m in ms
        if m.value is None
    ]
    assert gone == [("scores", b"a"), ("recommendations", b"a")]
    scores = [m for e in effects for m in e.outputs.get("scores", ())]
    (place,) = [dict(m.headers)["source"] for m in scores if m.value is None]
    source = orjson.loads(place)
    assert (source["offset"], source["step"]) == (2, 0)  # before the event that released it
    removed = [m for e in effects for m in e.snapshots if m.value is None]
    assert [m.key for m in removed] == [b"a"]


def test_predictions_that_settle_at_the_same_time_are_told_apart() -> None:
    long, short = Settings(horizon_days=60), Settings(horizon_days=10)
    before, after = Scorer(long), Scorer(short)
    start = before.restore(0).finish()
    values = [event("a", float(day)) for day in range(0, 50, 7)]
    effects = list(before.process(0, log_of(values, start=start)))
    after.partitions = before.partitions
    effects += after.process(0, log_of([event("b", 75.0)], start=len(values)))
    found = [m for e in effects for m in e.outputs.get("outcomes", ())]
    places = [tuple(orjson.loads(m.value or b"")["source"].values()) for m in found]
    labels = [o for o in written(effects, "outcomes") if o["kind"] == "settled"]
    assert max(Counter(o["source"]["due"] for o in labels).values()) > 1
    assert len(set(places)) == len(places)
    assert len({dict(m.headers)["ce_id"] for m in found}) == len(found)
    learner = Learner(short)
    learner.process("outcomes", [LogRecord(i, 0, m.key, m.value) for i, m in enumerate(found)])
    assert learner.quality.settled + learner.quality.late == len(labels)
