"""What holds actions back, and says why: age, consent, caps, quiet hours, rate, control group."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online.actions.limits import forget_old
from crm_online.actions.records import Action
from crm_online.actions.state import Send
from crm_online.deciding import read_treatment
from crm_online.log import LogRecord
from crm_online.scores import ScoreUpdate
from tests.acting import (
    HOUR,
    KEY,
    START,
    Entry,
    Scores,
    actions,
    process,
    rule_set,
    run,
    score,
    tick,
)

DAY = 24 * HOUR
RISK = {"when": {"churn_above": 0.7}}


def swings(
    customer: str = "ann", first: float = 0.0, times: int = 1, gap: float = 1.0, **said: Any
) -> list[ScoreUpdate]:
    """A customer who comes to be at risk so often, hours apart."""
    found = []
    for n in range(times):
        for step, chance in ((0.0, 0.1), (0.5, 0.9)):
            at = START + (first + n * gap + step * gap) * HOUR
            found.append(score(customer, at, churn_probability=chance, **said))
    return found


def said(found: list[Action]) -> list[tuple[str, str | None]]:
    return [(a.status, a.why) for a in found]


def test_an_old_trigger_is_suppressed_and_says_so() -> None:
    log = Scores()
    log.add(rule_set(RISK), *swings())
    log.records[-1] = log.records[-1]._replace(timestamp=int((START + 1.51 * HOUR) * 1000))
    assert said(actions(list(process(log.records)))) == [("suppressed", "stale")]
    log.records[-1] = log.records[-1]._replace(timestamp=int((START + 1.5 * HOUR) * 1000))
    assert said(actions(list(process(log.records)))) == [("sent", None)]


def test_a_backfill_sends_nothing() -> None:
    log = Scores()
    log.add(rule_set(RISK, {"when": {"silent_days": 1}}))
    log.add(*swings(times=5, gap=30.0), tick(START + 40 * DAY), late=100 * DAY)
    assert set(said(actions(list(process(log.records))))) == {("suppressed", "stale")}


def test_a_clock_that_steps_back_sends_nothing_twice() -> None:
    rules = rule_set(RISK, limits={"overall": [{"at_most": 1, "days": 1}]})
    log = Scores()
    log.add(rules, *swings(), *swings(first=-5.0), *swings(first=2.0))
    log.records = [
        r._replace(timestamp=r.timestamp - n * 60_000) for n, r in enumerate(log.records)
    ]
    found = actions(list(process(log.records)))
    assert Counter(a.status for a in found)["sent"] == 1


@pytest.mark.parametrize(
    ("consent", "status"),
    [(None, "sent"), ([], "suppressed"), (["ads"], "suppressed"), (["marketing"], "sent")],
)
def test_consent_is_by_category_and_absent_means_not_enforced(
    consent: list[str] | None, status: str
) -> None:
    assert [a.status for a in run(rule_set(RISK), *swings(consent=consent))] == [status]


def test_who_is_on_the_suppression_list_gets_nothing() -> None:
    rules = rule_set(RISK, suppressed_customers=["ann"])
    assert said(run(rules, *swings())) == [("suppressed", "suppression_list")]


def test_who_unsubscribed_gets_no_email_and_still_a_push() -> None:
    rules = rule_set(RISK, RISK | {"channel": "push"})
    found = run(rules, *swings(unsubscribed=True))
    assert said(found) == [("suppressed", "unsubscribed"), ("sent", None)]


@pytest.mark.parametrize(
    ("limits", "caps", "why"),
    [
        ({"overall": [{"at_most": 2, "days": 1}]}, [], "cap_overall"),
        ({"overall": [], "channels": {"email": [{"at_most": 2}]}}, [], "cap_channel"),
        ({"overall": []}, [{"at_most": 2, "days": 7}], "cap_action"),
    ],
)
def test_caps_hold_and_what_they_hold_back_is_told(
    limits: dict[str, Any], caps: list[dict[str, int]], why: str
) -> None:
    rules = rule_set(RISK | {"caps": caps}, limits=limits)
    found = run(rules, *swings(times=4))
    assert said(found) == [("sent", None)] * 2 + [("suppressed", why)] * 2


def test_a_cap_holds_however_much_another_rule_sends() -> None:
    rules = rule_set(
        RISK | {"caps": [{"at_most": 2, "days": 31}]}, {"when": {"viewed": 1}, "channel": "push"}
    )
    log: list[Entry] = [*swings(times=2, gap=1.0)]
    for n in range(100):
        views = score("ann", START + (3.0 + n) * HOUR, event="Product Viewed", items=[f"p-{n}"])
        log.append(views)
    found = run(rules, *log, *swings(first=104.0))
    assert Counter((a.rule, a.status) for a in found) == {
        ("rule-0", "sent"): 2,
        ("rule-0", "suppressed"): 1,
        ("rule-1", "sent"): 100,
    }


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.integers(1, 80)), max_size=8
    ),
    st.integers(1, 50),
)
@settings(max_examples=20)
def test_what_is_forgotten_would_change_no_cap(
    told: list[tuple[str, str, int]], at_most: int
) -> None:
    every = [Send(START, action, channel, 0.0) for action, channel, n in told for _ in range(n)]
    kept: list[Send] = []
    for send in every:
        kept = forget_old([*kept, send], START)
    for same in (lambda s: s.action == "a", lambda s: s.channel == "x", lambda _: True):
        assert (sum(map(same, kept)) >= at_most) == (sum(map(same, every)) >= at_most)
    assert len(kept) <= 50 * (4 + 3 + 1)


def test_a_cap_is_on_by_default() -> None:
    rules = rule_set(RISK, limits={})
    assert said(run(rules, *swings(times=2))) == [("sent", None), ("suppressed", "cap_overall")]


@pytest.mark.parametrize(
    ("zone", "sent"), [("UTC", 2), ("Pacific/Kiritimati", 1), ("Nowhere/Land", 2), ("", 2)]
)
def test_days_are_those_of_the_customer(zone: str, sent: int) -> None:
    rules = rule_set(RISK, limits={"overall": [{"at_most": 1, "days": 1}]})
    found = run(rules, *swings(times=2, first=13.0, gap=4.0, timezone=zone))  # 23:00 and 3:00 UTC
    assert Counter(a.status for a in found)["sent"] == sent


def test_the_zone_of_those_who_name_none_is_a_setting() -> None:
    rules = rule_set(RISK, limits={"overall": [{"at_most": 1, "days": 1}]})
    found = run(rules, *swings(times=2, first=13.0, gap=4.0), timezone="Pacific/Kiritimati")
    assert Counter(a.status for a in found)["sent"] == 1


def test_the_more_urgent_rule_comes_first() -> None:
    limits = {"overall": [{"at_most": 1}]}
    rules = rule_set(RISK, RISK | {"priority": 5}, RISK | {"priority": 5}, limits=limits)
    found = run(rules, *swings())
    assert [(a.rule, a.status) for a in found] == [
        ("rule-1", "sent"),
        ("rule-2", "suppressed"),
        ("rule-0", "suppressed"),
    ]
    assert [a.source.index for a in found] == [0, 1, 2]


QUIET = {"quiet_hours": {"from": "20:00", "to": "07:00"}}


def test_quiet_hours_hold_and_then_release() -> None:
    rules = rule_set(RISK, **QUIET)
    at_night = swings(first=15.0)  # 23:30 UTC
    morning = datetime(2024, 3, 2, 7, tzinfo=UTC)
    found = run(rules, *at_night, tick(START + 30 * HOUR), max_action_age_seconds=1e6)
    assert said(found) == [("held", "quiet_hours"), ("released", None)]
    assert found[0].held_until == found[1].at == morning
    assert len({a.action_id for a in found}) == 1
    assert [a.treatment for a in found] == [None, "treated"]


def test_one_of_a_rule_waits_at_a_time() -> None:
    found = run(rule_set(RISK, **QUIET), *swings(first=15.0, times=2))
    assert said(found) == [("held", "quiet_hours"), ("suppressed", "waits_already")]


def test_quiet_hours_are_those_of_the_customer_and_may_be_waived() -> None:
    rules = rule_set(RISK, **QUIET)
    assert said(run(rules, *swings(first=15.0, timezone="America/New_York"))) == [("sent", None)]
    waived = rule_set(RISK | {"quiet_hours": False}, **QUIET)
    assert said(run(waived, *swings(first=15.0))) == [("sent", None)]


def test_what_is_no_longer_true_when_quiet_hours_end_expires() -> None:
    rules = rule_set({"when": {"cart_left_hours": 1}}, **QUIET)
    added = score("ann", START + 14 * HOUR, event="Product Added", items=["p-1"])
    bought = score("ann", START + 20 * HOUR, event="Order Completed", items=["p-1"])
    log: list[Entry] = [score("ann", START), added, tick(START + 16 * HOUR)]
    end = tick(START + 24 * HOUR)
    found = run(rules, *log, bought, end, max_action_age_seconds=1e6)
    assert said(found) == [("held", "quiet_hours"), ("expired", "no_longer_true")]
    assert said(run(rules, *log, end, max_action_age_seconds=1e6))[1] == ("released", None)


def test_what_would_be_held_for_too_long_or_let_go_too_late_expires() -> None:
    short = rule_set(RISK | {"hold_hours": 7}, **QUIET)
    assert said(run(short, *swings(first=15.0))) == [("expired", "too_late")]
    rules = rule_set(RISK, **QUIET)
    found = run(rules, *swings(first=15.0), tick(START + 30 * HOUR))
    assert said(found) == [("held", "quiet_hours"), ("expired", "too_late")]


def test_a_rule_that_is_gone_lets_nothing_go() -> None:
    rules, others = rule_set(RISK, **QUIET), rule_set(RISK | {"name": "other"}, **QUIET)
    found = run(rules, *swings(first=15.0), others, tick(START + 30 * HOUR))
    assert said(found) == [("held", "quiet_hours"), ("expired", "no_longer_true")]


def test_a_released_action_counts_towards_the_caps_of_its_day() -> None:
    rules = rule_set(RISK, RISK | {"priority": 1}, limits={"overall": [{"at_most": 1}]}, **QUIET)
    log: list[Entry] = [*swings(first=15.0), tick(START + 23.5 * HOUR), *swings(first=25.0)]
    found = run(rules, *log, max_action_age_seconds=1e6)
    assert [(a.rule, a.status) for a in found] == [
        *[("rule-1", "held"), ("rule-0", "held")],
        *[("rule-1", "released"), ("rule-0", "suppressed")],
        *[("rule-1", "suppressed"), ("rule-0", "suppressed")],
    ]


def crowd(size: int, first: float = 0.0) -> list[ScoreUpdate]:
    both = [swings(f"c-{n}", first) for n in range(size)]
    return [low for low, _ in both] + [high for _, high in both]


def test_a_rule_that_matches_everybody_is_held_by_the_global_rate() -> None:
    rules = rule_set(RISK, limits={"overall": [], "per_hour": 40})
    log: list[Entry] = [*crowd(30), *crowd(30, 2.0)]
    for partitions, allowed in ((1, 40), (3, 13), (50, 0)):
        found = run(rules, *log, partitions=partitions)
        counts = Counter((a.why, int(a.at.timestamp() // HOUR)) for a in found)
        assert sorted(counts.values()) == sorted(
            n for n in (min(30, allowed), max(30 - allowed, 0)) * 2 if n
        )
        assert {a.why for a in found if a.status == "suppressed"} <= {"rate_limit"}


def test_the_control_group_is_drawn_by_customer_action_and_period() -> None:
    rules = rule_set(RISK, RISK, control={"share": 0.5, "period_days": 10})
    found = run(rules, *crowd(200), *crowd(200, 24.0 * 20))
    drawn: dict[tuple[str, str, str], set[str | None]] = {}
    for each in found:
        assert (each.status == "control") == (each.treatment == "control")
        drawn.setdefault((each.customer_id, each.action, each.period), set()).add(each.treatment)
    assert all(len(groups) == 1 for groups in drawn.values())
    shares = Counter((action, period) for (_, action, period), g in drawn.items() if "control" in g)
    assert len(shares) == 4
    assert all(70 <= n <= 130 for n in shares.values())
    first = {c for (c, a, p), g in drawn.items() if "control" in g and a == "action-0"}
    assert len(first) > 120  # both periods together: nobody stays in it for good


def test_the_control_group_counts_towards_caps_as_if_it_had_been_sent() -> None:
    rules = rule_set(RISK, RISK, control={"share": 0.99}, limits={"overall": [{"at_most": 1}]})
    found = run(rules, *swings("c-1"))
    assert said(found) == [("control", None), ("suppressed", "cap_overall")]


def test_decisions_go_to_the_events_as_signed_treatments() -> None:
    rules = rule_set(RISK, control={"share": 0.5})
    log = Scores()
    log.add(rules, *crowd(20))
    effects = list(process(log.records))
    messages = [m for e in effects for m in e.outputs["events"]]
    read = [read_treatment(LogRecord(0, 0, *m), KEY) for m in messages]
    found = actions(effects)
    assert [(t.action_id, t.control) for t in read] == [
        (a.action_id, a.status == "control") for a in found
    ]
    assert {t.control for t in read} == {True, False}
    assert all(m.key == t.customer.encode() for m, t in zip(messages, read, strict=True))


def test_an_action_says_all_that_a_template_needs() -> None:
    rule = RISK | {
        "items": 2,
        "template": {
            "subject": "{traits.name}, {segment} {{x}}",
            "empty": "{item}{traits.no}",
            "numbers": "{traits.points} {traits.rate}",
        },
    }
    about: dict[str, Any] = {
        "traits": {"name": "Ann", "points": 1234567.0, "rate": 0.1234567},
        "recommended": ["p-1", "p-2", "p-3"],
        "segment": "lost",
    }
    [found] = run(rule_set(rule), *swings(**about))
    assert found.template == {
        "subject": "Ann, lost {x}",
        "empty": "",
        "numbers": "1234567 0.1234567",
    }
    assert found.items == ["p-1", "p-2"]
