"""What a list holds, why, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online.models.next_item import Query
from crm_online.scores import Interaction
from tests.models.next_item.clicks import ITEMS, clicks, interactions, make

SHOP = clicks(("a", "xyz"), ("b", "xyz"), ("c", "xy"), ("d", "uv"), ("e", "uv"))


def test_neighbours_say_which_items_led_there() -> None:
    query = Query("new", 1, ("x", "y"), frozenset("xy"))
    best = make(SHOP).recommend_many([query], 5)[0][0]
    assert (best.item, best.source, best.because) == ("z", "session-neighbours", ("y", "x"))


def test_lists_fill_up_with_trending_items() -> None:
    found = make(SHOP).recommend_many([Query("new", 1, ("u",), frozenset("u"))], 4)[0]
    assert [candidate.source for candidate in found] == ["session-neighbours"] + ["trending"] * 3
    assert {candidate.item for candidate in found} == set("vxyz")
    assert found[-1].because == ()


def test_covisitation_outlives_the_sessions_that_taught_it() -> None:
    later = clicks(*((f"n{n}", "w") for n in range(40)))
    found = make([*SHOP, *later]).recommend_many([Query("new", 1, ("u",), frozenset("u"))], 1)[0]
    assert [(c.item, c.source, c.because) for c in found] == [("v", "covisitation", ("u",))]


def test_no_session_gives_what_trends() -> None:
    found = make(SHOP).recommend_many([Query("new", 1)], 10)[0]
    assert [candidate.item for candidate in found[:2]] in (["x", "y"], ["y", "x"])
    assert {candidate.source for candidate in found} == {"trending"}


def test_trending_counts_sessions_not_clicks_and_forgets() -> None:
    early = clicks(*((f"a{n}", "x") for n in range(3)))
    insistent = clicks(("b", "y"), ("c", "y" * 500))
    assert make([*early, *insistent]).recommend_many([Query("q", 1)], 1)[0][0].item == "x"
    late = clicks(("b", "y"), ("c", "y"), ("d", "w" * 60_000), ("e", "y"))
    assert make([*early, *late]).recommend_many([Query("q", 1)], 1)[0][0].item == "y"


def test_an_empty_model_recommends_nothing() -> None:
    assert make([]).recommend_many([Query("q", 1), Query("q", 2)], 3) == [[], []]
    assert make(SHOP).recommend_many([], 3) == []
    assert make(SHOP).recommend_many([Query("q", 1)], 0) == [[]]


@settings(deadline=None)
@given(
    learned=st.lists(interactions, max_size=60),
    sessions=st.lists(st.lists(st.sampled_from(ITEMS + "?"), max_size=20), min_size=1, max_size=5),
    exclude=st.frozensets(st.sampled_from(ITEMS)),
    k=st.integers(1, 12),
)
def test_lists_are_sound_and_change_nothing(
    learned: list[Interaction], sessions: list[list[str]], exclude: frozenset[str], k: int
) -> None:
    model = make(learned)
    before = model.state_bytes()
    queries = [Query(f"q{n}", 1, tuple(row), exclude) for n, row in enumerate(sessions)]
    lists = model.recommend_many(queries, k)
    for query, found in zip(queries, lists, strict=True):
        items = [candidate.item for candidate in found]
        scores = [candidate.score for candidate in found]
        listable = (_known(learned) | set(query.items[-16:])) - exclude
        assert len(items) == len(set(items)) == min(k, len(listable))
        assert set(items) <= listable
        assert not set(items) & exclude
        assert scores == sorted(scores, reverse=True)
        assert all(0 < score <= 3.0001 for score in scores)
        for candidate in found:
            assert set(candidate.because) <= set(query.items)
            assert bool(candidate.because) == (candidate.source != "trending")
    assert model.recommend_many(queries, k) == lists
    assert [model.recommend_many([query], k)[0] for query in queries] == lists
    assert model.state_bytes() == before


def _known(learned: list[Interaction]) -> set[str]:
    customers: dict[str, set[str]] = {}
    for interaction in learned:
        customers.setdefault(interaction.item, set()).add(interaction.customer)
    return {item for item, seen in customers.items() if len(seen) > 1}


@pytest.mark.parametrize("size", [1, 7, 300])
def test_batches_of_any_size_agree(size: int) -> None:
    model = make(SHOP)
    query = Query("new", 1, ("x",))
    assert model.recommend_many([query] * size, 3) == model.recommend_many([query], 3) * size
