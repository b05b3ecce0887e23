"""What `parse_event` accepts, what it makes of it, and what it refuses."""

from __future__ import annotations

import json
from decimal import ROUND_UP, localcontext
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_online.envelope import MAX_DEPTH
from crm_online.errors import EventRejected
from crm_online.events import REASONS, CustomerEvent, parse_event
from crm_online.items import Item
from crm_online.kinds import ACTIVITY, KIND, KINDS, ORDER, OTHER, REFUND
from tests import builders
from tests.damaged import catalogue, damaged_events
from tests.strategies import doubtful_events, good_events, to_bytes

NOW = builders.START
DAY = 86_400.0
CENTURY_LATER = NOW + 100 * 366 * DAY


def parse(raw: bytes | None, now: float = NOW) -> CustomerEvent:
    return parse_event(raw, now, 32 * 1024, 300.0)


def rejection(raw: bytes | None, now: float = NOW) -> EventRejected:
    with pytest.raises(EventRejected) as caught:
        parse(raw, now)
    return caught.value


def attempt(raw: bytes) -> EventRejected | None:
    try:
        parse(raw)
    except EventRejected as error:
        return error
    return None


def test_an_order_is_read_whole() -> None:
    raw = builders.order_completed(
        builders.product("spade", 12.5, 2), "seeds", total=40, message_id="m1", anonymous="a1"
    )
    assert parse(raw) == CustomerEvent(
        customer="ann",
        message_id="m1",
        at=NOW,
        kind=ORDER,
        event="Order Completed",
        items=(Item("spade", "garden", 2, 1250), Item("seeds", "garden", 1, 1000)),
        revenue=4000,
        currency="EUR",
        order_id="order-1",
        known=True,
        anonymous_id="a1",
    )


def test_a_viewed_product_is_an_item_without_revenue() -> None:
    event = parse(builders.product_viewed("spade"))
    assert (event.kind, event.revenue, event.items) == (
        KIND["Product Viewed"],
        0,
        (Item("spade", "garden", 1, 1000),),
    )


@pytest.mark.parametrize("name", ["page", "screen", "identify", "alias", "group"])
def test_the_other_five_types_are_kinds_of_their_own(name: str) -> None:
    event = parse(builders.event(name))
    assert (event.kind, event.event) == (KIND[name], name)


def test_a_track_event_named_like_a_type_is_not_that_type() -> None:
    assert parse(builders.track("identify")).kind == OTHER


def test_an_unknown_event_counts_and_its_properties_are_its_own() -> None:
    properties = {"products": "many", "total": "n/a", "price": {"amount": 5}, "product_id": "p"}
    event = parse(builders.track("Quiz Taken", properties=properties, message_id="m"))
    assert (event.kind, event.items, event.message_id, event.at) == (OTHER, (), "m", NOW)
    assert event.kind in ACTIVITY
    fitting = parse(builders.track("Quiz Taken", properties={"product_id": "p", "total": 3}))
    assert (fitting.items, fitting.revenue) == ((), 0)


def test_completed_order_is_an_order_under_its_own_name() -> None:
    event = parse(builders.track("Completed Order", properties={"total": 1}))
    assert (event.kind, event.event) == (ORDER, "Completed Order")


def test_what_is_done_to_customers_is_not_their_activity() -> None:
    passive = {KINDS[n] for n in set(range(len(KINDS))) - ACTIVITY}
    assert {"Email Delivered", "Order Refunded", "identify"} <= passive
    assert not {"page", "Email Opened", "Order Cancelled", "other"} & passive


@pytest.mark.parametrize(
    ("properties", "hundredths"),
    [
        ({"revenue": 10, "total": 12}, 1000),
        ({"total": "12.30"}, 1230),
        ({"revenue": None, "total": 3}, 300),
        ({"products": [{"price": 1.005, "quantity": 200}]}, 20100),
        ({"products": [{"sku": "a", "price": 2}, {"price": 0.5, "quantity": "3"}]}, 350),
        ({"price": 4, "quantity": 2}, 800),
        ({"total": 27.5, "shipping": 3, "tax": "2.00", "discount": 2.5}, 2250),
        ({"revenue": 25, "total": 27.5, "shipping": 3, "tax": 2}, 2500),
        ({"products": [{"price": 10, "quantity": 3}], "discount": 2.5, "shipping": 4}, 2750),
        ({"total": 0.005}, 0),
        ({"total": 0.015}, 2),
        ({"total": 0.145}, 14),
        ({"total": -5}, -500),
        ({}, 0),
        (None, 0),
    ],
)
def test_an_order_is_worth_its_revenue_else_total_else_products(
    properties: dict[str, object] | None, hundredths: int
) -> None:
    assert parse(builders.track("Order Completed", properties=properties)).revenue == hundredths


def test_refunds_are_positive() -> None:
    event = parse(builders.order_refunded(total=-7.5))
    assert (event.kind, event.revenue) == (REFUND, 750)


def test_money_does_not_depend_on_the_threads_decimal_settings() -> None:
    raw = builders.order_completed(*[builders.product("a", "123456.78")] * 9)
    with localcontext() as context:
        context.prec, context.rounding = 3, ROUND_UP
        assert parse(raw).revenue == 9 * 12345678


def test_a_quantity_is_whole_and_a_category_short() -> None:
    line = builders.product("a", 1, category="c" * 200) | {"quantity": 2.5}
    assert parse(builders.order_completed(line)).items == (Item("a", "c" * 100, 2, 100),)


def test_products_without_an_id_are_no_items_and_sku_stands_in() -> None:
    lines: list[dict[str, Any]] = [
        {"price": 1},
        {"product_id": "", "sku": "s"},
        {"product_id": 7, "sku": "s"},
    ]
    assert [x.product_id for x in parse(builders.order_completed(*lines)).items] == ["s", "7"]


@pytest.mark.parametrize(
    ("user", "anonymous", "customer", "known"),
    [
        ("u", "a", "u", True),
        ("", "a", "a", False),
        (None, "a", "a", False),
        (17850, None, "17850", True),
    ],
)
def test_the_customer_is_the_user_else_the_anonymous_id(
    user: str | int | None, anonymous: str | None, customer: str, known: bool
) -> None:
    event = parse(builders.page(user, anonymous=anonymous))
    assert (event.customer, event.known, event.anonymous_id) == (customer, known, anonymous or "")


def test_the_first_time_given_is_the_events_else_kafkas() -> None:
    names = ["timestamp", "originalTimestamp", "sentAt", "receivedAt"]
    times: dict[str, str | None] = {
        name: builders.iso(NOW - 10 - i) for i, name in enumerate(names)
    }
    for i, name in enumerate(names):
        assert parse(builders.page(at=None, **times)).at == NOW - 10 - i
        times[name] = None
    assert parse(builders.page(at=None)).at == NOW


@pytest.mark.parametrize(
    ("said", "shift"),
    [
        ({"timestamp": 0, "sentAt": 5, "receivedAt": 5 + 3600}, 3600),
        ({"originalTimestamp": 0, "sentAt": 5, "receivedAt": 5 - DAY}, -DAY),
        (
            {"timestamp": -50 * 365 * DAY, "sentAt": -50 * 365 * DAY, "receivedAt": 0},
            50 * 365 * DAY,
        ),
        ({"timestamp": 0, "sentAt": 5, "receivedAt": 64}, 0),  # it may have been on the way
        ({"timestamp": 0, "originalTimestamp": 0, "sentAt": 5, "receivedAt": 5 + 3600}, 0),
        ({"timestamp": 0, "sentAt": 5}, 0),
        ({"timestamp": 0, "receivedAt": 3600}, 0),
    ],
)
def test_a_clock_that_is_wrong_is_corrected(said: dict[str, float], shift: float) -> None:
    times = {name: builders.iso(NOW + seconds) for name, seconds in said.items()}
    event = parse(builders.page(at=None, **times), NOW + DAY)
    assert event.at == NOW + next(iter(said.values())) + shift
    assert event.cleaned == (("clock",) if shift else ())


@pytest.mark.parametrize(("ahead", "taken"), [(0, 0), (300, 300), (301, 0), (DAY, 0), (-DAY, -DAY)])
def test_a_fast_clock_is_set_right(ahead: float, taken: float) -> None:
    assert parse(builders.page(at=NOW + ahead)).at == NOW + taken


def test_absurd_times_are_refused() -> None:
    assert rejection(builders.page(at=NOW + DAY + 1)).reason == "time-in-future"
    assert rejection(builders.page(at=946_684_799)).reason == "time-before-2000"
    assert parse(builders.page(at=946_684_800)).at == 946_684_800


def test_a_tombstone_is_empty() -> None:
    assert rejection(None).reason == rejection(b"").reason == "empty"


def test_the_size_limit_is_inclusive() -> None:
    raw = builders.page()
    assert parse_event(raw, NOW, len(raw), 300.0).customer == "ann"
    with pytest.raises(EventRejected, match="at most"):
        parse_event(raw, NOW, len(raw) - 1, 300.0)


def test_the_depth_limit_is_inclusive_and_strings_do_not_count() -> None:
    def nested(depth: int) -> bytes:
        inner = "[" * (depth - 1) + "]" * (depth - 1)
        return b'{"type":"page","userId":"[[{\\"{[","extra":%s}' % inner.encode()

    assert parse(nested(MAX_DEPTH)).kind == KIND["page"]
    assert rejection(nested(MAX_DEPTH + 1)).reason == "too-deep"


def test_many_shallow_brackets_are_fine() -> None:
    raw = builders.order_completed(*[f"p[{i}" for i in range(200)])
    assert len(parse(raw).items) == 200


def test_the_limits_of_ids_and_numbers_are_inclusive() -> None:
    line = builders.product("p" * 100, 1e12) | {"quantity": 10**6}
    assert parse(builders.order_completed(line, total=-1e12)).revenue == -(10**14)
    assert rejection(builders.order_completed(line)).reason == "number-out-of-range"


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in catalogue()}))
def test_damage_is_refused_for_its_own_reason(kind: str) -> None:
    for _, reasons, raw in filter(lambda entry: entry[0] == kind, catalogue()):
        for now in (NOW, CENTURY_LATER):
            assert rejection(raw, now).reason in reasons, raw[:200]


def test_a_thousand_damaged_events_are_different_and_always_the_same() -> None:
    damaged = damaged_events(1000)
    assert len(set(damaged)) == 1000
    assert damaged == damaged_events(1000)
    assert {rejection(raw).reason for raw in damaged} == set(REASONS)


@given(good_events)
def test_good_events_are_accepted(body: dict[str, object]) -> None:
    event = parse(to_bytes(body), CENTURY_LATER)
    assert event.customer == str(body["userId"])


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b"[" * 100_000)
@example(b'{"a":' * 5_000)
def test_any_bytes_are_read_or_rejected(raw: bytes) -> None:
    with pytest.raises(EventRejected) as caught:
        parse(raw)
    assert caught.value.reason in REASONS


@given(good_events.map(to_bytes), st.data())
def test_flipped_bytes_are_read_or_rejected(raw: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(raw) - 1))
    broken = raw[:place] + data.draw(st.binary(max_size=3)) + raw[place + 1 :]
    rejected = attempt(broken)
    assert rejected is None or rejected.reason in REASONS


@given(doubtful_events, st.sampled_from(["", "`", "'", "' - at `$.x`", "out of range"]))
def test_messages_never_quote_the_event(body: dict[str, object], trick: str) -> None:
    secret = f"s3cret{trick}"
    for field in ("type", "event", "userId", "timestamp", "messageId", "properties", "context"):
        for value in (secret, {secret: secret}, [secret], secret + "\x01", secret * 60):
            rejected = attempt(json.dumps(body | {field: value}).encode())
            assert rejected is None or "s3cret" not in rejected.message
