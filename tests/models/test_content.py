"""The content model: a function of the interactions, and of what items are made of."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.checks import check_estimator
from river.reco.base import Ranker

from crm_online.errors import ConfigurationError, SnapshotError
from crm_online.models.content import ContentRanker
from crm_online.models.content.kernels import best_of
from crm_online.scores import Interaction

TOUCHES = st.lists(
    st.builds(
        Interaction,
        offset=st.just(0),
        index=st.just(0),
        customer=st.sampled_from("abc"),
        session=st.integers(1, 2),
        item=st.sampled_from("uvwxyz"),
        kind=st.just(""),
        at=st.just(0.0),
        tokens=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20).map(tuple),
    ),
    max_size=30,
)
PACKED = [b"\1\0\2\0", b"\7\0", b"\xff\xff\0\0\3\0"]


def make() -> ContentRanker:
    return ContentRanker(dims=8, slots=64)


def taught(touches: list[Interaction]) -> ContentRanker:
    model = make()
    model.learn_many(touches)
    return model


def session(customer: str, *items: tuple[int, ...]) -> list[Interaction]:
    return [Interaction(0, 0, customer, 1, str(t), "", 0.0, tokens=t) for t in items]


def test_passes_rivers_checks() -> None:
    check_estimator(make())
    assert isinstance(make(), Ranker)


@given(TOUCHES, st.integers(0, 30))
@settings(max_examples=50)
def test_how_touches_are_cut_makes_no_difference(touches: list[Interaction], cut: int) -> None:
    parts = taught(touches[:cut])
    parts.learn_many(touches[cut:])
    assert parts.state_bytes() == taught(touches).state_bytes()


@given(TOUCHES, TOUCHES)
@settings(max_examples=50)
def test_what_is_restored_goes_on_bit_for_bit(
    before: list[Interaction], after: list[Interaction]
) -> None:
    model = taught(before)
    restored = ContentRanker.from_bytes(model.state_bytes())
    assert restored.state_bytes() == model.state_bytes()
    for each in (model, restored):
        each.learn_many(after)
    assert restored.state_bytes() == model.state_bytes()
    assert (restored.context_vectors(PACKED) == model.context_vectors(PACKED)).all()
    names = ["u", "v", "never"]
    assert (restored.item_vectors(names, PACKED) == model.item_vectors(names, PACKED)).all()
    assert np.isfinite(model.item_vectors(names, PACKED)).all()


@given(TOUCHES)
@settings(max_examples=25)
def test_predictions_change_nothing(touches: list[Interaction]) -> None:
    model = taught(touches)
    before = model.state_bytes()
    model.context_vectors(PACKED)
    model.item_vectors(["u", "v", "w"], PACKED)
    model.rank("a", {"u", "v"}, {"items": [(1, 2)], "tokens": {"u": (1,), "v": (2,)}})
    model.warm_up()
    assert model.state_bytes() == before


def test_items_without_tokens_cost_and_say_nothing() -> None:
    model = taught([Interaction(0, 0, "a", 1, item, "", 0.0) for item in "xyxy"])
    assert model.learned == 0
    assert len(model.state_bytes()) < 200
    assert model.predict_one("a", "x", {"items": [(1,)], "tokens": {"y": (1,)}}) == 0.0
    model.learn_one("a", "x", 0, {"tokens": {"x": (1,)}})
    assert model.learned == 0
    model.learn_one("a", "x", 1, {"tokens": {"x": (1,)}})
    assert model.learned == 1


def test_before_anything_is_learned_shared_tokens_are_likeness() -> None:
    model = ContentRanker()
    own, others = (1, 2, 3), {f"{n}": (9 * n + 10, 9 * n + 11, 9 * n + 12) for n in range(50)}
    context = {"items": [own], "tokens": {**others, "like": (1, 2, 99), "same": own}}
    assert model.rank("a", set(context["tokens"]), context)[:2] == ["same", "like"]


def test_what_goes_together_is_carried_over_to_items_that_nobody_touched() -> None:
    model = ContentRanker(dims=16)
    tea, pot, saw, nail = 1, 2, 3, 4
    for n in range(200):  # each time other items of the four groups
        model.learn_many(session(f"a{n}", (tea, 100 + n), (pot, 400 + n)))
        model.learn_many(session(f"b{n}", (saw, 700 + n), (nail, 1000 + n)))
    tokens = {"new pot": (pot, 5000), "new nail": (nail, 5001)}
    assert model.rank("c", set(tokens), {"items": [(tea, 6000)], "tokens": tokens})[0] == "new pot"
    assert model.rank("c", set(tokens), {"items": [(saw, 6001)], "tokens": tokens})[0] == "new nail"


def test_negatives_are_drawn_among_the_items_there_are() -> None:
    """Of three items in a large table, one that was merely seen is met by eight draws."""
    model, seen = ContentRanker(), np.array([7, 8], np.uint16).tobytes()
    model.learn_many(session("a", (7, 8)))
    before = model.item_vectors(["(7, 8)"], [seen])
    model.learn_many(session("b", (1, 2), (3, 4)))
    after = model.item_vectors(["(7, 8)"], [seen])
    assert after[0, -1] < 0.0 == before[0, -1]  # its popularity
    assert (after[0, :-1] != before[0, :-1]).any()


def test_pickles_and_copies() -> None:
    model = taught(session("a", (1, 2), (2, 3), (4,)))
    assert pickle.loads(pickle.dumps(model)).state_bytes() == model.state_bytes()


@pytest.mark.parametrize("wrong", [{"dims": 0}, {"slots": 0}, {"slots": 3}])
def test_sizes_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ContentRanker(**wrong)


def test_bytes_that_are_none_are_refused() -> None:
    good = taught(session("a", (1, 2), (2, 3))).state_bytes()
    newer = good[:12] + bytes([good[12] + 1]) + good[13:]
    with pytest.raises(SnapshotError, match=r"newer than this program.*update this worker"):
        ContentRanker.from_bytes(newer)
    for bad in (b"", b"crm-content\0", good[:-5], b"x" + good):
        with pytest.raises(SnapshotError, match="from the learner"):
            ContentRanker.from_bytes(bad)


@given(st.lists(st.floats(-5, 5, width=32), max_size=30), st.integers(1, 10))
def test_the_best_are_found_in_order(scores: list[float], k: int) -> None:
    found = best_of(np.array(scores, np.float32), k).tolist()
    assert found == sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:k]
