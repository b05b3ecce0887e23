"""What sets an action off: crossings of every kind, each once, and nothing on a level."""

from __future__ import annotations

from typing import Any

import pytest

from crm_online.actions.records import Action
from crm_online.scores import ScoreUpdate
from tests.acting import HOUR, START, Entry, Scores, actions, process, rule_set, run, score, tick

DAY = 24 * HOUR


def known(customer: str = "ann", **said: Any) -> ScoreUpdate:
    """A first score, by which a customer comes to be known; nothing is set off by it."""
    return score(customer, START, **said)


def later(hours: float, customer: str = "ann", **said: Any) -> ScoreUpdate:
    return score(customer, START + hours * HOUR, **said)


def kinds(found: list[Action]) -> list[tuple[float, str]]:
    return [((a.at.timestamp() - START) / HOUR, a.triggers[0].kind) for a in found]


def churn(p: float, hours: float, customer: str = "ann") -> ScoreUpdate:
    return later(hours, customer, churn_probability=p)


def test_a_probability_that_stays_high_sets_off_one_action() -> None:
    rules = rule_set({"when": {"churn_above": 0.7}})
    values = [0.3, 0.7, 0.9, 0.8, 0.65, 0.75, 0.6, 0.7, 0.9]
    found = run(rules, *[churn(p, float(n)) for n, p in enumerate(values)])
    assert kinds(found) == [(1.0, "churn_above"), (7.0, "churn_above")]
    assert found[0].status == "sent"
    assert found[0].triggers[0].text == "churn probability 0.70 rose to 0.7 or more"


def test_hysteresis_is_as_wide_as_the_rule_says() -> None:
    rules = rule_set({"when": {"churn_above": 0.7, "rearm_below": 0.2}})
    found = run(rules, *[churn(p, float(n)) for n, p in enumerate([0.1, 0.8, 0.3, 0.8, 0.2, 0.8])])
    assert kinds(found) == [(1.0, "churn_above"), (5.0, "churn_above")]


def test_who_is_at_risk_when_first_seen_is_left_alone() -> None:
    rules = rule_set({"when": {"churn_above": 0.7}}, {"when": {"segment_entered": "at_risk"}})
    assert run(rules, later(0.0, churn_probability=0.9, segment="at_risk")) == []


def test_a_base_rate_sets_nothing_off_nor_does_the_first_probability() -> None:
    rules = rule_set({"when": {"churn_above": 0.7}})
    base = later(0.0, churn_probability=0.9, calibrated=False)
    assert run(rules, known(), base, churn(0.8, 1.0), churn(0.9, 2.0)) == []


def test_expected_value_crosses_like_probability() -> None:
    rules = rule_set({"when": {"value_above": 100}})
    values = [50.0, 100.0, 120.0, 95.0, 101.0, 90.0, 100.0]
    found = run(rules, *[later(float(n), expected_value=v) for n, v in enumerate(values)])
    assert kinds(found) == [(1.0, "value_above"), (6.0, "value_above")]


def test_segments_are_entered_left_and_entered_again() -> None:
    rules = rule_set(
        {"when": {"segment_entered": "at_risk"}},
        {"when": {"segment_left": "at_risk"}},
        {"when": {"segment_reentered": "at_risk"}},
    )
    stays = ["promising", "at_risk", "at_risk", "lost", "at_risk", "promising"]
    found = run(rules, *[later(float(n), segment=s) for n, s in enumerate(stays)])
    assert kinds(found) == [
        (1.0, "segment_entered"),
        (3.0, "segment_left"),
        (4.0, "segment_entered"),
        (4.0, "segment_reentered"),
        (5.0, "segment_left"),
    ]


def test_a_new_customer_enters_their_first_segment() -> None:
    rules = rule_set({"when": {"segment_entered": "recent_customers"}})
    first = later(0.0, segment="recent_customers")
    first = later(0.0, segment="recent_customers", first_seen_at=first.at)
    assert kinds(run(rules, first)) == [(0.0, "segment_entered")]


def viewed(hours: float, item: str = "p-1") -> ScoreUpdate:
    return later(hours, event="Product Viewed", items=[item])


def test_a_product_viewed_thrice_and_not_bought() -> None:
    rules = rule_set({"when": {"viewed": 3, "within_days": 2}})
    found = run(rules, known(), *[viewed(float(n)) for n in range(1, 8)])
    assert kinds(found) == [(3.0, "viewed")]
    assert found[0].triggers[0].item_id == "p-1"
    bought = later(2.5, event="Order Completed", items=["p-1"])
    assert run(rules, known(), viewed(1.0), viewed(2.0), bought, viewed(3.0)) == []
    spread = [viewed(30.0 * n) for n in range(6)]
    assert run(rules, known(), *spread) == []
    again = [viewed(h) for h in (1.0, 2.0, 3.0, 100.0, 101.0, 102.0)]
    assert kinds(run(rules, known(), *again)) == [(3.0, "viewed"), (102.0, "viewed")]
    daily = [viewed(20.0 * n) for n in range(12)]
    assert kinds(run(rules, known(), *daily)) == [(40.0, "viewed")]


@pytest.mark.parametrize("count", [1, 10])
def test_any_number_of_views_counts_once(count: int) -> None:
    rules = rule_set({"when": {"viewed": count, "within_days": 30}})
    found = run(rules, known(), *[viewed(1.0 + n) for n in range(14)])
    assert kinds(found) == [(float(count), "viewed")]


def added(hours: float, item: str = "p-1") -> ScoreUpdate:
    return later(hours, event="Product Added", items=[item])


def test_a_cart_left_for_an_hour() -> None:
    rules = rule_set({"when": {"cart_left_hours": 1}})
    page = later(1.5, event="page")
    found = run(rules, known(), added(1.0), page, tick(START + 9 * HOUR), tick(START + 20 * HOUR))
    assert kinds(found) == [(2.5, "cart_left")]
    assert found[0].source.step == 0
    assert found[0].source.due == START + 2.5 * HOUR


def test_a_cart_that_was_bought_or_emptied_is_not_left() -> None:
    rules = rule_set({"when": {"cart_left_hours": 1}})
    for event in ("Order Completed", "Product Removed"):
        ended = later(1.5, event=event, items=["p-1"])
        assert run(rules, known(), added(1.0), ended, tick(START + 20 * HOUR)) == []


def test_what_was_added_before_an_order_and_comes_after_it_fills_no_cart() -> None:
    rules = rule_set({"when": {"cart_left_hours": 1}})
    bought = later(1.5, event="Order Completed", items=["p-1"])
    end = tick(START + 20 * HOUR)
    assert run(rules, known(), bought, added(1.0), end) == []
    assert kinds(run(rules, known(), bought, added(2.0), end)) == [(3.0, "cart_left")]


def test_a_cart_is_left_once_unless_it_changes() -> None:
    rules = rule_set({"when": {"cart_left_hours": 1}})
    visits = [later(h, event="page") for h in (5.0, 10.0)]
    log: list[Entry] = [known(), added(1.0), *visits, added(15.0, "p-2"), tick(START + 30 * HOUR)]
    assert kinds(run(rules, *log)) == [(2.0, "cart_left"), (16.0, "cart_left")]


def test_silence_for_days_comes_once_until_the_customer_is_back() -> None:
    rules = rule_set({"when": {"silent_days": 3}})
    back = later(24 * 10)
    log: list[Entry] = [
        known(),
        tick(START + 3 * DAY),
        tick(START + 3 * DAY + 1),
        tick(START + 9 * DAY),
        back,
    ]
    found = run(rules, *log, tick(START + 30 * DAY), max_action_age_seconds=1e9)
    assert kinds(found) == [(72.0, "silent"), (24.0 * 13, "silent")]


def test_any_is_set_off_by_each_and_all_by_the_last_to_come() -> None:
    high_risk = {"churn_above": 0.7}
    valued = {"value_above": 100}
    rules = rule_set({"when": {"any": [high_risk, valued]}}, {"when": {"all": [high_risk, valued]}})
    pairs = [(0.1, 10.0), (0.8, 10.0), (0.8, 200.0), (0.8, 200.0)]
    log: list[Entry] = [
        later(float(n), churn_probability=p, expected_value=v) for n, (p, v) in enumerate(pairs)
    ]
    found = run(rules, *log)
    assert [(a.rule, a.triggers[0].kind) for a in found] == [
        ("rule-0", "churn_above"),
        ("rule-0", "value_above"),
        ("rule-1", "value_above"),
    ]


def test_all_does_not_take_for_true_what_never_rose_to_its_threshold() -> None:
    rules = rule_set({"when": {"all": [{"churn_above": 0.7}, {"viewed": 1}]}})
    seen: dict[str, Any] = {"event": "Product Viewed", "items": ["p-1"]}
    for before, now, count in ((0.1, 0.65, 0), (0.1, 0.7, 1), (0.8, 0.65, 1), (0.8, 0.6, 0)):
        log = [known(), churn(before, 1.0), later(2.0, churn_probability=now, **seen)]
        assert len(run(rules, *log)) == count, (before, now)


def test_a_trigger_that_stands_twice_in_a_rule_comes_true_in_both_places() -> None:
    risk = {"churn_above": 0.7}
    at_risk, lost = ({"segment_entered": s} for s in ("at_risk", "lost"))
    rules = rule_set({"when": {"any": [{"all": [risk, at_risk]}, {"all": [risk, lost]}]}})
    log = [known(), churn(0.1, 1.0), later(2.0, churn_probability=0.9, segment="lost")]
    [found] = run(rules, *log)
    assert [t.kind for t in found.triggers] == ["churn_above", "segment_entered"]


def test_all_can_ask_for_a_level_that_no_trigger_crosses() -> None:
    rules = rule_set({"when": {"all": [{"segment_entered": "at_risk"}, {"silent_days": 2}]}})
    log: list[Entry] = [known(segment="at_risk"), tick(START + 2 * DAY + HOUR)]
    [found] = run(rules, *log)
    assert [t.kind for t in found.triggers] == ["silent"]
    assert run(rules, known(segment="lost"), tick(START + 2 * DAY + HOUR)) == []


def test_who_a_rule_is_for() -> None:
    who = {"segments": ["at_risk"], "value_tiers": ["high"], "traits": {"plan": ["gold", "silver"]}}
    rules = rule_set(
        {"when": {"churn_above": 0.5}, "who": who}, value_tiers={"low": 0, "high": 100, "top": 1000}
    )
    right: dict[str, Any] = {
        "segment": "at_risk",
        "expected_value": 100.0,
        "traits": {"plan": "gold"},
    }
    wrong: list[dict[str, Any]] = [
        {"segment": "lost"},
        {"expected_value": 99.0},
        {"expected_value": 1000.0},
        {"traits": {"plan": "bronze"}},
        {"traits": {}},
    ]
    for change in ({}, *wrong):
        said = right | change
        log: list[Entry] = [known(churn_probability=0.1), later(1.0, churn_probability=0.9, **said)]
        assert len(run(rules, *log)) == (not change), change


def test_a_repeated_score_sets_nothing_off_twice() -> None:
    rules = rule_set({"when": {"viewed": 2}})
    log = Scores()
    log.add(rules, known(), viewed(1.0))
    again = log.records[-1]._replace(offset=3)
    log.records.append(again)
    assert actions(list(process(log.records))) == []
    log.add(viewed(2.0))
    assert kinds(actions(list(process(log.records)))) == [(2.0, "viewed")]


def test_rules_that_change_do_not_fire_again_for_what_fired() -> None:
    risk = {"name": "risk", "action": "a", "when": {"churn_above": 0.7}}
    silent = {"name": "silent", "action": "b", "when": {"silent_days": 2}}
    before, after = rule_set(risk), rule_set(risk, silent)
    wider = rule_set(risk | {"when": {"churn_above": 0.6}}, silent)
    log: list[Entry] = [churn(0.1, 0.0), churn(0.9, 1.0)]
    [found] = run(before, *log, after, churn(0.9, 2.0), wider, churn(0.9, 3.0))
    assert found.rule == "risk"
    assert found.rules == before.version


def test_a_rule_does_not_fire_for_what_came_true_before_it_was_there() -> None:
    views = [viewed(1.0), viewed(2.0), viewed(3.0)]
    rules = rule_set({"when": {"viewed": 3}}, {"when": {"cart_left_hours": 1}})
    none = rule_set({"when": {"churn_above": 0.9}})
    log: list[Entry] = [none, known(), *views, added(4.0), tick(START + 8 * HOUR)]
    asleep = later(9.0, cause="timer", last_activity_at=added(4.0).at)
    assert run(*log, rules, asleep, tick(START + 20 * HOUR)) == []
    assert run(*log, rules, viewed(10.0), tick(START + 10.5 * HOUR)) == []


def test_nothing_is_kept_before_the_first_rules_and_nothing_fires() -> None:
    rules = rule_set({"when": {"churn_above": 0.7}})
    assert run(churn(0.1, 0.0), churn(0.9, 1.0), rules, churn(0.9, 2.0)) == []


def test_rules_that_nobody_signed_do_nothing() -> None:
    rules = rule_set({"when": {"churn_above": 0.7}})
    log = Scores()
    [record] = log.add(rules)
    log.records[0] = record._replace(headers=[("ce_type", b"crm.rules"), ("ce_signature", b"x")])
    log.add(churn(0.1, 0.0), churn(0.9, 1.0))
    assert actions(list(process(log.records))) == []


def test_what_compaction_took_away_sets_nothing_off() -> None:
    rules = rule_set({"when": {"churn_above": 0.7}})
    log = Scores()
    log.add(rules, churn(0.1, 0.0), churn(0.2, 1.0, "bob"), churn(0.9, 2.0), churn(0.2, 3.0))
    log.add(churn(0.9, 4.0))
    del log.records[2]
    assert kinds(actions(list(process(log.records)))) == [(4.0, "churn_above")]
