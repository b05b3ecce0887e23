"""The evidence sums, against the formulas computed the slow way."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online.models.next_item import Query
from tests.models.next_item.clicks import ITEMS, click, clicks, evidence_by_hand, make

KNOWN = clicks(("first", ITEMS), ("second", ITEMS))
ROWS = st.lists(st.sampled_from(ITEMS), min_size=1, max_size=14)


@settings(deadline=None)
@given(session=ROWS, others=st.lists(ROWS, max_size=12))
def test_evidence_equals_the_formulas(session: list[str], others: list[list[str]]) -> None:
    model = make([*KNOWN, *clicks(*((f"c{n}", row) for n, row in enumerate(others)))])
    names, sums = model.evidence_one(Query("open", 1, tuple(session)))
    expected = evidence_by_hand(session[-16:], [list(ITEMS), list(ITEMS), *others])
    assert len(set(names)) == len(names)
    assert set(session) <= set(names)
    for name, row in zip(names, sums, strict=True):
        np.testing.assert_allclose(row, expected.get(name, [0.0] * 7), rtol=1e-4, atol=1e-5)
    assert set(expected) <= set(names)


@settings(deadline=None)
@given(session=ROWS, others=st.lists(ROWS, max_size=6))
def test_the_open_session_is_no_neighbour_of_itself(
    session: list[str], others: list[list[str]]
) -> None:
    before = make([*KNOWN, *clicks(*((f"c{n}", row) for n, row in enumerate(others)))])
    names, sums = before.evidence_one(Query("open", 1, tuple(session)))
    before.learn_many([click("open", item) for item in session])
    after_names, after_sums = before.evidence_one(Query("open", 1, tuple(session)))
    assert after_names == names
    np.testing.assert_allclose(after_sums, sums, rtol=1e-3)  # one session older


def test_a_long_session_keeps_its_newest_clicks() -> None:
    model = make(clicks(("a", "xyz"), ("b", "xyz"), ("long", "x" + "yz" * 8)))
    assert model.predict_one("long", "y", {"session": 1}) > 2
    names, _ = model.evidence_one(Query("c", 1, ("x",)))
    assert set(names) == {"x", "y", "z"}


def test_only_the_newest_sessions_stay() -> None:
    pair = clicks(("a", "xy"), ("b", "xy"))
    noise = clicks(*((f"n{n}", "u") for n in range(40)))
    model = make([*pair, *noise], max_sessions=32)
    names, sums = model.evidence_one(Query("c", 1, ("x",)))
    assert names == ["x"]
    assert not sums.any()


def test_interleaved_sessions_do_not_mix() -> None:
    rows = {"a": "xy", "b": "uv", "c": "xy", "d": "uv"}
    turns = [click(who, row[turn]) for turn in range(2) for who, row in rows.items()]
    names, _ = make(turns).evidence_one(Query("e", 1, ("x",)))
    assert set(names) == {"x", "y"}
