"""Customers come and go for several times their time to live: what is held stays as it is."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter

import pytest

from crm_online.log import LogRecord
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


class Held:
    """What a scorer holds after each time to live, and what it wrote."""

    def __init__(self) -> None:
        self.removed: dict[str, Counter[bytes | None]] = {
            noun: Counter() for noun in ("state", "scores", "recommendations")
        }
        self.customers: list[int] = []
        self.timers: list[int] = []
        self.gone: list[int] = []
        self.traced: list[int] = []

    def look(self, scorer: Scorer) -> None:
        held = scorer.partitions[0]
        self.customers.append(len(held.store))
        self.timers.append(len(held.timers))
        self.gone.append(len(held.gone))
        gc.collect()
        self.traced.append(tracemalloc.get_traced_memory()[0])


@pytest.fixture(scope="module")
def held() -> Held:
    found, scorer = Held(), Scorer(SETTINGS)
    offset = scorer.restore(0).finish()
    tracemalloc.start()
    try:
        for cycle in range(CYCLES):
            log = []
            for event in lifetimes(cycle * TTL_DAYS, TTL_DAYS, NEWCOMERS):
                key, at = event.customer.encode(), int(event.at * 1000)
                log.append(LogRecord(offset, at, key, event.value))
                offset += 1
            for first in range(0, len(log), SETTINGS.max_batch):
                for effects in scorer.process(0, log[first : first + SETTINGS.max_batch]):
                    written = {"state": effects.snapshots} | effects.outputs
                    for noun, keys in found.removed.items():
                        keys.update(m.key for m in written.get(noun, ()) if m.value is None)
            found.look(scorer)
    finally:
        tracemalloc.stop()
    return found


def test_no_more_customers_are_held_than_live(held: Held) -> None:
    living = NEWCOMERS * (TTL_DAYS + STAY_DAYS + 1)
    assert len(set(held.customers[WARM:])) == 1
    assert 0.8 * living < held.customers[-1] <= living


def test_timers_are_as_many_as_customers_and_removals_are_forgotten(held: Held) -> None:
    assert max(held.timers[WARM:]) <= 2 * held.customers[-1]
    assert max(held.gone) <= SETTINGS.max_batch


def test_memory_stays_flat(held: Held) -> None:
    assert max(held.traced[WARM:]) < 1.05 * held.traced[WARM - 1]


def test_who_left_is_removed_from_each_topic_once(held: Held) -> None:
    came = NEWCOMERS * TTL_DAYS * CYCLES
    for noun, keys in held.removed.items():
        assert len(keys) == came - held.customers[-1], noun
        assert set(keys.values()) == {1}, noun
