"""Raw Segment events, as a shop would send them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "alias",
    "event",
    "group",
    "identify",
    "iso",
    "order_completed",
    "order_refunded",
    "page",
    "product",
    "product_viewed",
    "screen",
    "track",
]

START = 1_700_000_000.0


def iso(at: float) -> str:
    """Write seconds since 1970 as Segment does."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def event(
    type_: str,
    user: str | int | None = "ann",
    *,
    at: float | None = START,
    anonymous: str | None = None,
    message_id: str | None = None,
    **fields: Any,
) -> bytes:
    """Make any event; what is ``None`` is left out."""
    body = {
        "type": type_,
        "userId": user,
        "anonymousId": anonymous,
        "messageId": message_id,
        "timestamp": None if at is None else iso(at),
        **fields,
    }
    return json.dumps({k: v for k, v in body.items() if v is not None}).encode()


def track(
    name: str, user: str | int | None = "ann", *, at: float | None = START, **fields: Any
) -> bytes:
    """Make a track event; pass ``properties=``, ``message_id=`` and the like by name."""
    return event("track", user, at=at, event=name, **fields)


def identify(user: str | None = "ann", *, at: float | None = START, **fields: Any) -> bytes:
    """Say who somebody is; pass ``anonymous=`` and ``traits=`` by name."""
    return event("identify", user, at=at, **fields)


def page(user: str | int | None = "ann", *, at: float | None = START, **fields: Any) -> bytes:
    """Make a page view."""
    return event("page", user, at=at, **fields)


def screen(user: str | None = "ann", *, at: float | None = START, **fields: Any) -> bytes:
    """Make a screen view."""
    return event("screen", user, at=at, **fields)


def group(user: str | None = "ann", *, at: float | None = START, **fields: Any) -> bytes:
    """Join a group; pass ``groupId=`` by name."""
    return event("group", user, at=at, **fields)


def alias(previous: str, user: str | None = "ann", *, at: float | None = START) -> bytes:
    """Say that two ids are one customer."""
    return event("alias", user, at=at, previousId=previous)


def product(
    item: str, price: float | str = 10.0, quantity: int = 1, category: str = "garden"
) -> dict[str, Any]:
    """One product of an order."""
    return {"product_id": item, "price": price, "quantity": quantity, "category": category}


def product_viewed(
    item: str, user: str | None = "ann", *, at: float | None = START, **fields: Any
) -> bytes:
    """Look at a product."""
    return track("Product Viewed", user, at=at, properties=product(item), **fields)


def order_completed(
    *products: dict[str, Any] | str,
    user: str | int | None = "ann",
    at: float | None = START,
    order_id: str = "order-1",
    total: float | str | None = None,
    currency: str | None = "EUR",
    **fields: Any,
) -> bytes:
    """Make an order; products by id cost 10.00 each, and without a total they add up."""
    properties = _order(products, order_id, total, currency)
    return track("Order Completed", user, at=at, properties=properties, **fields)


def order_refunded(
    *products: dict[str, Any] | str,
    user: str | int | None = "ann",
    at: float | None = START,
    order_id: str = "order-1",
    total: float | str | None = None,
    currency: str | None = "EUR",
    **fields: Any,
) -> bytes:
    """Refund all, or a part, of an order."""
    properties = _order(products, order_id, total, currency)
    return track("Order Refunded", user, at=at, properties=properties, **fields)


def _order(
    products: tuple[dict[str, Any] | str, ...],
    order_id: str,
    total: float | str | None,
    currency: str | None,
) -> dict[str, Any]:
    lines = [product(x) if isinstance(x, str) else x for x in products]
    properties = {"order_id": order_id, "total": total, "currency": currency, "products": lines}
    return {k: v for k, v in properties.items() if v is not None}
