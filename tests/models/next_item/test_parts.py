"""The parts of the index, each against a plain model of it."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online.models.next_item import layout
from crm_online.models.next_item.catalogue import Catalogue
from crm_online.models.next_item.engine import Engine
from crm_online.models.next_item.repurchase import RepurchaseHabits
from crm_online.models.next_item.sessions import find_slot, open_session
from tests.models.next_item.clicks import order


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=120))
def test_key_table_finds_exactly_the_newest_sessions(keys: list[int]) -> None:
    index = layout.new_index(1, 8)
    held: dict[int, int] = {}
    for key in keys:
        crowded = np.uint64(key * 16)  # all keys want the same place of the table
        open_session(crowded, index)
        if key not in held:
            held[key] = len(held)
            if len(held) > 8:
                newest = sorted(held.items(), key=lambda pair: -pair[1])[:8]
                held = {name: place for place, (name, _) in enumerate(reversed(newest))}
        for name in range(41):
            slot = find_slot(np.uint64(name * 16), index.session_keys, index.key_table)
            assert (slot >= 0) == (name in held)
    assert np.count_nonzero(index.key_table) == len(held)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 6)), max_size=200))
def test_postings_hold_the_newest_live_sessions(clicks: list[tuple[int, int]]) -> None:
    engine, slots = Engine(6, 16), 16
    engine.learn([who for who, _ in clicks], [1] * len(clicks), [item for _, item in clicks])
    sequence: dict[int, int] = {}
    touched: set[tuple[int, int]] = set()
    posted: dict[int, list[int]] = {}
    newest = 0
    for who, item in clicks:
        if sequence.get(who, -slots) <= newest - slots:
            newest += 1
            sequence[who] = newest
        if (sequence[who], item) not in touched:
            touched.add((sequence[who], item))
            posted.setdefault(item, []).append(sequence[who])
    for item in range(1, 7):
        live = [s for s in _ring(engine.index, item) if s > newest - slots]
        assert live == [s for s in posted.get(item, []) if s > newest - slots]


def _ring(index: layout.Index, item: int) -> list[int]:
    start, capacity, written, _ = (int(part) for part in index.rings[item])
    size = min(written, capacity)
    return [int(index.arena[start + (written - size + n) % capacity]) for n in range(size)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=900))
def test_leaders_are_the_items_with_the_largest_decayed_counts(items: list[int]) -> None:
    engine = Engine(400, 1024)
    engine.learn(list(range(len(items))), [1] * len(items), items)
    count: dict[int, float] = {}
    for place, item in enumerate(items):
        count[item] = count.get(item, 0) + math.exp(place / 20_000)
    index = engine.index
    leading = int(index.clock[layout.LEADING])
    assert leading == min(layout.LEADERS, len(count))
    found = [count[int(item)] for item in index.leaders[:leading]]
    assert np.allclose(found, sorted(count.values(), reverse=True)[:leading])


def test_covisits_keep_the_frequent_partners() -> None:
    engine = Engine(100, 1024)
    pairs = [(1, 2) if n % 2 else (1, 3 + n % 97) for n in range(600)]
    for session, pair in enumerate(pairs):
        engine.learn([session, session], [1, 1], list(pair))
    partners, weights = engine.index.covisits[1]
    assert partners[weights.argmax()] == 2
    assert weights.max() > 250


def test_catalogue_gives_numbers_back() -> None:
    catalogue = Catalogue(max_items=2)
    assert [catalogue.enter("a"), catalogue.enter("b")] == [1, 2]
    assert catalogue.full
    catalogue.evict(1)
    assert catalogue.enter("c") == 1
    assert catalogue.numbers == {"b": 2, "c": 1}


def test_habits_need_some_purchases() -> None:
    habits = RepurchaseHabits(share=0.5, min_purchases=4)
    for expected in (False, False, False, True):
        assert not habits.has_habit("tea")
        habits.learn(order("a", "x", "tea", repeat=True))
        assert habits.has_habit("tea") is expected


def test_importing_does_not_load_numba() -> None:
    code = (
        "import sys, crm_online.models.next_item as n; assert 'numba' not in sys.modules;"
        "n.NextItem(1, 1); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
