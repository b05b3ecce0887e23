"""A run is disturbed as asked for, by seed, and never left without a worker for good."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streams.verify.schedule import Disturbance, Kind, Wanted, duration, plan
from streams.verify.stream import stream

wanted = st.builds(
    Wanted,
    kills=st.integers(0, 20),
    pauses=st.integers(0, 6),
    broker_restarts=st.integers(0, 3),
    cache_outages=st.integers(0, 3),
)


def planned(wish: Wanted, seed: int, workers: int) -> list[Disturbance]:
    return plan(wish, seed=seed, workers=workers, session_timeout_seconds=6.0)


@given(wanted, st.integers(0, 1000), st.integers(1, 4))
def test_what_is_wanted_happens_in_order_within_the_stream(
    wish: Wanted, seed: int, workers: int
) -> None:
    found = planned(wish, seed, workers)
    counts = Counter(each.kind for each in found)
    assert counts[Kind.KILL] == wish.kills
    assert counts[Kind.PAUSE] == wish.pauses
    assert counts[Kind.BROKER] == wish.broker_restarts
    assert counts[Kind.CACHE] == wish.cache_outages
    places = [each.at for each in found]
    assert places == sorted(places)
    assert all(0.0 < at < 1.0 for at in places)


@given(wanted, st.integers(0, 1000), st.integers(1, 4))
def test_a_worker_is_left_at_any_time(wish: Wanted, seed: int, workers: int) -> None:
    running = workers
    for each in planned(wish, seed, workers):
        running += (each.kind is Kind.JOIN) - (each.kind is Kind.LEAVE)
        assert running >= 1
    assert running == workers


@given(wanted, st.integers(0, 1000))
def test_pauses_outlast_the_session(wish: Wanted, seed: int) -> None:
    found = planned(wish, seed, 2)
    assert all(each.seconds > 6.0 for each in found if each.kind is Kind.PAUSE)
    assert duration(found) >= sum(each.seconds for each in found)


def test_a_plan_is_repeated_by_its_seed() -> None:
    wish = Wanted(4, 2, 1, 1)
    assert planned(wish, 5, 2) == planned(wish, 5, 2)
    assert planned(wish, 5, 2) != planned(wish, 6, 2)


def test_the_stream_has_repeats_and_late_events() -> None:
    events = list(stream(5000, seed=3))
    assert len(events) == 5000
    repeats = len(events) - len({each.value for each in events})
    assert 30 < repeats < 300
    newest, late, too_late = 0.0, 0, 0
    for each in events:
        late += each.at < newest
        too_late += each.at < newest - 7 * 86_400.0
        newest = max(newest, each.at)
    assert 100 < late < 1000
    assert 0 < too_late < 50
