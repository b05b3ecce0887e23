"""Actions are a function of the log: boundaries, crashes, repeats decide nothing; limits hold."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online.actions.acting import Actor
from crm_online.actions.records import Action
from crm_online.actions.rules import RuleSet
from crm_online.actions.state import ActionState, decode, encode
from crm_online.customers.progress import progress_message
from crm_online.errors import SnapshotError
from crm_online.log import Effects, LogRecord, Message
from crm_online.scores import ScoreUpdate
from crm_online.settings import Settings
from tests.acting import HOUR, START, Scores, actions, process, rule_set, score, tick

DAY = 24 * HOUR
EVENTS = (None, "Product Viewed", "Product Added", "Order Completed", "page")
RULES = rule_set(
    {"when": {"churn_above": 0.6}, "caps": [{"at_most": 2, "days": 3}]},
    {"when": {"viewed": 2, "within_days": 3}, "channel": "push", "priority": 3},
    {"when": {"any": [{"cart_left_hours": 2}, {"silent_days": 2}]}, "quiet_hours": False},
    {"when": {"all": [{"segment_entered": "at_risk"}, {"value_above": 50}]}, "channel": "sms"},
    limits={"overall": [{"at_most": 2, "days": 1}], "per_hour": 3},
    quiet_hours={"from": "21:00", "to": "08:00"},
    control={"share": 0.3},
)
OTHERS = rule_set(
    {"when": {"churn_above": 0.6}, "caps": [{"at_most": 2, "days": 3}]},
    {"name": "new", "action": "new", "when": {"churn_above": 0.4}},
    limits={"overall": [{"at_most": 1, "days": 1}], "per_hour": 2},
    quiet_hours={"from": "10:00", "to": "11:00"},
)


def scores(customers: str = "abc", days: float = 8.0) -> st.SearchStrategy[ScoreUpdate]:
    return st.builds(
        lambda customer, day, event, **said: score(
            customer, START + day * DAY, event=event, items=["p-1"] if event else [], **said
        ),
        st.sampled_from(customers),
        st.floats(0.0, days),
        st.sampled_from(EVENTS),
        churn_probability=st.sampled_from([0.1, 0.5, 0.7, 0.9]),
        segment=st.sampled_from(["at_risk", "promising"]),
        expected_value=st.sampled_from([10.0, 60.0]),
        timezone=st.sampled_from(["", "Asia/Tokyo"]),
    )


def by_time(entry: ScoreUpdate) -> float:
    return entry.at.timestamp()


@st.composite
def logs(draw: st.DrawFn) -> list[LogRecord]:
    entries: list[Any] = sorted(draw(st.lists(scores(), max_size=25)), key=by_time)
    swaps = draw(st.lists(st.integers(0, 24), max_size=4))
    for place in swaps:  # a few that come late
        if place + 1 < len(entries):
            entries[place], entries[place + 1] = entries[place + 1], entries[place]
    entries.insert(draw(st.integers(0, len(entries))), OTHERS)
    entries.insert(0, RULES)
    log = Scores()
    log.add(*entries, tick(START + 12 * DAY))
    return log.records


def held(actor: Actor) -> dict[str, ActionState]:
    return {c: decode(packed) for c, packed in actor.partitions[0].store.packed.items()}


def new_actor(**said: Any) -> Actor:
    actor = Actor(Settings(partitions=1, max_action_age_seconds=1e7, **said))
    actor.restore(0).finish()
    return actor


def outputs(effects: Sequence[Effects]) -> dict[str, list[Message]]:
    found: defaultdict[str, list[Message]] = defaultdict(list)
    for each in effects:
        for noun, messages in each.outputs.items():
            found[noun] += messages
    return found


@given(logs(), st.lists(st.integers(0, 30), max_size=4), st.integers(1, 30))
def test_batch_boundaries_and_slices_decide_nothing(
    records: list[LogRecord], cuts: list[int], size: int
) -> None:
    whole, cut = new_actor(), new_actor(max_batch=size, max_in_flight_events=4000)
    expected = list(whole.process(0, records))
    edges = [0, *sorted(min(c, len(records)) for c in cuts), len(records)]
    found = [each for a, b in itertools.pairwise(edges) for each in cut.process(0, records[a:b])]
    assert outputs(found) == outputs(expected)
    assert held(cut) == held(whole)
    assert cut.partitions[0].progress == whole.partitions[0].progress


@given(logs(), st.integers(0, 30), st.integers(0, 30), st.integers(1, 9), st.randoms())
def test_a_worker_that_dies_after_any_delivery_decides_the_same_again(
    records: list[LogRecord], cut: int, kept: int, size: int, random: Any
) -> None:
    """On the state topic: all until a slice, and of the next one some snapshots."""
    whole = new_actor()
    expected = outputs(list(whole.process(0, records)))
    dead = new_actor(max_batch=size, max_in_flight_events=4000)
    done = [e for record in records[:cut] for e in dead.process(0, [record])]
    done += dead.process(0, records[cut : cut + 5])
    durable = done[: min(kept, len(done) - 1)]
    log = [m for each in durable for m in [*each.snapshots, each.progress] if m is not None]
    after = done[len(durable)]
    log += random.sample(after.snapshots, random.randint(0, len(after.snapshots)))
    heir = new_actor()
    restore = heir.restore(0)
    restore.apply([LogRecord(n, 0, *message) for n, message in enumerate(log)])
    start = restore.finish()
    again = outputs([*durable, after, *heir.process(0, records[start:])])
    for noun in expected.keys() | again.keys():
        assert named(again[noun]) == named(expected[noun])
    assert held(heir) == held(whole)
    assert heir.partitions[0].progress == whole.partitions[0].progress


def named(messages: Sequence[Message]) -> dict[bytes, bytes]:
    """Messages by their name; a repeat says the very same."""
    found: dict[bytes, bytes] = {}
    for message in messages:
        name = dict(message.headers).get("ce_id", message.value or b"")
        assert found.setdefault(name, message.value or b"") == message.value
    return found


@given(logs(), st.lists(st.integers(0, 25), max_size=5))
def test_scores_that_come_again_decide_nothing(records: list[LogRecord], which: list[int]) -> None:
    """A scorer that died writes some of them again, in order."""
    until = len(records) - 1
    first = max([n % until for n in which], default=until)
    again = [r for r in records[first:until] if r.key in {b"a", b"b", b"c"}]
    log = [*records[:until], *again, records[until]]
    numbered = [record._replace(offset=n) for n, record in enumerate(log)]
    once, twice = new_actor(), new_actor()
    expected = actions(list(once.process(0, records)))
    found = actions(list(twice.process(0, numbered)))
    assert [_essence(a) for a in found] == [_essence(a) for a in expected]


def _essence(action: Action) -> tuple[Any, ...]:
    return action.customer_id, action.rule, action.status, action.why, action.at


ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"),
    *("America/Santiago", "Africa/Cairo", "Pacific/Apia", "UTC"),
)
# Each month holds a day on which clocks change in some of the zones.
MONTHS = (datetime(2024, 3, 5, tzinfo=UTC), datetime(2024, 10, 8, tzinfo=UTC))
MONTHLY = rule_set(
    {
        "when": {"churn_above": 0.6, "rearm_below": 0.5},
        "caps": [{"at_most": 3, "days": 7}],
        "channel": "email",
    },
    {"when": {"viewed": 2, "within_days": 3}, "channel": "push", "priority": 3},
    {"when": {"any": [{"cart_left_hours": 1}, {"silent_days": 3}]}, "channel": "email"},
    limits={
        "overall": [{"at_most": 2, "days": 1}],
        "channels": {"email": [{"at_most": 4, "days": 7}]},
    },
    quiet_hours={"from": "21:30", "to": "08:15"},
    control={"share": 0.2, "period_days": 7},
)


def month(seed: int) -> tuple[dict[str, str], list[LogRecord]]:
    """Make a month of scores of customers in as many zones, and who lives in which."""
    random = Random(seed)
    begin = MONTHS[seed % 2].timestamp()
    zones = {f"c-{n}": zone for n, zone in enumerate(random.sample(ZONES, len(ZONES)))}
    entries = []
    for customer, zone in zones.items():
        for _ in range(60):
            event = random.choice(EVENTS)
            entries.append(
                score(
                    customer,
                    begin + random.random() * 30 * DAY,
                    event=event,
                    items=[f"p-{random.randint(1, 3)}"] if event else [],
                    churn_probability=random.random(),
                    timezone=zone,
                )
            )
    log = Scores()
    log.add(MONTHLY)
    for entry in sorted(entries, key=by_time):
        log.add(tick(entry.at.timestamp() - random.random() * HOUR), entry)
    log.add(*[tick(begin + 30 * DAY + n * HOUR / 2) for n in range(100)])
    return zones, log.records


@given(st.integers(0, 2**32))
@settings(max_examples=30)
def test_caps_quiet_hours_and_control_group_hold_for_a_month_in_many_zones(seed: int) -> None:
    zones, records = month(seed)
    found = actions(list(process(records, max_action_age_seconds=2 * DAY)))
    counted = [a for a in found if a.status in {"sent", "released", "control"}]
    assert len(counted) > 50
    by_customer = defaultdict(list)
    for each in counted:
        local = each.at.astimezone(ZoneInfo(zones[each.customer_id]))
        assert time(8, 15) <= local.time() < time(21, 30), local
        by_customer[each.customer_id].append((local.date(), each))
    for sent in by_customer.values():
        days = {day for day, _ in sent}
        for day in days:
            week = [a for d, a in sent if day - timedelta(7) < d <= day]
            assert sum(d == day for d, _ in sent) <= 2
            assert sum(a.channel == "email" for a in week) <= 4
            assert sum(a.rule == "rule-0" for a in week) <= 3
    groups = defaultdict(set)
    for each in counted:
        groups[each.customer_id, each.action, each.period].add(each.treatment)
        assert each.period == str(int(each.at.timestamp() // (7 * DAY)))
    assert all(len(treatments) == 1 for treatments in groups.values())
    assert_holds([a for a in found if a.held_until is None or a.held_until <= found[-1].at])


def assert_holds(found: list[Action]) -> None:
    """What was held comes to one end, and when it is let go, just when it was to be."""
    held = {a.action_id: a for a in found if a.status == "held"}
    ends = Counter(a.action_id for a in found if a.action_id in held and a.status != "held")
    assert held
    assert ends.keys() == held.keys()
    assert set(ends.values()) == {1}
    for each in found:
        if each.status == "released":
            assert each.at == held[each.action_id].held_until
    delivered = Counter(a.action_id for a in found if a.status in {"sent", "released"})
    assert max(delivered.values()) == 1


def test_timers_are_as_many_as_customers_however_often_they_are_scored() -> None:
    actor, log = new_actor(), Scores()
    log.add(rule_set({"when": {"silent_days": 3}}, {"when": {"cart_left_hours": 5}}))
    for n in range(500):
        event = EVENTS[2] if n % 7 == 0 else EVENTS[4]
        log.add(score(f"c-{n % 5}", START + n * HOUR / 5, event=event, items=["p-1"]))
    list(actor.process(0, log.records))
    assert len(actor.partitions[0].timers) <= 2 * 5
    log.add(tick(START + 200 * HOUR))
    assert len(actions(list(actor.process(0, log.records)))) == 2 * 5
    assert len(actor.partitions[0].timers) == 0


def test_a_rule_set_reads_back_from_the_log_as_it_was_written() -> None:
    for each in (RULES, OTHERS, MONTHLY):
        assert RuleSet.model_validate_json(each.text) == each


def test_rules_of_a_newer_version_are_refused_with_what_to_do() -> None:
    text = RULES.text.replace('"churn_above"', '"weather_above"')
    newer = Message(b"\x01rules", encode(ActionState(rules=text)))
    restore = new_actor().restore(0)
    restore.apply([LogRecord(0, 0, *newer)])
    with pytest.raises(SnapshotError, match="start the newer version"):
        restore.finish()


def test_what_was_sent_on_another_log_does_not_count_towards_the_rate_again() -> None:
    """A new topic of scores: its offsets begin anew, and old ones are higher."""
    log = Scores()
    log.add(RULES, *[score("a", START + n, churn_probability=p) for n, p in ((0, 0.1), (1, 0.9))])
    first = new_actor()
    done = list(
        first.process(0, [record._replace(offset=record.offset + 100) for record in log.records])
    )
    assert actions(done)[0].status in {"sent", "control"}
    held = first.partitions[0]
    held.progress.epoch, held.progress.as_of = 1, -1
    state = decode(held.store.packed["a"])
    state.epoch, state.as_of = 1, 3.0  # ahead of the partition's own record
    heir = new_actor()
    restore = heir.restore(0)
    messages = [progress_message(held.progress), Message(b"a", encode(state))]
    restore.apply([LogRecord(n, 0, *message) for n, message in enumerate(messages)])
    restore.finish()
    assert not heir.partitions[0].rate._ahead
