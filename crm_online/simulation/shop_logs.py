"""Shop logs with one product per row: REES46 events and plain clicks."""

from __future__ import annotations

from collections.abc import Iterator

from crm_online.errors import EventRejected
from crm_online.simulation.cells import amount, identifier, row_id, time_of
from crm_online.simulation.raw import RawEvent, json_text, track
from crm_online.simulation.source import Row, Source

__all__ = ["click_events", "rees46_events"]

_REES46 = (("event_time",), ("event_type",), ("product_id",), ("user_id",))
_REES46_OPTIONAL = (("category_code",), ("category_id",), ("brand",), ("price",), ("user_session",))
_REES46_NAMES = {
    "view": "Product Viewed",
    "cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "purchase": "Order Completed",
}
_CLICKS = (("SessionId", "session_id", "session"), ("ItemId", "item_id", "item"), ("Time", "at"))


def rees46_events(source: Source) -> Iterator[RawEvent]:
    """Read events of a REES46 shop.

    ``view`` becomes Product Viewed, ``cart`` Product Added, ``remove_from_cart`` Product Removed
    and ``purchase`` an Order Completed of one product. The category is ``category_code``, else
    ``category_id``; ``brand`` and ``session_id`` go along.

    Parameters
    ----------
    source
        The file, in order of time as published.

    References
    ----------
    M. Kechinov, eCommerce behavior data from multi category store, REES46 Open CDP, 2020.
    """
    for row in source.table(_REES46, _REES46_OPTIONAL):
        try:
            yield _rees46_event(row)
        except EventRejected as bad:
            source.skip(bad.reason, row.line)


def click_events(source: Source) -> Iterator[RawEvent]:
    """Read clicks as Product Viewed; each session is an anonymous customer of its own.

    Parameters
    ----------
    source
        The file, with columns ``SessionId``, ``ItemId`` and ``Time``; others are ignored.
    """
    for row in source.table(_CLICKS):
        try:
            session = identifier(row.cells[0], "customer")
            product = json_text(identifier(row.cells[1], "item"))
            at = time_of(row.cells[2])
        except EventRejected as bad:
            source.skip(bad.reason, row.line)
            continue
        who = f'"anonymousId":{json_text(session)}'
        properties = f'"product_id":{product}'
        value = track("Product Viewed", who, row_id("clicks", row), at, properties)
        yield RawEvent(at, session, value)


def _rees46_event(row: Row) -> RawEvent:
    time, kind, product, user, code, category, brand, price, session = row.cells
    name = _REES46_NAMES.get(kind.strip())
    if name is None:
        raise EventRejected("unknown-event-type", "an unknown event type")
    customer, at, message = identifier(user, "customer"), time_of(time), row_id("rees46", row)
    product_of_row: dict[str, object] = {"product_id": identifier(product, "item")}
    about = {"category": code.strip() or category.strip(), "brand": brand.strip()}
    product_of_row |= {key: text for key, text in about.items() if text}
    each = amount(price) if price.strip() else None
    if each is not None:
        product_of_row["price"] = each
    properties = product_of_row
    if name == "Order Completed":
        properties = {"order_id": message, "products": [product_of_row | {"quantity": 1}]}
        if each is not None:
            properties |= {"revenue": each, "total": each}
    if session.strip():
        properties["session_id"] = session.strip()
    who = f'"userId":{json_text(customer)}'
    return RawEvent(at, customer, track(name, who, message, at, json_text(properties)[1:-1]))
