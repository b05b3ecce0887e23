"""Where data is thin or lopsided: strangers, repeats, one click, one customer with very many."""

from __future__ import annotations

import time

import numpy as np

from crm_online.models.next_item import NextItem, Query
from tests.models.next_item.clicks import click, clicks, make

SHOP = clicks(*((f"c{n}", "xyz") for n in range(8)))


def test_an_unknown_item_comes_back_to_its_own_session_only() -> None:
    model = make(SHOP)
    own = model.recommend_many([Query("q", 1, ("x", "new"))], 5)[0]
    (stranger,) = [candidate for candidate in own if candidate.item == "new"]
    assert stranger.because == ("new",)
    assert stranger.source == "session-neighbours"
    assert {c.item for c in own} == {"x", "y", "z", "new"}
    other = model.recommend_many([Query("r", 1, ("x",))], 5)[0]
    assert "new" not in {candidate.item for candidate in other}


def test_unknown_items_can_be_left_out() -> None:
    model = make(SHOP)
    query = Query("q", 1, ("new", "x", "newer"), frozenset({"newer"}))
    listed = {candidate.item for candidate in model.recommend_many([query], 9)[0]}
    assert "new" in listed
    assert "newer" not in listed


def test_a_session_of_strangers_only_is_listed_and_filled_up() -> None:
    listed = make(SHOP).recommend_many([Query("q", 1, ("one", "two", "one"))], 9)[0]
    assert {candidate.item for candidate in listed[:2]} == {"one", "two"}
    assert {candidate.source for candidate in listed[2:]} == {"trending"}


def test_replay_names_items_that_wait_for_their_second_customer() -> None:
    lists = make([]).replay_many([click("a", item) for item in ("new", "other", "new")], 5)
    assert lists[0] == []
    assert {candidate.item for candidate in lists[2]} == {"new", "other"}


def test_the_same_item_over_and_over() -> None:
    model = make(clicks(*((f"c{n}", "x" * 40) for n in range(5))))
    (found,) = model.recommend_many([Query("q", 1, ("x",) * 40)], 5)
    assert [candidate.item for candidate in found] == ["x"]


def test_sessions_of_one_click_teach_what_is_popular() -> None:
    model = make(clicks(*((f"c{n}", "xxy"[n % 3]) for n in range(30))))
    (found,) = model.recommend_many([Query("q", 1)], 5)
    assert [candidate.item for candidate in found] == ["x", "y"]


def test_a_customer_with_a_hundred_thousand_clicks_costs_no_more_than_others() -> None:
    items = np.random.default_rng(2).integers(0, 30, 100_000)
    model = make(SHOP)
    began = time.process_time()
    model.learn_many([click("heavy", f"i{n}") for n in items])
    model.learn_many([click("other", f"i{n}") for n in range(30)])
    assert (time.process_time() - began) / 100_000 < 0.002
    assert model.counters["sessions"] == 10
    query = Query("heavy", 1, tuple(f"i{n}" for n in items))
    assert len(model.recommend_many([query], 10)[0]) == 10
    assert len(model.state_bytes()) < 2_000_000


def test_an_item_that_left_returns_without_a_past() -> None:
    rounds = [click(who, f"i{n}") for n in range(40) for who in "ab"]
    model = make(rounds, max_items=8)
    again = NextItem.from_bytes(model.state_bytes())
    for one in (model, again):
        one.learn_many([click(who, "i0") for who in "cd"])
    assert again.state_bytes() == model.state_bytes()
    assert model.counters["items"] <= 8


def test_lists_of_any_length_are_sound() -> None:
    model = make(
        [click(f"c{n}", f"i{m}") for m in range(1300) for n in (m, m + 1)],
        max_items=1500,
        max_sessions=4096,
    )
    (found,) = model.recommend_many([Query("c5", 9, ("i5",))], 5000)
    assert len(found) == len({candidate.item for candidate in found})
