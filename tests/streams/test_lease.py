"""The lease: good while the group answers, lost once it is silent, won back by joining only."""

from __future__ import annotations

import asyncio
import time
from threading import Event

import pytest

from crm_online.errors import CrmOnlineError
from streams.lease import Lease, Pulse, elapsed


class Clock:
    """Moved by the test."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(clock: Clock) -> Lease:
    return Lease(1.0, clock=clock)


def test_nothing_is_held_before_the_group_is_joined(lease: Lease) -> None:
    assert (lease.holds(), lease.lapsed()) == (False, False)
    lease.renew(1_000.0)  # the answer to a heartbeat of a former membership
    assert not lease.holds()


def test_it_lasts_one_session_timeout_from_when_the_heartbeat_was_sent(
    lease: Lease, clock: Clock
) -> None:
    lease.grant(clock.now)
    clock.now += 0.9
    assert lease.holds()
    lease.renew(clock.now - 0.5)  # its answer took half a second
    clock.now += 0.4
    assert lease.holds()
    clock.now += 0.2
    assert (lease.holds(), lease.lapsed()) == (False, True)


def test_answers_that_overtake_each_other_do_not_shorten_it(lease: Lease, clock: Clock) -> None:
    lease.grant(clock.now)
    lease.renew(clock.now - 0.8)
    clock.now += 0.9
    assert lease.holds()


def test_an_answer_that_comes_too_late_does_not_bring_it_back(lease: Lease, clock: Clock) -> None:
    lease.grant(clock.now)
    clock.now += 1.1
    lease.renew(clock.now)
    assert (lease.holds(), lease.lapsed()) == (False, True)


def test_what_is_given_back_cannot_lapse(lease: Lease, clock: Clock) -> None:
    lease.grant(clock.now)
    lease.release()
    clock.now += 5.0
    assert (lease.holds(), lease.lapsed()) == (False, False)


@pytest.mark.asyncio
async def test_once_lost_only_joining_the_group_brings_it_back(lease: Lease, clock: Clock) -> None:
    lease.grant(clock.now)
    losing = asyncio.create_task(lease.lapse())
    await asyncio.sleep(0.1)
    assert not losing.done()
    clock.now += 2.0
    await asyncio.wait_for(losing, 5)
    lease.renew(clock.now)  # the broker, back again, still takes us for a member
    assert (lease.lost, lease.holds()) == (True, False)
    lease.grant(clock.now)
    assert (lease.lost, lease.holds()) == (False, True)


@pytest.mark.asyncio
async def test_a_loss_is_told_once(lease: Lease, clock: Clock) -> None:
    lease.grant(clock.now)
    clock.now += 2.0
    await lease.lapse()
    again = asyncio.create_task(lease.lapse())
    await asyncio.sleep(0.2)
    assert not again.done()
    lease.grant(clock.now)
    clock.now += 2.0
    await asyncio.wait_for(again, 5)


def test_a_loop_that_stood_still_ends_the_process_at_the_next_look(clock: Clock) -> None:
    ends: list[BaseException] = []
    pulse = Pulse(600.0, ends.append, clock)
    lease = Lease(10.0, pulse, clock)
    clock.now += 700.0  # the time it takes to start does not count
    pulse.beat()
    clock.now += 600.0
    pulse.beat()
    lease.holds()
    assert not ends
    clock.now += 601.0
    lease.holds()
    assert [type(end) for end in ends] == [CrmOnlineError]
    assert "601 s, longer than CRM_MAX_PAUSE_SECONDS (600)" in str(ends[0])
    pulse.beat()  # whoever comes first finds it, the loop itself included
    assert len(ends) == 2


def test_a_loop_that_hangs_is_found_from_outside() -> None:
    found = Event()
    pulse = Pulse(0.1, lambda _: found.set())
    pulse.beat()
    pulse.watch()
    assert found.wait(5)
    pulse.beat()


def test_the_clock_goes_on_like_any_other() -> None:
    before = elapsed()
    time.sleep(0.01)
    assert 0.01 <= elapsed() - before < 5


@pytest.mark.asyncio
async def test_a_worker_that_has_stopped_may_leave_its_process_to_others(clock: Clock) -> None:
    ends: list[BaseException] = []
    pulse = Pulse(600.0, ends.append, clock)
    watching = asyncio.ensure_future(Lease(10.0, pulse, clock).lapse())
    await asyncio.sleep(0)
    clock.now += 601.0
    pulse.check()
    assert len(ends) == 1
    watching.cancel()
    await asyncio.wait([watching])
    clock.now += 601.0
    pulse.check()
    assert len(ends) == 1
