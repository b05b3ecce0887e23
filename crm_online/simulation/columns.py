"""Any table as events: the caller says which column is what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from crm_online.errors import ConfigurationError, EventRejected
from crm_online.simulation.cells import amount, identifier, row_id, time_of
from crm_online.simulation.raw import RawEvent, envelope, json_text, track
from crm_online.simulation.source import Row, Source

__all__ = ["ColumnMap", "column_events"]

_NAMES = {
    "view": "Product Viewed",
    "click": "Product Clicked",
    "cart": "Product Added",
    "add_to_cart": "Product Added",
    "addtocart": "Product Added",
    "remove_from_cart": "Product Removed",
    "wishlist": "Product Added to Wishlist",
    "review": "Product Reviewed",
    "order": "Order Completed",
    "purchase": "Order Completed",
    "buy": "Order Completed",
    "transaction": "Order Completed",
    "completed order": "Order Completed",
    "refund": "Order Refunded",
    "return": "Order Refunded",
    "visit": "page",
}
_ORDERS = ("Order Completed", "Order Refunded")
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Which column of a table is what.

    Parameters
    ----------
    customer
        Customer ids.
    at
        Times: ISO 8601 (UTC where no zone is given), dates, or seconds since 1970.
    item
        Product ids, if any.
    amount
        Amounts of money in the base currency, if any.
    kind
        What happened, if any: a name of the Segment spec, a common word for one such as
        ``view``, ``cart`` or ``purchase``, or any other name, which counts as activity. Without
        it a row with an amount is an order (a refund where it is below zero), one with an item
        a view, any other a page view.
    """

    customer: str
    at: str
    item: str | None = None
    amount: str | None = None
    kind: str | None = None


def column_events(source: Source, *, columns: ColumnMap) -> Iterator[RawEvent]:
    """Read one event per row.

    Parameters
    ----------
    source
        The file.
    columns
        Which column is what.

    Raises
    ------
    ConfigurationError
        Where the file does not have a column that is named.
    """
    named = (columns.customer, columns.at, columns.item, columns.amount, columns.kind)
    if not columns.customer or not columns.at:
        raise ConfigurationError("columns for customer and at are needed")
    for row in source.table(tuple((name,) for name in named if name)):
        given = iter(row.cells)
        try:
            yield _event(row, [next(given) if name else "" for name in named])
        except EventRejected as bad:
            source.skip(bad.reason, row.line)


def _event(row: Row, cells: list[str]) -> RawEvent:
    customer, at = identifier(cells[0], "customer"), time_of(cells[1])
    item = identifier(cells[2], "item") if cells[2].strip() else ""
    value = amount(cells[3]) if cells[3].strip() else None
    name = _name(cells[4], item, value)
    message, who = row_id("csv", row), f'"userId":{json_text(customer)}'
    if name in {"page", "screen"}:
        page = envelope(f'"type":"{name}"', who, message, at, '"properties":{}')
        return RawEvent(at, customer, page)
    properties = json_text(_properties(name, message, item, value))[1:-1]
    event = json_text(name)[1:-1]
    return RawEvent(at, customer, track(event, who, message, at, properties))


def _name(kind: str, item: str, value: Decimal | None) -> str:
    kind = kind.strip()
    if len(kind) > _MAX_NAME or not kind.isprintable():
        raise EventRejected("bad-kind", "a kind that cannot be an event name")
    if kind:
        return _NAMES.get(kind.lower(), kind)
    if value is not None:
        return "Order Refunded" if value < 0 else "Order Completed"
    return "Product Viewed" if item else "page"


def _properties(name: str, message: str, item: str, value: Decimal | None) -> dict[str, object]:
    product: dict[str, object] = {"product_id": item} if item else {}
    if name not in _ORDERS:
        return product if value is None else product | {"price": value}
    total = abs(value) if value is not None and name == "Order Refunded" else value
    about: dict[str, object] = {"order_id": message}
    if total is not None:
        about |= {"revenue": total, "total": total}
    if item:
        priced = product if total is None else product | {"price": total}
        about["products"] = [priced | {"quantity": 1}]
    return about
