"""No silent stop: what counts as a stall, what is a known wait, and what a deleted topic says."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from crm_online.errors import BrokerUnavailable, ConfigurationError
from streams.watchdog import Seen, Watchdog

EVENTS = TopicPartition("crm.events", 1)
TOPICS = frozenset({"crm.events", "crm.scores", "others"})


class Clock:
    """Moved by the test."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dog(clock: Clock) -> Watchdog:
    return Watchdog("score", ["crm.events", "crm.scores"], 300.0, clock)


def seen(at: int, waits_for: str = "", *, joined: bool = True) -> Seen:
    return Seen(at, {EVENTS: at}, waits_for, joined)


def test_reading_that_stands_still_with_records_there_is_a_stall(
    dog: Watchdog, clock: Clock
) -> None:
    for _ in range(4):
        dog.look(seen(7), TOPICS, {EVENTS: 9})
        clock.now += 100.0
    with pytest.raises(BrokerUnavailable, match=r"score .* 400 s .* crm\.events\[1\]@7 of 9"):
        dog.look(seen(7), TOPICS, {EVENTS: 9})


def test_whatever_moves_is_no_stall(dog: Watchdog, clock: Clock) -> None:
    for at in range(20):
        dog.look(seen(at), TOPICS, {EVENTS: 99})
        clock.now += 299.0


def test_a_log_without_new_records_is_no_stall(dog: Watchdog, clock: Clock) -> None:
    for _ in range(5):
        dog.look(seen(9), TOPICS, {EVENTS: 9})
        clock.now += 400.0
    dog.look(seen(9), TOPICS, {EVENTS: 10})
    clock.now += 299.0
    dog.look(seen(9), TOPICS, {EVENTS: 10})


def test_waiting_for_a_broker_or_the_cache_is_no_stall(dog: Watchdog, clock: Clock) -> None:
    for topics, waits_for, said in (
        (None, "", "the broker"),
        (TOPICS, "the cache", "the cache"),
        (None, "the cache", "the broker"),
    ):
        dog.look(seen(7, waits_for), topics, {} if topics is None else {EVENTS: 9})
        assert dog.waits_for == said
        clock.now += 1_000.0
    dog.look(seen(7), TOPICS, {EVENTS: 9})  # from here on there is nothing to wait for
    assert dog.waits_for == ""
    clock.now += 301.0
    with pytest.raises(BrokerUnavailable):
        dog.look(seen(7), TOPICS, {EVENTS: 9})


@pytest.mark.parametrize(
    ("joined", "ends", "why"),
    [(False, {}, "does not let it in"), (True, None, "does not say where its partitions end")],
)
def test_who_cannot_say_whether_there_are_records_does_not_wait_for_ever(
    dog: Watchdog, clock: Clock, joined: bool, ends: dict[TopicPartition, int] | None, why: str
) -> None:
    dog.look(seen(7, joined=joined), TOPICS, ends)
    clock.now += 301.0
    with pytest.raises(BrokerUnavailable, match=why):
        dog.look(seen(7, joined=joined), TOPICS, ends)


def test_a_topic_that_was_there_and_is_gone_says_what_to_do(dog: Watchdog, clock: Clock) -> None:
    dog.look(seen(9), TOPICS, {EVENTS: 9})
    without = TOPICS - {"crm.scores", "others"}
    dog.look(seen(9), without, {EVENTS: 9})  # a broker that comes back may not know it yet
    clock.now += 9.0
    dog.look(seen(9), TOPICS, {EVENTS: 9})
    dog.look(seen(9), without, {EVENTS: 9})
    clock.now += 10.0
    with pytest.raises(ConfigurationError, match=r"crm\.scores was deleted .* `crm-online topics`"):
        dog.look(seen(9), without, {EVENTS: 9})


def test_a_topic_that_never_was_there_is_not_missed(dog: Watchdog, clock: Clock) -> None:
    for _ in range(3):
        dog.look(seen(9), frozenset({"crm.events"}), {EVENTS: 9})
        clock.now += 100.0
