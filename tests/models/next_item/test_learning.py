"""Items in and out, bounds, and learning as a function of the interactions in order."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online.errors import ConfigurationError, SnapshotError
from crm_online.models.next_item import NextItem, Query
from crm_online.scores import Interaction
from tests.models.next_item.clicks import ITEMS, click, clicks, interactions, make, order

QUERIES = [Query("q", 1, tuple(row)) for row in ("", "a", "ab", "cdea", "hgfedcba")]
SMALL = {"max_items": 5, "max_sessions": 4}


@settings(deadline=None)
@given(st.lists(interactions, max_size=80), st.data())
def test_a_saved_and_restored_model_equals_a_continuous_one(
    learned: list[Interaction], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(learned)))
    parameters = data.draw(st.sampled_from([SMALL, {}]))
    straight = make(learned, **parameters)
    resumed = NextItem.from_bytes(make(learned[:cut], **parameters).state_bytes())
    resumed.learn_many(learned[cut:])
    assert resumed.state_bytes() == straight.state_bytes()
    assert resumed.counters == straight.counters
    assert resumed.recommend_many(QUERIES, 10) == straight.recommend_many(QUERIES, 10)
    assert [resumed.may_repurchase(i) for i in ITEMS] == [straight.may_repurchase(i) for i in ITEMS]


@settings(deadline=None)
@given(st.lists(interactions, max_size=60), st.integers(1, 7))
def test_batch_boundaries_decide_nothing(learned: list[Interaction], size: int) -> None:
    pieces = make([], **SMALL)
    for first in range(0, len(learned), size):
        pieces.learn_many(learned[first : first + size])
    assert pieces.state_bytes() == make(learned, **SMALL).state_bytes()


def test_restored_in_the_middle_of_a_long_run() -> None:
    stream = [
        click(f"c{n * 7919 % 97}", f"i{n * n % 61 * (n % 13)}", session=n // 500)
        for n in range(6000)
    ]
    parameters = {"max_items": 120, "max_sessions": 256}
    straight = make(stream, **parameters)
    resumed = NextItem.from_bytes(make(stream[:3333], **parameters).state_bytes())
    resumed.learn_many(stream[3333:])
    assert straight.counters["items_evicted"] > 0
    assert resumed.state_bytes() == straight.state_bytes()


def test_copies_are_equal_and_independent() -> None:
    model = make(clicks(("a", "xy"), ("b", "xy")))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.state_bytes() == model.state_bytes()
        twin.learn_many([click("c", "x")])
        assert twin.state_bytes() != model.state_bytes()


@pytest.mark.parametrize("damage", [b"", b"crm-next-item\0", b"pickle", "cut", "flip"])
def test_damaged_bytes_are_refused(damage: bytes | str) -> None:
    data = make(clicks(("a", "xy"), ("b", "xy"))).state_bytes()
    if damage == "cut":
        damage = data[:-9]
    elif damage == "flip":
        damage = data[:40] + bytes([data[40] ^ 255]) + data[41:]
    with pytest.raises(SnapshotError):
        NextItem.from_bytes(damage if isinstance(damage, bytes) else b"")


def test_newer_bytes_name_the_way_out() -> None:
    data = bytearray(make([]).state_bytes())
    data[len(b"crm-next-item\0")] = 99
    with pytest.raises(SnapshotError, match="upgrade"):
        NextItem.from_bytes(bytes(data))


def test_an_item_enters_at_its_second_customer() -> None:
    model = make([click("a", "x"), click("a", "x", session=2)])
    assert model.counters["items"] == 0
    assert model.recommend_many([Query("q", 1)], 5) == [[]]
    model.learn_many([click("b", "x")])
    assert model.counters["items"] == model.counters["items_entered"] == 1
    assert model.recommend_many([Query("q", 1)], 5)[0][0].item == "x"


def test_the_first_customers_session_counts_once_the_item_entered() -> None:
    model = make([*clicks(("a", "xy"), ("b", "x"), ("c", "y"))])
    found = model.recommend_many([Query("q", 1, ("x",), frozenset("x"))], 5)[0]
    assert (found[0].item, found[0].source) == ("y", "session-neighbours")


def test_the_least_recently_seen_item_leaves_first() -> None:
    known = [click(who, item) for item in "xyz" for who in "ab"]
    known += clicks(("c", "x"), ("d", "w"))
    model = make([*known, click("e", "w")], max_items=3)
    assert model.counters["items"] == 3
    assert model.counters["items_evicted"] == 1
    assert {c.item for c in model.recommend_many([Query("q", 1)], 9)[0]} == {"x", "z", "w"}
    names, _ = model.evidence_one(Query("q", 1, ("x",)))
    assert set(names) == {"x", "z"}


def test_a_flood_of_made_up_items_is_bounded_and_drives_nothing_out() -> None:
    real = clicks(("a", "xy"), ("b", "xy"))
    model = make([*real, *(click("bot", f"i{n}") for n in range(1000))], max_items=20)
    assert model.counters["items"] == 2
    assert model.counters["items_waiting"] <= 20
    assert model.counters["items_dropped"] > 900


def test_state_stays_bounded() -> None:
    def run(length: int) -> int:
        stream = (click(f"c{n % 50}", f"i{n * n % 31}", session=n // 200) for n in range(length))
        return len(make(list(stream), max_items=20, max_sessions=64).state_bytes())

    assert run(20_000) < 1.3 * run(5_000)


def test_posting_lists_grow_past_every_doubling() -> None:
    sessions = [(f"c{n}", "x" + "yz"[n % 2]) for n in range(3000)]
    model = make(clicks(*sessions), max_sessions=4096)
    names, sums = model.evidence_one(Query("q", 1, ("x",)))
    assert set(names) == set("xyz")
    assert sums[names.index("y"), 4] + sums[names.index("z"), 4] == 500  # all neighbours


def test_repurchase_follows_the_habit_of_the_category() -> None:
    bread = [order(f"c{n}", "rye", "bread", repeat=n % 2 == 0) for n in range(40)]
    sofas = [order(f"c{n}", "blue sofa", "sofas", repeat=False) for n in range(40)]
    model = make([*bread, *sofas])
    assert model.may_repurchase("rye")
    assert not model.may_repurchase("blue sofa")
    assert not model.may_repurchase("never seen")


@pytest.mark.parametrize("parameters", [{"max_items": 0}, {"max_sessions": 0}])
def test_impossible_sizes_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        NextItem(**parameters)
