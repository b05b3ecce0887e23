"""Events in: Segment-spec JSON bytes to one flat `CustomerEvent`, or a named rejection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from crm_online.envelope import (
    Alias,
    Common,
    Envelope,
    Group,
    Identify,
    Page,
    Screen,
    Track,
    decode_envelope,
)
from crm_online.errors import EventRejected
from crm_online.items import Item, identifier, order_value, read_items
from crm_online.kinds import KIND, OTHER, TRACK_KIND
from crm_online.profile import read_consent, read_timezone

__all__ = ["REASONS", "CustomerEvent", "parse_event"]

REASONS: Final = (
    "empty",
    "too-large",
    "not-utf8",
    "too-deep",
    "malformed-json",
    "wrong-type",
    "missing-id",
    "id-too-long",
    "control-characters",
    "missing-event",
    "number-out-of-range",
    "time-before-2000",
    "time-in-future",
)
_YEAR_2000 = 946_684_800.0
_DAY = 86_400.0
_TYPE: dict[type[Common], str] = {
    Page: "page",
    Screen: "screen",
    Identify: "identify",
    Alias: "alias",
    Group: "group",
}


class CustomerEvent(msgspec.Struct, frozen=True, gc=False):
    """What the core needs to know of one event.

    Parameters
    ----------
    customer
        ``userId``, else ``anonymousId``.
    message_id
        ``messageId``, or ``""``.
    at
        Event time, seconds since 1970.
    kind
        Index into `crm_online.kinds.KINDS`.
    event
        The name as sent; the type for events that are not ``track``.
    items
        Products, in the order of the event.
    revenue
        Value of an order or a refund, in hundredths of the currency; 0 for all other kinds.
    currency
        Upper-case code, or ``""``.
    order_id
        ``order_id``, or ``""``.
    known
        True where there is a ``userId``.
    anonymous_id
        ``anonymousId``, or ``""``.
    timezone
        Of the customer, as ``context.timezone`` names it, or ``""``.
    consent
        Categories consented to by ``context.consent``; ``None`` where it is not spoken of.
    traits
        Of ``identify``, not yet decoded.
    cleaned
        Rules by which it was made clean, or would be where they are only observed.
    """

    customer: str
    message_id: str
    at: float
    kind: int
    event: str
    items: tuple[Item, ...]
    revenue: int
    currency: str
    order_id: str
    known: bool
    anonymous_id: str
    timezone: str = ""
    consent: tuple[str, ...] | None = None
    traits: Mapping[str, msgspec.Raw] | None = None
    cleaned: tuple[str, ...] = ()


def parse_event(
    raw: bytes | None, kafka_seconds: float, max_bytes: int, max_skew_seconds: float
) -> CustomerEvent:
    """Read one record of ``crm.events``.

    Parameters
    ----------
    raw
        The record's value: JSON of one of the six Segment types.
    kafka_seconds
        The record's own timestamp, seconds since 1970.
    max_bytes
        Longest value that is accepted.
    max_skew_seconds
        An event further ahead of `kafka_seconds` than this takes `kafka_seconds`.

    Returns
    -------
    CustomerEvent
        Properties of events outside of `KINDS` are not read.

    Raises
    ------
    EventRejected
        With one of `REASONS`; the message names the place, never the content.

    Examples
    --------
    >>> raw = b'{"type":"track","event":"Product Viewed","userId":7,"properties":{"sku":"a"}}'
    >>> event = parse_event(raw, 1.7e9, 32768, 300.0)
    >>> event.customer, event.event, event.items[0].product_id
    ('7', 'Product Viewed', 'a')
    """
    envelope = decode_envelope(raw, max_bytes)
    user = identifier(envelope.user_id, "userId")
    anonymous = identifier(envelope.anonymous_id, "anonymousId")
    message_id = identifier(envelope.message_id, "messageId")
    if not user and not anonymous:
        raise EventRejected("missing-id", "neither userId nor anonymousId is given")
    at = _time(envelope, kafka_seconds, max_skew_seconds)
    name = _name(envelope)
    kind, properties = KIND.get(name, OTHER), None
    if isinstance(envelope, Track):
        kind = TRACK_KIND.get(name, OTHER)
        properties = envelope.properties if kind else None
    items: tuple[Item, ...] = ()
    revenue, currency, order_id = 0, "", ""
    if properties is not None:
        items = read_items(properties)
        revenue = order_value(properties, kind)
        currency = (properties.currency or "").upper()
        if properties.order_id is not None:
            order_id = identifier(properties.order_id, "order_id")
    timezone, consent = "", None
    if envelope.context is not None:
        timezone = read_timezone(envelope.context.timezone)
        consent = read_consent(envelope.context.consent)
    return CustomerEvent(
        user or anonymous,
        message_id,
        at,
        kind,
        name,
        items,
        revenue,
        currency,
        order_id,
        bool(user),
        anonymous,
        timezone,
        consent,
        envelope.traits if isinstance(envelope, Identify) else None,
    )


def _name(envelope: Envelope) -> str:
    if isinstance(envelope, Track):
        if not envelope.event:
            raise EventRejected("missing-event", "a track event needs the name of its event")
        return envelope.event
    if isinstance(envelope, Alias):
        identifier(envelope.previous_id, "previousId")
    elif isinstance(envelope, Group):
        identifier(envelope.group_id, "groupId")
    return _TYPE[type(envelope)]


def _time(envelope: Common, kafka_seconds: float, max_skew_seconds: float) -> float:
    sent = (
        envelope.timestamp
        or envelope.original_timestamp
        or envelope.sent_at
        or envelope.received_at
    )
    at = sent.timestamp() if sent is not None else kafka_seconds
    if at < _YEAR_2000:
        raise EventRejected("time-before-2000", "the event's time lies before the year 2000")
    ahead = at - kafka_seconds
    if ahead > _DAY:
        message = "the event's time is more than a day ahead of its Kafka timestamp"
        raise EventRejected("time-in-future", message)
    return kafka_seconds if ahead > max_skew_seconds else at
