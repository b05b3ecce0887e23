"""Events in: Segment-spec JSON bytes to one flat `CustomerEvent`, or a named rejection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
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

__all__ = ["CLOCK", "REASONS", "CustomerEvent", "clock_shift", "parse_event"]

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
CLOCK: Final = "clock"  # among what is cleaned
CLOCK_SECONDS: Final = 60.0  # less is the time on the way, not a clock that is wrong
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
    at, set_right = _time(envelope, kafka_seconds, max_skew_seconds)
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
        (CLOCK,) if set_right else (),
    )


def clock_shift(
    timestamp: datetime | None,
    original: datetime | None,
    sent: datetime | None,
    received: datetime | None,
) -> float:
    """Return by how many seconds a sender's clock is behind, where its times tell.

    Parameters
    ----------
    timestamp, original, sent, received
        ``timestamp``, ``originalTimestamp``, ``sentAt`` and ``receivedAt``.

    Returns
    -------
    float
        0 where the difference is below a minute, and where both of the first are given, or
        none: then the first is corrected already.

    References
    ----------
    Segment Spec, common fields: ``timestamp`` is ``receivedAt - (sentAt - originalTimestamp)``.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> clock_shift(now, None, now, now + timedelta(hours=1))
    3600.0
    """
    if sent is None or received is None or (timestamp is None) == (original is None):
        return 0.0
    shift = received.timestamp() - sent.timestamp()
    return shift if abs(shift) >= CLOCK_SECONDS else 0.0


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


def _time(envelope: Common, kafka_seconds: float, max_skew_seconds: float) -> tuple[float, bool]:
    """Return the event time, and whether a wrong clock was set right for it."""
    timestamp, original = envelope.timestamp, envelope.original_timestamp
    said = timestamp or original or envelope.sent_at or envelope.received_at
    at = said.timestamp() if said is not None else kafka_seconds
    shift = clock_shift(timestamp, original, envelope.sent_at, envelope.received_at)
    if shift and not _YEAR_2000 <= at + shift <= kafka_seconds + max_skew_seconds:
        shift = 0.0  # it is sentAt or receivedAt that is wrong
    if shift:
        at = round(at + shift, 6)
    if at < _YEAR_2000:
        raise EventRejected("time-before-2000", "the event's time lies before the year 2000")
    ahead = at - kafka_seconds
    if ahead > _DAY:
        message = "the event's time is more than a day ahead of its Kafka timestamp"
        raise EventRejected("time-in-future", message)
    return kafka_seconds if ahead > max_skew_seconds else at, bool(shift)
