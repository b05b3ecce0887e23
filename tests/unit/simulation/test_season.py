"""Operational time and calendar time are two readings of one clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_online.errors import ConfigurationError
from crm_online.simulation.season import WEEKLY_LOAD, SeasonalClock

CLOCK = SeasonalClock()
WEEK = 7 * 86_400.0
times = st.floats(946_684_800.0, 2_000_000_000.0)


@given(times, st.floats(0, 1e8))
def test_advancing_and_measuring_agree(at: float, seconds: float) -> None:
    later = CLOCK.advance(at, seconds)
    assert later >= at - 1e-3
    assert CLOCK.elapsed(at, later) == pytest.approx(seconds, abs=1e-2)


@given(times)
def test_a_week_is_as_long_in_both(at: float) -> None:
    assert CLOCK.elapsed(at, at + WEEK) == pytest.approx(WEEK, abs=1e-2)


def test_busy_hours_pass_faster() -> None:
    monday = 1704067200.0
    night = CLOCK.elapsed(monday + 3 * 3600, monday + 4 * 3600)
    evening = CLOCK.elapsed(monday + 20 * 3600, monday + 21 * 3600)
    assert evening / night == pytest.approx(WEEKLY_LOAD[20] / WEEKLY_LOAD[3])


@pytest.mark.parametrize("load", [[1.0] * 24, [1.0] * 167 + [0.0]])
def test_a_load_needs_all_hours_of_a_week(load: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="168"):
        SeasonalClock(load)
