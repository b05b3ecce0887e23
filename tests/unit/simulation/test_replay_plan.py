"""The plan of a replay: nothing runs further ahead than allowed, and it ends with a tick."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_online.errors import ConfigurationError
from crm_online.simulation.ordering import Order
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.replay import (
    Barrier,
    Pace,
    RateLimit,
    Send,
    Step,
    Tick,
    parse_speed,
    plan_replay,
)
from crm_online.simulation.silence import Silence

times = st.lists(st.floats(0, 1e6), min_size=1, max_size=40)


class Clock:
    """A clock that only its own sleep moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def plan(values: list[float], ahead: float | None) -> list[Step]:
    return list(plan_replay([RawEvent(at, "c", b"{}") for at in values], ahead))


@given(times, st.floats(1, 1e5))
def test_between_barriers_lies_no_more_than_allowed(values: list[float], ahead: float) -> None:
    oldest, barrier = math.nan, -math.inf
    for step in plan(values, ahead):
        if isinstance(step, Send):
            oldest = step.event.at if math.isnan(oldest) else oldest
            assert barrier <= step.event.at
            assert step.event.at - oldest <= ahead * (1 + 1e-9)
        elif isinstance(step, Barrier):
            assert step.at > barrier
            oldest, barrier = math.nan, step.at


@given(times, st.one_of(st.none(), st.floats(1, 1e5)))
def test_all_is_sent_in_order_and_the_last_time_ticks(
    values: list[float], ahead: float | None
) -> None:
    steps = plan(values, ahead)
    assert [step.event.at for step in steps if isinstance(step, Send)] == sorted(values)
    assert steps[-1] == Tick(max(values))
    assert sum(isinstance(step, Tick) for step in steps) == 1
    if ahead is None:
        assert not any(isinstance(step, Barrier) for step in steps)


def test_a_gap_has_one_barrier_at_its_end() -> None:
    steps = plan([0.0, 9.0, 35.0], 10.0)
    assert [type(step) for step in steps] == [Send, Send, Barrier, Send, Tick]
    assert steps[2] == Barrier(30.0)


@pytest.mark.parametrize("order", ["window", "whole", "arrival"])
def test_time_does_not_leap_over_more_than_may_be_silent(order: Order) -> None:
    silence = Silence(longest=100.0)
    times = [(0.0, ""), (500.0, "a"), (9e9, "b"), (560.0, "c"), (655.0, "a"), (756.0, "a")]
    events = [RawEvent(at, customer, b"{}") for at, customer in times]
    steps = list(plan_replay(events, None, order, silence=silence))
    sent = [step.event.at for step in steps if isinstance(step, Send)]
    assert sent == [0.0, 500.0, 560.0, 655.0]
    assert steps[-1] == Tick(655.0)
    assert (silence.left_out, silence.first, silence.widest) == (2, 756.0, (560.0, 655.0))


def test_no_events_no_tick() -> None:
    assert plan([], 10.0) == []


def test_late_events_of_arrival_order_pass_without_a_barrier() -> None:
    events = [RawEvent(at, "c", b"{}") for at in (0.0, 25.0, 3.0, 26.0)]
    steps = list(plan_replay(events, 10.0, "arrival"))
    assert [type(step) for step in steps] == [Send, Barrier, Send, Send, Send, Tick]
    assert steps[-1] == Tick(26.0)


@pytest.mark.parametrize("ahead", [0.0, -1.0, math.nan])
def test_senseless_leads_are_refused(ahead: float) -> None:
    with pytest.raises(ConfigurationError, match="max_ahead"):
        plan_replay([], ahead)


def test_pace_follows_event_time() -> None:
    clock = Clock()
    pace = Pace(60.0, clock)
    waits = []
    for at in (1000.0, 1060.0, 1240.0):
        waits.append(pace.delay(at))
        clock.sleep(waits[-1])
    assert waits == pytest.approx([0.0, 1.0, 3.0])


def test_a_replay_that_was_held_up_catches_up() -> None:
    clock = Clock()
    pace = Pace(10.0, clock)
    assert pace.delay(0.0) == 0.0
    clock.now += 7.0
    assert pace.delay(50.0) == 0.0
    assert pace.delay(100.0) == pytest.approx(3.0)


def test_as_fast_as_it_goes_never_waits() -> None:
    pace = Pace(None, Clock())
    assert [pace.delay(at) for at in (0.0, 1e6)] == [0.0, 0.0]


def test_a_rate_limit_spreads_events_evenly() -> None:
    clock = Clock()
    limit = RateLimit(100.0, clock)
    for _ in range(501):
        clock.sleep(limit.delay())
    assert clock.now == pytest.approx(105.0)
    assert RateLimit(None, clock).delay() == 0.0
    with pytest.raises(ConfigurationError, match="rate"):
        RateLimit(0.0, clock)


@pytest.mark.parametrize(
    ("text", "factor"), [("max", None), ("MAX", None), ("60", 60.0), ("0.5x", 0.5), ("60xREAL", 60)]
)
def test_speeds(text: str, factor: float | None) -> None:
    assert parse_speed(text) == factor


@pytest.mark.parametrize("text", ["", "fast", "0", "-1x", "nan", "inf"])
def test_other_speeds_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="speed"):
        parse_speed(text)
