"""A check that cannot fail is no check: each kind of violation, planted, is found."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import orjson
import pytest

from crm_online.customers.features import FEATURES
from crm_online.learning import Learner
from crm_online.log import LogRecord
from crm_online.models.snapshots import ModelSnapshot
from crm_online.scores import NextItemOutcome, Outcome, Settled, Source
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from streams.verify.checks import Check, Tally, check_customers, check_equal
from streams.verify.facts import outcome_facts
from streams.verify.relearning import Models, Relearned
from streams.verify.standing import Cached, Standing, check_cache, check_lists
from streams.verify.stream import stream
from streams.verify.truth import BATCH, Touch, Truth

PACK = msgspec.msgpack.encode


def record(customer: str, offset: int, *, step: int = 1, due: float = 0.0, n: int = 0) -> LogRecord:
    value = {
        "source": {"epoch": 0, "partition": 0, "offset": offset, "step": step, "due": due},
        "segment": "lost" if n % 2 else "promising",
        "churn_probability": 0.9 if n % 2 else 0.1,
        "n": n,
    }
    return LogRecord(0, 0, customer.encode(), orjson.dumps(value))


def removal(customer: str, offset: int) -> LogRecord:
    source = msgspec.json.encode(Source(0, 0, offset))
    return LogRecord(0, 0, customer.encode(), None, [("source", source)])


def standing(*records: LogRecord) -> Standing:
    found = Standing()
    for each in records:
        found.take(each)
    return found


def cached(
    scores: dict[str, LogRecord], lists: dict[str, LogRecord] | None = None, **sets: set[str]
) -> Cached:
    held = {c: r.value or b"" for c, r in scores.items()}
    listed = {c: r.value or b"" for c, r in (lists or {}).items()}
    at_risk = sets.pop("at_risk", set())
    return Cached(held, listed, sets, at_risk)


def tally() -> Tally[bytes]:
    return Tally("scores", {b"a": PACK({"orders": 1}), b"b": PACK({"orders": 2})})


def test_outcomes_of_lists_are_not_expected() -> None:
    settings, events = Settings(partitions=1), stream(4 * BATCH, seed=1)
    records = [
        LogRecord(i, int(e.at * 1000), e.customer.encode(), e.value) for i, e in enumerate(events)
    ]
    truth, scorer = Truth(settings), Scorer(settings)
    truth.apply(0, records)
    scorer.restore(0).finish()
    kinds = {
        outcome_facts(message.value or b"")[0]
        for first in range(0, len(records), BATCH)
        for effects in scorer.process(0, records[first : first + BATCH])
        for message in effects.outputs.get("outcomes", ())
    }
    assert kinds == {"opened", "settled", "next_item"}
    assert truth.outcomes
    assert not any(b"item_id" in facts for facts in truth.outcomes.values())


def test_records_that_are_as_expected_are_exact_and_repeats_are_counted() -> None:
    found = tally()
    for name, orders in ((b"a", 1), (b"b", 2), (b"a", 1)):
        found.see(name, PACK({"orders": orders}))
    check = found.finish()
    assert check.exact
    assert (check.found, check.repeated, check.differences) == (2, 1, [])


def test_a_record_that_is_missing_is_found() -> None:
    found = tally()
    found.see(b"a", PACK({"orders": 1}))
    check = found.finish()
    assert (check.missing, check.wrong) == (1, 0)
    assert check.differences == ["scores: b'b' is missing"]


def test_a_record_that_should_not_be_there_is_found() -> None:
    found = tally()
    found.see(b"x", PACK({}))
    assert found.finish().differences[0] == "scores: b'x' should not be there"


@pytest.mark.parametrize("first_is_right", [True, False])
def test_a_record_with_another_content_is_found_also_as_a_repeat(first_is_right: bool) -> None:
    found = tally()
    for orders in (1, 7) if first_is_right else (7, 1):
        found.see(b"a", PACK({"orders": orders}))
    found.see(b"b", PACK({"orders": 2}))
    check = found.finish()
    assert (check.missing, check.wrong) == (0, 1)
    assert "orders 7 for 1" in check.differences[0]


def test_customers_are_compared_field_by_field() -> None:
    one, other = PACK({"orders": 1, "spend": 5}), PACK({"orders": 1, "spend": 6})
    assert check_customers({"c": one}, {"c": one}).exact
    assert "spend 6 for 5" in check_customers({"c": one}, {"c": other}).differences[0]
    assert check_customers({"c": one}, {}).missing == 1
    assert check_customers({}, {"c": one}).wrong == 1


def test_values_that_differ_or_are_missing_are_found() -> None:
    check = check_equal("learned once", {"churn": b"1"}, {"churn": b"1", "more": b"2"})
    assert check.exact
    assert (check.expected, check.found) == (1, 1)
    assert check_equal("learned once", {"outcomes": 3}, {"outcomes": 4}).differences == [
        "learned once: outcomes differs: 4 for 3"
    ]
    assert check_equal("learned once", {"churn": b"1"}, {}).missing == 1


def test_the_highest_order_stands_wherever_it_is_written() -> None:
    late = record("c", 9)
    found = standing(record("c", 3), late, record("c", 7), record("c", 9, step=0, due=50.0))
    assert found.last["c"].values == {late.value}


def test_ticks_stand_for_nobody() -> None:
    assert not standing(LogRecord(0, 0, b"\0tick", b'{"at": 1}')).last


def test_a_cache_that_holds_the_last_is_exact() -> None:
    old, new = record("c", 3), record("c", 9, n=1)
    held = cached({"c": new}, {"c": old}, lost={"c"}, at_risk={"c"})
    check = check_cache(standing(old, new), standing(old), held, at_risk=0.5)
    assert check.exact, check.differences
    assert (check.expected, check.found) == (2, 2)


def test_either_of_two_values_of_one_order_may_stand() -> None:
    one, other = record("c", 9, n=0), record("c", 9, n=2)
    for each in (one, other):
        held = cached({"c": each}, promising={"c"})
        assert check_cache(standing(one, other), standing(), held, at_risk=0.5).exact


def test_an_older_value_in_the_cache_is_found() -> None:
    old, new = record("c", 3), record("c", 9)
    held = cached({"c": old}, promising={"c"})
    check = check_cache(standing(old, new), standing(), held, at_risk=0.5)
    assert (check.missing, check.wrong) == (0, 1)


def test_a_value_that_the_cache_lacks_is_found() -> None:
    check = check_cache(standing(record("c", 3)), standing(), cached({}), at_risk=0.5)
    assert check.missing == 1


def test_a_customer_removed_and_still_cached_is_found() -> None:
    scored = record("c", 3)
    held = cached({"c": scored}, promising={"c"})
    gone = standing(scored, removal("c", 5))
    assert check_cache(gone, standing(), held, at_risk=0.5).wrong == 1
    assert check_cache(gone, standing(), cached({}), at_risk=0.5).exact


def test_a_customer_who_is_not_in_their_sets_is_found() -> None:
    scored = record("c", 3, n=1)
    check = check_cache(standing(scored), standing(), cached({"c": scored}, lost=set()), 0.5)
    assert check.missing == 2  # neither in the segment nor among those at risk


def lists(found: Standing, *, touch: int = 9, offered: bool = True, seen_at: int = 9999) -> Check:
    return check_lists(found, {"c": touch}, {"c": offered}, {"c": seen_at}, warm_at=5)


def test_a_list_of_the_last_touch_or_later_is_exact() -> None:
    assert lists(standing(record("c", 9))).exact
    assert lists(standing(record("c", 12))).exact


def test_a_list_that_is_missing_removed_or_too_old_is_found() -> None:
    assert lists(standing()).missing == 1
    assert lists(standing(), offered=False).missing == 1
    assert lists(standing(record("c", 9), removal("c", 11))).missing == 1
    assert lists(standing(record("c", 8))).missing == 1


def test_no_list_is_missed_where_there_was_nothing_to_offer_yet() -> None:
    assert lists(standing(), offered=False, seen_at=7).exact
    assert lists(standing(), offered=False, touch=-1).exact


THEN = datetime(2026, 1, 1, tzinfo=UTC)
FIRST_SPENDER = 5  # of value's two regressors, one learns from here on


def outcome(n: int) -> LogRecord:
    source, random = Source(0, n % 2, n), Random(n)
    told: Outcome
    if n % 7 == 6:
        told = NextItemOutcome(f"p{n}", "c", THEN, source, 1, "item", 2, 10, "next_item@1")
    else:
        features = {name: random.random() for name in FEATURES}
        spend = 9.0 if n >= FIRST_SPENDER else 0.0
        told = Settled(
            f"p{n}", "c", THEN, THEN, source, features, 0.5, 1.0, {}, not spend, spend, late=n == 3
        )
    return LogRecord(n, 0, b"c", msgspec.json.encode(told), [("ce_id", str(n).encode())])


OUTCOMES = [outcome(n) for n in range(20)]


def taught(records: Sequence[LogRecord], *, restarted_at: int = -1) -> Models:
    """What a worker publishes that learns these records, and may be another from some place on."""
    learner, models = Learner(Settings()), Models(Settings())
    for n, each in enumerate(records):
        if n == restarted_at:
            learner = Learner(Settings())
            learner.restore(models.newest.values())
        learner.process("outcomes", [each])
        for name, slot in learner.slots.items():
            if slot.changed:
                held = pickle.loads(pickle.dumps(slot.snapshot()))
                models.newest[name] = ModelSnapshot(name, slot.offset, "", held)
    return models


def learned_once(models: Models, records: Sequence[LogRecord] = OUTCOMES) -> Check:
    truth = Truth(Settings(partitions=2))
    for each in records:
        kind, facts = outcome_facts(each.value or b"")
        name = dict(each.headers)["ce_id"]
        if kind == "next_item":
            truth.touches[int(name) % 2, int(name)] = Touch("c", 1, "item")
        else:
            truth.outcomes[name] = facts
    relearned = Relearned(Settings(), truth)
    relearned.apply(records)
    *others, check = relearned.finish(models)
    assert all(each.exact for each in others)
    assert check.found == check.expected - check.missing
    return check


def change(models: Models, name: str, how: Callable[[Any, dict[Any, Any]], object]) -> Models:
    how(*models.newest[name].model)
    return models


@pytest.mark.parametrize("restarted_at", [-1, 2, FIRST_SPENDER, 10])
def test_models_that_learned_each_outcome_once_are_exact_over_any_restart(
    restarted_at: int,
) -> None:
    assert learned_once(taught(OUTCOMES, restarted_at=restarted_at)).differences == []


def test_nothing_is_expected_of_models_that_had_nothing_to_learn() -> None:
    touches = [LogRecord(0, *outcome(6)[1:])]
    assert learned_once(taught(touches), touches).differences == []


@pytest.mark.parametrize("name", ["churn", "value"])
def test_an_outcome_that_a_model_learned_twice_is_found(name: str) -> None:
    def again(model: Any, _: object) -> None:
        model.learn_one(dict.fromkeys(FEATURES, 0.5), True)

    check = learned_once(change(taught(OUTCOMES), name, again))
    assert f"learned once: {name}: model differs" in check.differences


def test_a_count_of_what_was_published_that_is_off_is_found() -> None:
    def more(model: Any, _: object) -> None:
        model.churned += 1

    check = learned_once(change(taught(OUTCOMES), "churn", more))
    assert "learned once: outcomes of churn differs: 19 for 18" in check.differences

    def later(model: Any, _: object) -> None:
        model.late += 1

    check = learned_once(change(taught(OUTCOMES), "quality", later))
    assert "learned once: outcomes of quality differs: 19 for 18" in check.differences


def test_a_mark_that_is_behind_missing_or_too_much_is_found_with_its_partition() -> None:
    def behind(_: object, marks: dict[Any, Any]) -> None:
        marks[1, False] = (0, 17, *marks[1, False][2:])

    check = learned_once(change(taught(OUTCOMES), "churn", behind))
    (difference,) = check.differences
    assert difference.startswith(
        "learned once: churn: mark of outcomes in partition 1 differs: (0, 17, "
    )
    assert "for (0, 19, " in difference

    def missing(_: object, marks: dict[Any, Any]) -> None:
        del marks[0, True]

    check = learned_once(change(taught(OUTCOMES), "quality", missing))
    (difference,) = check.differences
    assert "quality: mark of next-item outcomes in partition 0 differs: None for (0, 6, " in (
        difference
    )

    def extra(_: object, marks: dict[Any, Any]) -> None:
        marks[9, False] = marks[0, False]

    check = learned_once(change(taught(OUTCOMES), "value", extra))
    assert check.wrong == 1
    assert "value: mark of outcomes in partition 9 differs" in check.differences[0]


def test_a_model_that_was_not_published_or_not_to_the_end_is_found() -> None:
    models = taught(OUTCOMES)
    del models.newest["value"]
    assert "learned once: value: model is missing" in learned_once(models).differences
    models = taught(OUTCOMES)
    models.newest["quality"] = models.newest["quality"]._replace(offset=18)
    assert learned_once(models).differences == ["learned once: outcomes read differs: 19 for 20"]
