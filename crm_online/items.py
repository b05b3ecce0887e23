"""Products, ids and amounts of an event, checked; money becomes whole hundredths."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Final

import msgspec

from crm_online.errors import EventRejected
from crm_online.kinds import REFUND, VALUED
from crm_online.money import EXACT

if TYPE_CHECKING:
    from crm_online.envelope import Line, Properties

__all__ = [
    "AMOUNTS",
    "MAX_AMOUNT",
    "MAX_ID_LENGTH",
    "MAX_QUANTITY",
    "Item",
    "identifier",
    "order_value",
    "read_items",
]

MAX_ID_LENGTH: Final = 100
MAX_AMOUNT: Final = 10**12
MAX_QUANTITY: Final = 10**6
_MAX_CATEGORY = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_multiply = EXACT.multiply
_ZERO = Decimal(0)
_HIGHEST, _LOWEST = Decimal(MAX_AMOUNT), Decimal(-MAX_AMOUNT)
AMOUNTS: Final = ("revenue", "total", "shipping", "tax", "discount")


class Item(msgspec.Struct, frozen=True, gc=False):
    """One product in an event.

    Parameters
    ----------
    product_id
        ``product_id``, else ``sku``: 1 to 100 characters.
    category
        Its first 100 characters, or ``""``.
    quantity
        Rounded to whole units; 1 where the event has none.
    price
        Of one unit, in hundredths of the currency; 0 where the event has none.
    """

    product_id: str
    category: str = ""
    quantity: int = 1
    price: int = 0


def identifier(value: str | int | None, path: str) -> str:
    """Read an id: a whole number or up to 100 characters, none of them a control character.

    Parameters
    ----------
    value
        As sent; ``""`` counts as absent.
    path
        Where it stands, for the message.

    Returns
    -------
    str
        ``""`` where there is none.

    Raises
    ------
    EventRejected
        ``id-too-long`` or ``control-characters``.

    Examples
    --------
    >>> identifier(17850, "userId")
    '17850'
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    if len(text) > MAX_ID_LENGTH:
        raise EventRejected("id-too-long", f"{path} has more than {MAX_ID_LENGTH} characters")
    if not text.isprintable() and _CONTROL.search(text):
        raise EventRejected("control-characters", f"{path} contains control characters")
    return text


def read_items(properties: Properties) -> tuple[Item, ...]:
    """Read the products of an event: the listed ones, else the one it is about.

    Parameters
    ----------
    properties
        Of an event that the Segment spec names; all that is in it is checked.

    Returns
    -------
    tuple
        Without those that have no id.

    Raises
    ------
    EventRejected
        ``id-too-long``, ``control-characters`` or ``number-out-of-range``.
    """
    item = _item(properties)
    if properties.products:
        return tuple([item for line in properties.products if (item := _item(line)) is not None])
    return () if item is None else (item,)


def _item(line: Line) -> Item | None:
    product = identifier(line.product_id, "product_id")
    sku = "" if line.sku is None else identifier(line.sku, "sku")
    quantity = 1 if line.quantity is None else _units(line.quantity)
    price = 0 if line.price is None else _hundredths(line.price, "price")
    if not product and not sku:
        return None
    return Item(product or sku, (line.category or "")[:_MAX_CATEGORY], quantity, price)


def order_value(properties: Properties, kind: int) -> int:
    """Read what an order or a refund is worth: products, without shipping and taxes.

    That is its revenue; else its total less shipping and tax; else its products less discount.

    Parameters
    ----------
    properties
        Of an event that the Segment spec names; all amounts in it are checked.
    kind
        Index into `KINDS`.

    Returns
    -------
    int
        Hundredths of the currency; 0 for kinds other than orders and refunds. Refunds are
        positive.

    Raises
    ------
    EventRejected
        ``number-out-of-range``.
    """
    for name in AMOUNTS:
        amount = getattr(properties, name)
        if amount is not None:
            _hundredths(amount, name)
    if kind not in VALUED:
        return 0
    value = _hundredths(_worth(properties), "what the order is worth")
    return abs(value) if kind == REFUND else value


def _worth(properties: Properties) -> Decimal:
    if properties.revenue is not None:
        return properties.revenue
    if properties.total is not None:
        more = EXACT.add(properties.shipping or _ZERO, properties.tax or _ZERO)
        return EXACT.subtract(properties.total, more)
    lines = properties.products or (properties,)
    return EXACT.subtract(
        reduce(EXACT.add, map(_line_value, lines), _ZERO), properties.discount or _ZERO
    )


def _line_value(line: Line) -> Decimal:
    quantity = 1 if line.quantity is None else line.quantity
    return _multiply(_ZERO if line.price is None else line.price, quantity)


def _hundredths(amount: Decimal, path: str) -> int:
    if amount.is_finite() and _LOWEST <= amount <= _HIGHEST:
        return round(_multiply(amount, 100))
    raise EventRejected("number-out-of-range", f"{path} is not finite, or beyond {MAX_AMOUNT}")


def _units(quantity: int | Decimal) -> int:
    finite = isinstance(quantity, int) or quantity.is_finite()
    if finite and -MAX_QUANTITY <= quantity <= MAX_QUANTITY:
        return round(quantity)
    message = f"quantity is not finite, or beyond {MAX_QUANTITY}"
    raise EventRejected("number-out-of-range", message)
