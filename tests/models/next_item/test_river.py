"""River's own checks, and the one-at-a-time interface of its rankers."""

from __future__ import annotations

from river.checks import check_estimator
from river.reco.base import Ranker

from crm_online.models.next_item import NextItem, Query
from tests.models.next_item.clicks import clicks, make


def test_passes_rivers_checks() -> None:
    check_estimator(NextItem(max_items=100, max_sessions=64))


def test_learn_one_equals_learn_many() -> None:
    stream = clicks(("a", "xyz"), ("b", "xyz"), ("c", "xy"))
    one = NextItem(max_items=50, max_sessions=32)
    for interaction in stream:
        one.learn_one(interaction.customer, interaction.item, 1, {"session": 1})
    assert isinstance(one, Ranker)
    assert one.state_bytes() == make(stream).state_bytes()


def test_no_reward_teaches_nothing() -> None:
    model = make([])
    model.learn_one("a", "x", 0)
    assert model.counters["interactions"] == 0


def test_predict_and_rank_follow_the_lists() -> None:
    model = make(clicks(("a", "xyz"), ("b", "xyz"), ("c", "xy")))
    listed = model.recommend_many([Query("c", 1, ("x", "y"))], 9)[0]
    context = {"session": 1}
    assert model.predict_one("c", "z", context) == {c.item: c.score for c in listed}["z"]
    assert model.rank("c", {"x", "z", "?"}, context)[-1] == "?"
    assert model.rank("c", {c.item for c in listed}, context | {"items": ["x", "y"]}) == [
        c.item for c in listed
    ]
