"""Events come in order of time, or are refused with what to do."""

from __future__ import annotations

from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_online.errors import ConfigurationError
from crm_online.simulation.ordering import in_time_order
from crm_online.simulation.raw import RawEvent

times = st.lists(st.integers(0, 50).map(float), max_size=60)


def numbered(values: list[float]) -> list[RawEvent]:
    return [RawEvent(at, str(number), b"{}") for number, at in enumerate(values)]


@given(times, st.integers(1, 70))
def test_the_whole_file_is_sorted_stably_whatever_the_window(
    values: list[float], window: int
) -> None:
    events = numbered(values)
    assert list(in_time_order(events, "whole", window)) == sorted(events, key=attrgetter("at"))


@given(times, st.integers(1, 70))
def test_a_window_sorts_or_refuses(values: list[float], window: int) -> None:
    events = numbered(values)
    taken: list[RawEvent] = []
    try:
        for event in in_time_order(events, "window", window):
            taken.append(event)  # noqa: PERF402 - what came before a refusal counts
    except ConfigurationError:
        assert len(events) > window
    else:
        assert taken == sorted(events, key=attrgetter("at"))
    assert taken == sorted(taken, key=attrgetter("at"))


@given(times)
def test_arrival_changes_nothing(values: list[float]) -> None:
    assert list(in_time_order(numbered(values), "arrival")) == numbered(values)


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r"event 3 is 9 s earlier.*'whole'.*'arrival'"):
        list(in_time_order(numbered([10.0, 11.0, 1.0]), "window", 1))


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown order"):
        in_time_order([], "random")  # type: ignore[arg-type]
