"""Reads events as strictly as the settings say, and cleans those that are dirty."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from crm_online.cleaning.mending import ItemCase, mend
from crm_online.cleaning.rules import ID_UNKEYED, RULES
from crm_online.cleaning.texts import NOTHINGS, spelled
from crm_online.errors import EventRejected
from crm_online.events import CustomerEvent, parse_event
from crm_online.items import Item
from crm_online.kinds import ORDER, OTHER, VALUED

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Cleaning", "Strictness", "read_event"]

Strictness = Literal["repair", "reject", "observe"]

WORDED: Final = VALUED | {OTHER}  # kinds that may be dirty without naming a product
# A number in quotes is read as one, and looks the same behind.
_QUOTED: Final = re.compile(rb'"(?:price|total|revenue|quantity|shipping|tax|discount)"\s*:\s*"')


class Cleaning(NamedTuple):
    """How events are read.

    Parameters
    ----------
    max_bytes
        Longest event.
    max_skew_seconds
        An event further ahead of Kafka's timestamp takes that.
    strictness
        What becomes of what is dirty.
    item_case
        How ids of products are written.
    """

    max_bytes: int
    max_skew_seconds: float
    strictness: Strictness = "repair"
    item_case: ItemCase = "keep"

    @classmethod
    def of(cls, settings: Settings) -> Cleaning:
        """Take it from the settings."""
        return cls(
            settings.max_event_bytes,
            settings.max_skew_seconds,
            settings.strictness,
            settings.item_case,
        )


def read_event(
    raw: bytes | None, kafka_seconds: float, cleaning: Cleaning, key: bytes | None = None
) -> CustomerEvent:
    """Read one event, and clean it as far as that has one meaning.

    Parameters
    ----------
    raw
        JSON of one of the six Segment types.
    kafka_seconds
        When it was put on its topic, seconds since 1970.
    cleaning
        How.
    key
        Of the record: what it decides of a partition, no repair may change. `None` where the event
        gets its key only now.

    Returns
    -------
    CustomerEvent
        With the rules that applied under ``cleaned``.

    Raises
    ------
    EventRejected
        As `parse_event` does, or by the name of a rule where the strictness is ``reject``.

    Examples
    --------
    >>> raw = b'{"type": "track", "event": "product_viewed", "userId": " c-1",'
    >>> raw += b' "properties": {"sku": "a", "price": "9,50"}}'
    >>> event = read_event(raw, 1.7e9, Cleaning(32768, 300.0))
    >>> event.customer, event.event, event.items[0].price, event.cleaned
    ('c-1', 'Product Viewed', 950, ('id-blanks', 'event-spelling', 'number-text'))
    """
    limits = cleaning.max_bytes, cleaning.max_skew_seconds
    try:
        event = parse_event(raw, kafka_seconds, *limits)
    except EventRejected:
        if not raw or len(raw) > cleaning.max_bytes or cleaning.strictness != "repair":
            raise
        return _mended(raw, kafka_seconds, cleaning, key)
    if raw and _looks_dirty(event, raw, cleaning.item_case):
        return _cleaned(event, raw, kafka_seconds, cleaning, key)
    return event


def _looks_dirty(event: CustomerEvent, raw: bytes, item_case: ItemCase) -> bool:
    """Tell whether a repair may apply. Every event comes by here: what is clean costs little."""
    for said in (event.customer, event.message_id, event.anonymous_id):
        if said in NOTHINGS or said.strip() is not said:
            return True
    kind, items = event.kind, event.items
    if not items and kind not in WORDED:
        return False
    amounts = kind in VALUED
    for item in items:
        if _is_dirty(item, kind, item_case):
            return True
        amounts = amounts or item.price != 0 or item.quantity != 1
    if amounts and _QUOTED.search(raw) is not None:
        return True
    if kind == OTHER:
        return bool(spelled(event.event))
    return event.order_id in NOTHINGS or event.currency in NOTHINGS


def _is_dirty(item: Item, kind: int, item_case: ItemCase) -> bool:
    product = item.product_id
    if product in NOTHINGS or product.strip() is not product or item.category in NOTHINGS:
        return True
    if kind == ORDER and (item.price <= 0 or item.quantity <= 0):
        return True
    return item_case != "keep" and product != getattr(product, item_case)()


def _cleaned(
    event: CustomerEvent, raw: bytes, kafka_seconds: float, cleaning: Cleaning, key: bytes | None
) -> CustomerEvent:
    if cleaning.strictness == "repair":
        return _mended(raw, kafka_seconds, cleaning, key)
    rules = mend(raw, item_case=cleaning.item_case).rules
    if rules and cleaning.strictness == "reject":
        raise EventRejected(rules[0], f"{RULES[rules[0]]}; strictness is reject")
    return msgspec.structs.replace(event, cleaned=(*event.cleaned, *rules)) if rules else event


def _mended(
    raw: bytes, kafka_seconds: float, cleaning: Cleaning, key: bytes | None
) -> CustomerEvent:
    limits = cleaning.max_bytes, cleaning.max_skew_seconds
    mended = mend(raw, item_case=cleaning.item_case)
    event = parse_event(mended.value, kafka_seconds, *limits)
    if key is None or event.customer.encode() == key:
        return msgspec.structs.replace(event, cleaned=(*mended.rules, *event.cleaned))
    # Another key may be the producer's own choice, and none of what was repaired an id.
    kept = mend(raw, ids=False, item_case=cleaning.item_case)
    rules = kept.rules if kept == mended else (*kept.rules, ID_UNKEYED)
    event = parse_event(kept.value, kafka_seconds, *limits)
    return msgspec.structs.replace(event, cleaned=(*rules, *event.cleaned))
