"""Profiles: what they count, what they find, and that odd data does them no harm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_online.profiling import Profile, Profiler
from crm_online.profiling.fields import MOST_PATHS
from crm_online.settings import Settings
from streams.profiling.page import page
from tests.builders import START, event, identify, order_completed, product_viewed, track

HOUR = 3600.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def profiled(raws: Iterable[bytes], at: float = START) -> Profile:
    profiler = Profiler(Settings())
    for raw in raws:
        profiler.see(raw, at)
    return profiler.profile()


def said(profile: Profile, *words: str) -> bool:
    return any(all(word in sentence for word in words) for sentence in profile.findings)


def test_events_fields_people_items_and_times_are_counted() -> None:
    found = profiled(
        [
            product_viewed("mug", "ann", at=START, message_id="1"),
            product_viewed("pot", "bob", at=START + 50 * HOUR, message_id="2"),
            order_completed("mug", user="ann", at=START + 2 * HOUR, message_id="3"),
            b"{",
        ],
        at=START + 60 * HOUR,
    )
    assert (found.records, found.events, found.rejected) == (4, 3, {"malformed-json": 1})
    assert {each.name: each.events for each in found.names} == {
        "Product Viewed": 2,
        "Order Completed": 1,
    }
    fields = {each.path: each for each in found.fields}
    assert fields["userId"].distinct == 2
    assert fields["messageId"].types == {"text": 3}
    assert (found.customers.count, found.customers.most, found.items.count) == (2, 2, 2)
    assert found.lateness.within["7 days"] == 1
    assert found.lateness.worst_days == 2.0
    assert [gap.hours for gap in found.gaps] == [47]
    assert sum(found.days.values()) == sum(found.hours) == 3
    assert found.orders.orders == 1


@pytest.mark.parametrize(
    ("raws", "words"),
    [
        ([b"{"], ("100.0%", "malformed-json 1")),
        ([track("order_completed")], ("'order_completed'", "'Order Completed'")),
        ([track("Something")], ("no event has a name",)),
        ([product_viewed("a", "Ann"), product_viewed("a", "ann ")], ("1 customer ids differ",)),
        ([product_viewed("a", message_id="1")] * 2, ("50.0%", "repeat a messageId")),
        ([product_viewed("a", message_id=n) for n in "12"], ("50.0%", "say the same")),
        ([product_viewed("a")], ("no messageId",)),
        ([product_viewed("a")], ("no order",)),
        ([order_completed("a", total=0)], ("worth nothing",)),
        (
            [
                order_completed("a", message_id=name, order_id="o", currency=currency)
                for name, currency in (("1", "EUR"), ("2", "USD"))
            ],
            ("2 currencies", "EUR 1"),
        ),
        (
            [
                order_completed("a", message_id=name, at=START + n, order_id="o")
                for n, name in enumerate("12")
            ],
            ("repeat an order_id",),
        ),
        ([event("page", "undefined", anonymous="a1")], ("userId", "word for nothing")),
        ([event("page", " ann")], ("userId", "blanks")),
        ([track("Product Viewed", properties={"price": "9.5"})], ("price", "is a text")),
        ([track("Product Viewed", properties={"price": -1})], ("price", "below zero, to -1")),
        (
            [identify(f"u{n}", anonymous="kiosk") for n in range(9)],
            ("one anonymousId stands with 9",),
        ),
        (
            [product_viewed("a", f"u{n}") for n in range(30)] + [product_viewed("a", "bot")] * 9,
            ("one customer has 23.1%",),
        ),
    ],
)
def test_what_may_make_scores_wrong_is_said(raws: list[bytes], words: tuple[str, ...]) -> None:
    assert said(profiled(raws), *words), profiled(raws).findings


def test_clean_data_gets_no_complaint() -> None:
    orders = [
        order_completed("a", user=f"u{n}", at=START + n, message_id=f"m{n}", order_id=f"o{n}")
        for n in range(50)
    ]
    assert profiled(orders).findings == []


def test_nothing_is_said_to_be_nothing() -> None:
    found = profiled([])
    assert found.findings == ["there is no record at all"]
    assert "<h1>0 events" in page(found)


def test_names_of_fields_do_not_fill_the_memory() -> None:
    names = [track(f"Event {n}", properties={f"key {n}": n}) for n in range(2 * MOST_PATHS)]
    found = profiled(names)
    assert len(found.fields) == MOST_PATHS
    assert len(found.names) < MOST_PATHS
    assert sum(each.events for each in found.names) == len(names)


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=5), max_size=5))
def test_any_properties_are_profiled_shown_and_encoded(bodies: list[dict[str, Any]]) -> None:
    raws = [track("Something <b>", properties=body) for body in bodies]
    raws += [json.dumps(body).encode() for body in bodies]
    found = profiled(raws)
    assert found.records == 2 * len(bodies)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Profile) == found
    assert "<b>" not in page(found)
