"""Customers come and go for several times their time to live: what is held stays as it is."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from crm_online.customers.partition import Partition
from crm_online.log import Effects, LogRecord
from crm_online.models.next_item.packing import hash_customer
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from tests.lifetimes import STAY_DAYS, lifetimes

TTL_DAYS = 40
SETTINGS = Settings(
    horizon_days=14.0,
    active_days=20.0,
    state_ttl_days=TTL_DAYS,
    max_items=100,
    max_sessions=64,
    max_batch=200,
)
NEWCOMERS, CYCLES, WARM = 4, 6, 2


def lives(scorer: Scorer, take: Callable[[Effects], None]) -> Iterator[Partition]:
    """Score all events; yields what is held after each time to live."""
    offset = scorer.restore(0).finish()
    for cycle in range(CYCLES):
        log = []
        for event in lifetimes(cycle * TTL_DAYS, TTL_DAYS, NEWCOMERS):
            key, at = event.customer.encode(), int(event.at * 1000)
            log.append(LogRecord(offset, at, key, event.value))
            offset += 1
        for first in range(0, len(log), SETTINGS.max_batch):
            for effects in scorer.process(0, log[first : first + SETTINGS.max_batch]):
                take(effects)
        log.clear()
        yield scorer.partitions[0]


class Held:
    """What a scorer holds after each time to live, and whom it removed."""

    def __init__(self) -> None:
        self.removed: dict[str, Counter[bytes | None]] = {
            noun: Counter() for noun in ("state", "scores", "recommendations")
        }
        self.customers: list[int] = []
        self.timers: list[int] = []
        self.gone: list[int] = []
        for partition in lives(Scorer(SETTINGS), self.take):
            self.customers.append(len(partition.store))
            self.timers.append(len(partition.timers))
            self.gone.append(len(partition.gone))

    def take(self, effects: Effects) -> None:
        written = {"state": effects.snapshots} | effects.outputs
        for noun, keys in self.removed.items():
            keys.update(m.key for m in written.get(noun, ()) if m.value is None)


@pytest.fixture(scope="module")
def held() -> Held:
    return Held()


def test_no_more_customers_are_held_than_live(held: Held) -> None:
    living = NEWCOMERS * (TTL_DAYS + STAY_DAYS + 1)
    assert len(set(held.customers[WARM:])) == 1
    assert 0.8 * living < held.customers[-1] <= living


def test_timers_are_as_many_as_customers_and_removals_are_forgotten(held: Held) -> None:
    assert max(held.timers[WARM:]) <= 2 * held.customers[-1]
    assert max(held.gone) <= SETTINGS.max_batch


def test_memory_stays_flat() -> None:
    traced = []
    tracemalloc.start()
    try:
        for _ in lives(Scorer(SETTINGS), lambda effects: None):
            hash_customer.cache_clear()  # bounded, and larger than this test can fill
            gc.collect()
            traced.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(traced[WARM:]) < 1.1 * traced[WARM - 1], traced


def test_who_left_is_removed_from_each_topic_once(held: Held) -> None:
    came = NEWCOMERS * TTL_DAYS * CYCLES
    for noun, keys in held.removed.items():
        assert len(keys) == came - held.customers[-1], noun
        assert set(keys.values()) == {1}, noun
