"""The Segment-spec envelope: bytes to Structs, checked for size, encoding, depth and types."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from itertools import accumulate
from typing import Annotated, Final

import msgspec

from crm_online.errors import EventRejected
from crm_online.kinds import TRACK_KIND

__all__ = [
    "MAX_DEPTH",
    "Alias",
    "Anything",
    "Common",
    "Context",
    "Envelope",
    "Group",
    "Id",
    "Identify",
    "Line",
    "Page",
    "Properties",
    "Screen",
    "Time",
    "Track",
    "decode_envelope",
]

MAX_DEPTH: Final = 32

_QUOTED = re.compile(r" '.*'", re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"{}[]")))
_ARRAY = ord("[")
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}

NOTHING: Final = msgspec.Raw(b"null")

Id = str | int | None
Time = Annotated[datetime, msgspec.Meta(tz=True)] | None


class Anything(msgspec.Struct, frozen=True, gc=False):
    """Any object; nothing in it is read."""


class Context(msgspec.Struct, frozen=True, gc=False):
    """Where an event came from: what of it is read is decoded later, and only where it is there."""

    timezone: msgspec.Raw = NOTHING
    consent: msgspec.Raw = NOTHING


class Line(msgspec.Struct, frozen=True, gc=False):
    """One product, as properties name it."""

    product_id: Id = None
    sku: Id = None
    category: str | None = None
    quantity: int | Decimal | None = None
    price: Decimal | None = None


class Properties(Line, frozen=True, gc=False):
    """Properties of the events that the Segment spec names: one product, or several."""

    order_id: Id = None
    total: Decimal | None = None
    revenue: Decimal | None = None
    shipping: Decimal | None = None
    tax: Decimal | None = None
    discount: Decimal | None = None
    currency: str | None = None
    products: list[Line] | None = None


class Common(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type", rename="camel"):
    """What all six types have."""

    user_id: Id = None
    anonymous_id: Id = None
    message_id: Id = None
    timestamp: Time = None
    original_timestamp: Time = None
    sent_at: Time = None
    received_at: Time = None
    context: Context | None = None
    integrations: Anything | None = None


class Track(Common, frozen=True, gc=False, tag="track"):
    """Somebody did something."""

    event: str | None = None
    properties: Properties | None = None


class Page(Common, frozen=True, gc=False, tag="page"):
    """A page was seen."""

    properties: Anything | None = None


class Screen(Common, frozen=True, gc=False, tag="screen"):
    """A screen of an app was seen."""

    properties: Anything | None = None


class Identify(Common, frozen=True, gc=False, tag="identify"):
    """Who somebody is."""

    traits: dict[str, msgspec.Raw] | None = None


class Alias(Common, frozen=True, gc=False, tag="alias"):
    """Two ids are one customer."""

    previous_id: Id = None


class Group(Common, frozen=True, gc=False, tag="group"):
    """Somebody belongs to a group."""

    group_id: Id = None
    traits: Anything | None = None


class _OtherTrack(Common, frozen=True, gc=False, tag="track"):
    event: str | None = None
    properties: Anything | None = None


Envelope = Track | Page | Screen | Identify | Alias | Group
_DECODER: msgspec.json.Decoder[Envelope] = msgspec.json.Decoder(Envelope)
_decode = _DECODER.decode
_OTHER_DECODER = msgspec.json.Decoder(_OtherTrack)


def decode_envelope(raw: bytes | None, max_bytes: int) -> Envelope:
    """Decode one event and check its form; what it says is checked elsewhere.

    Parameters
    ----------
    raw
        The record's value.
    max_bytes
        Longest value that is accepted.

    Returns
    -------
    Envelope
        One of the six types. A track event whose name is not in the spec may have properties
        of any shape; where they do not fit, they are left out.

    Raises
    ------
    EventRejected
        ``empty``, ``too-large``, ``not-utf8``, ``too-deep``, ``malformed-json``, ``wrong-type`` or
        ``number-out-of-range``.
    """
    if not raw:
        raise EventRejected("empty", "the record has no value")
    if len(raw) > max_bytes:
        raise EventRejected("too-large", f"{len(raw)} bytes, at most {max_bytes} are accepted")
    # msgspec skips over unknown fields without looking at their encoding.
    if not raw.isascii():
        _check_utf8(raw)
    # Looking for a byte is eight times as fast as counting it, and most events have no array.
    if raw.count(b"{") + (raw.count(b"[") if _ARRAY in raw else 0) > MAX_DEPTH:
        _check_depth(raw)
    try:
        return _decode(raw)
    except msgspec.ValidationError as error:
        return _decode_unknown_name(raw, error)
    except msgspec.DecodeError:
        raise EventRejected("malformed-json", "the value is not JSON") from None


def _decode_unknown_name(raw: bytes, error: msgspec.ValidationError) -> Track:
    try:
        other = _OTHER_DECODER.decode(raw)
    except msgspec.ValidationError:
        raise _rejection(error) from None
    except msgspec.DecodeError:
        raise EventRejected("malformed-json", "the value is not JSON") from None
    if not other.event or other.event in TRACK_KIND:
        raise _rejection(error)
    return Track(**(msgspec.structs.asdict(other) | {"properties": None}))


def _rejection(error: msgspec.ValidationError) -> EventRejected:
    # msgspec quotes an unknown type; everything else in its messages is ours.
    text = _QUOTED.sub("", str(error))
    reason = "number-out-of-range" if "out of range" in text else "wrong-type"
    return EventRejected(reason, text)


def _check_utf8(raw: bytes) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        message = f"the value is not UTF-8 at byte {error.start}"
        raise EventRejected("not-utf8", message) from None


def _check_depth(raw: bytes) -> None:
    brackets = _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise EventRejected("too-deep", f"nested deeper than {MAX_DEPTH} levels")
