"""What becomes of dirty events as the strictness says, and that none is lost."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given

from crm_online.cleaning import CURRENCY_UNKNOWN, RULES, Cleaning, Repairs, read_event
from crm_online.cleaning.reading import Strictness
from crm_online.errors import EventRejected
from crm_online.events import CustomerEvent, parse_event
from crm_online.log import LogRecord
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from tests import builders
from tests.damaged import damaged_events
from tests.strategies import good_events, to_bytes

NOW = builders.START
CENTURY_LATER = NOW + 100 * 366 * 86_400.0
MODES: tuple[Strictness, ...] = ("repair", "observe", "reject")


def read(
    raw: bytes, strictness: Strictness = "repair", key: bytes | None = None, **options: Any
) -> CustomerEvent:
    return read_event(raw, NOW, Cleaning(32 * 1024, 300.0, strictness, **options), key)


def page(**fields: Any) -> bytes:
    return json.dumps({"type": "page", "userId": "ann"} | fields).encode()


def order(**properties: Any) -> bytes:
    return builders.track("Order Completed", properties={"order_id": "o"} | properties)


DIRTY = {
    "id-blanks": page(userId=" ann"),
    "id-nothing": page(anonymousId="null"),
    "number-text": order(total="12.50"),
    "event-spelling": builders.track("product_viewed"),
    "price-not-positive": order(total=5, products=[{"sku": "a", "price": -1}]),
    "quantity-not-positive": order(total=5, products=[{"sku": "a", "price": 1, "quantity": 0}]),
    "value-nothing": order(total=5, currency="null"),
}
UNREADABLE = {
    "type-spelling": page(type="Page"),
    "time-format": page(timestamp="2023-11-14 12:00"),
    "id-number": page(userId=17850.0),
    "empty-list": page(context=[]),
    "text-number": order(total=5, currency=978),
}


@pytest.mark.parametrize(("rule", "raw"), DIRTY.items())
def test_what_can_be_read_as_it_was_sent(rule: str, raw: bytes) -> None:
    strictly = parse_event(raw, NOW, 32 * 1024, 300.0)
    repaired, observed = read(raw), read(raw, "observe")
    assert repaired.cleaned == observed.cleaned == (rule,)
    assert (observed.customer, observed.items, observed.event) == (
        strictly.customer,
        strictly.items,
        strictly.event,
    )
    with pytest.raises(EventRejected) as caught:
        read(raw, "reject")
    assert caught.value.reason == rule


@pytest.mark.parametrize(("rule", "raw"), UNREADABLE.items())
def test_what_can_be_read_only_once_it_is_mended(rule: str, raw: bytes) -> None:
    assert read(raw).cleaned == (rule,)
    for strictness in ("observe", "reject"):
        with pytest.raises(EventRejected) as caught:
            read(raw, strictness)
        assert caught.value.reason == "wrong-type"


def test_cases_of_products_are_one() -> None:
    raw = builders.product_viewed("85123a")
    assert read(raw).items[0].product_id == "85123a"
    upper = read(raw, item_case="upper")
    assert (upper.items[0].product_id, upper.cleaned) == ("85123A", ("item-case",))


@pytest.mark.parametrize(
    ("key", "customer", "rules"),
    [
        (None, "ann", {"id-blanks", "id-nothing"}),
        (b"ann", "ann", {"id-blanks", "id-nothing"}),
        (b" ann", " ann", {"id-unkeyed"}),
        (b"account-7", " ann", {"id-unkeyed"}),
    ],
)
def test_a_repair_moves_no_customer_to_another_partition(
    key: bytes | None, customer: str, rules: set[str]
) -> None:
    event = read(page(userId=" ann", anonymousId="null"), key=key)
    assert (event.customer, set(event.cleaned)) == (customer, rules)


def test_another_key_of_its_own_says_nothing_where_no_id_is_dirty() -> None:
    assert read(order(total="5"), key=b"account-7").cleaned == ("number-text",)


@given(good_events)
def test_what_is_clean_is_read_the_same_however_strict(event: object) -> None:
    raw = to_bytes(event)
    strictly = parse_event(raw, CENTURY_LATER, 32 * 1024, 300.0)
    found = {mode: _outcome(raw, mode, CENTURY_LATER) for mode in MODES}
    if not found["repair"].cleaned:  # type: ignore[union-attr]  # what is good is never refused
        assert all(each == strictly for each in found.values())


def _outcome(raw: bytes, strictness: Strictness, now: float = NOW) -> CustomerEvent | str:
    try:
        return read_event(raw, now, Cleaning(32 * 1024, 300.0, strictness))
    except EventRejected as rejection:
        return rejection.reason


def test_a_thousand_damaged_events_are_each_repaired_refused_or_observed() -> None:
    events = damaged_events(1000)
    for strictness in MODES:
        settings = Settings(strictness=strictness)
        scorer = Scorer(settings)
        start = scorer.restore(0).finish()
        log = [LogRecord(start + n, int(NOW * 1000), None, raw) for n, raw in enumerate(events)]
        done = list(scorer.process(0, log))
        refused = sum(scorer.rejected.values())
        letters = sum(len(effects.outputs.get("dead-letters", ())) for effects in done)
        taken = [
            each for raw in events if isinstance(each := _outcome(raw, strictness), CustomerEvent)
        ]
        assert letters == refused == len(events) - len(taken)
        counted = {rule: n for (rule, _), n in scorer.repairs.items() if rule != CURRENCY_UNKNOWN}
        assert counted == Counter(rule for event in taken for rule in event.cleaned)
        assert all(event.cleaned for event in taken)
        assert bool(taken) == (strictness == "repair")
        assert set(RULES) >= {rule for rule, _ in scorer.repairs}


def test_repairs_are_counted_by_the_library_that_sent_them_and_not_by_too_many() -> None:
    repairs = Repairs()
    for number in range(100):
        context = json.dumps({"context": {"library": {"name": f"sender-{number}"}}}).encode()
        repairs.count([(LogRecord(number, 0, None, context), ("id-blanks", "number-text"))])
    assert repairs["number-text", "sender-7"] == 1
    assert repairs["number-text", "(others)"] == 50
    assert sum(repairs.values()) == 200
