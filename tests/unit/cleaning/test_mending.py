"""What is made of dirty values, and that nothing else is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_online.cleaning.mending import mend
from crm_online.cleaning.rules import RULES
from crm_online.cleaning.texts import number_in, spelled, time_in
from crm_online.kinds import TRACK_KIND
from tests.damaged import catalogue
from tests.strategies import doubtful_events, good_events, to_bytes


def mended(event: dict[str, Any], **options: Any) -> tuple[dict[str, Any], set[str]]:
    value, rules = mend(json.dumps(event).encode(), **options)
    return json.loads(value), set(rules)


def order(**properties: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Order Completed", "properties": properties}


@pytest.mark.parametrize(
    ("dirty", "clean", "rule"),
    [
        ({"userId": " c-1 "}, {"userId": "c-1"}, "id-blanks"),
        ({"userId": "null"}, {"userId": None}, "id-nothing"),
        ({"anonymousId": "Undefined"}, {"anonymousId": None}, "id-nothing"),
        ({"userId": "  "}, {"userId": None}, "id-nothing"),
        ({"userId": 17850.0}, {"userId": 17850}, "id-number"),
        ({"type": " Track"}, {"type": "track"}, "type-spelling"),
        ({"timestamp": 1714557600}, {"timestamp": "2024-05-01T10:00:00+00:00"}, "time-format"),
        ({"timestamp": 1714557600000}, {"timestamp": "2024-05-01T10:00:00+00:00"}, "time-format"),
        ({"sentAt": "1714557600"}, {"sentAt": "2024-05-01T10:00:00+00:00"}, "time-format"),
        ({"timestamp": "2024-05-01"}, {"timestamp": "2024-05-01T00:00:00+00:00"}, "time-format"),
        ({"timestamp": ""}, {"timestamp": None}, "value-nothing"),
        ({"context": []}, {"context": {}}, "empty-list"),
    ],
)
def test_what_all_events_have(dirty: dict[str, Any], clean: dict[str, Any], rule: str) -> None:
    assert mended({"type": "page"} | dirty) == ({"type": "page"} | clean, {rule})


@pytest.mark.parametrize(
    ("dirty", "clean", "rules"),
    [
        ({"total": "9.50"}, {"total": 9.5}, {"number-text"}),
        ({"total": "1.234,50 €"}, {"total": 1234.5}, {"number-text"}),
        ({"total": "EUR 1 000"}, {"total": 1000}, {"number-text"}),
        ({"revenue": "n/a", "total": 3}, {"revenue": None, "total": 3}, {"value-nothing"}),
        ({"total": 1, "currency": "null"}, {"total": 1, "currency": None}, {"value-nothing"}),
        ({"order_id": " 7"}, {"order_id": "7"}, {"id-blanks"}),
        ({"category": 5}, {"category": "5"}, {"text-number"}),
        (
            {"products": [{"sku": "a", "price": 0}, {"sku": "b", "price": 2}]},
            {"products": [{"sku": "b", "price": 2}]},
            {"price-not-positive"},
        ),
        (
            {"products": [{"sku": "a", "quantity": "-1"}, {"sku": " b", "price": 2}]},
            {"products": [{"sku": "b", "price": 2}]},
            {"quantity-not-positive", "number-text", "id-blanks"},
        ),
        # None of these has one meaning.
        *(
            ({"total": text}, {"total": text}, set())
            for text in ("1,234", "abc", "12.5.1", "1e", "--1", "0x10", "NaN USD", "1,23,4")
        ),
    ],
)
def test_what_orders_say(dirty: dict[str, Any], clean: dict[str, Any], rules: set[str]) -> None:
    assert mended(order(**dirty)) == (order(**clean), rules)


def test_a_refund_keeps_what_is_taken_back() -> None:
    lines = {"products": [{"sku": "a", "quantity": -1, "price": 2}]}
    event = order(**lines) | {"event": "Order Refunded"}
    assert mended(event) == (event, set())


@pytest.mark.parametrize("name", sorted(TRACK_KIND))
def test_names_are_known_in_all_their_spellings(name: str) -> None:
    words = name.split()
    camel = words[0].lower() + "".join(words[1:])
    for spelling in (name.lower(), name.upper(), "_".join(words).lower(), camel, f" {name} "):
        assert spelled(spelling) == name
    assert mended({"type": "track", "event": name}) == ({"type": "track", "event": name}, set())


def test_what_a_word_is_in_an_own_event_stays() -> None:
    event = {"type": "track", "event": "Quiz Taken", "properties": {"price": "9,50", "sku": " a"}}
    assert mended(event) == (event, set())


def test_cases_of_products_follow_the_setting() -> None:
    event = order(products=[{"product_id": "85123a", "price": 2}])
    assert mended(event, item_case="keep") == (event, set())
    upper = order(products=[{"product_id": "85123A", "price": 2}])
    assert mended(event, item_case="upper") == (upper, {"item-case"})
    assert mended(upper, item_case="lower") == (event, {"item-case"})


def test_ids_stay_where_they_are_to_stay() -> None:
    event = {"type": "page", "userId": " a", "messageId": " m"}
    assert mended(event, ids=False) == (event | {"messageId": "m"}, {"id-blanks"})


@given(good_events | doubtful_events)
def test_mending_twice_changes_nothing_more(event: object) -> None:
    once = mend(to_bytes(event))
    assert set(once.rules) <= RULES.keys()
    assert mend(once.value) == (once.value, ())


def test_mending_what_is_damaged_twice_changes_nothing_more() -> None:
    for _, _, raw in catalogue():
        once = mend(raw)
        assert bool(once.rules) == (once.value != raw)
        assert mend(once.value) == (once.value, ())


@given(st.text(max_size=30))
def test_any_text_has_one_number_and_one_moment_or_none(text: str) -> None:
    number, moment = number_in(text), time_in(text)
    assert number is None or float(json.loads(number)) == float(number)
    assert moment is None or time_in(moment) is not None


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9
    )
)
def test_a_number_in_quotes_is_that_number(number: Any) -> None:
    assert number_in(f"{number:f}") is not None
    assert float(number_in(f"{number:,.2f}".replace(",", " ")) or "nan") == float(number)
