"""One raw event on its way to the log, and the Segment-spec envelope around its properties."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

__all__ = [
    "RawEvent",
    "envelope",
    "is_time",
    "json_text",
    "timestamp",
    "track",
    "whole_milliseconds",
]

_DAY_MS = 86_400_000
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800  # seconds since 1970
_days: dict[int, str] = {}


class RawEvent(NamedTuple):
    """One event as it is put on the log.

    Parameters
    ----------
    at
        Event time, seconds since 1970 UTC; the same instant as the event's ``timestamp``.
    customer
        Customer id, which is the key: ``userId``, else ``anonymousId``.
    value
        Segment-spec JSON.
    """

    at: float
    customer: str
    value: bytes


def whole_milliseconds(at: float) -> float:
    """Round to what a timestamp can say.

    Parameters
    ----------
    at
        Seconds since 1970 UTC.

    Returns
    -------
    float
        The same, to the millisecond; rounding twice changes nothing.

    Examples
    --------
    >>> whole_milliseconds(1.23456)
    1.235
    """
    return round(at * 1000) / 1000


def timestamp(at: float) -> str:
    """ISO 8601 in UTC with milliseconds.

    Parameters
    ----------
    at
        Seconds since 1970 UTC.

    Examples
    --------
    >>> timestamp(1704067200.25)
    '2024-01-01T00:00:00.250Z'
    """
    day, ms = divmod(round(at * 1000), _DAY_MS)
    date = _days.get(day)
    if date is None:
        date = _days[day] = datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
    minutes, ms = divmod(ms, 60_000)
    return f"{date}T{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d}.{ms % 1000:03d}Z"


def json_text(value: object) -> str:
    """Compact JSON; a `Decimal` becomes a number with exactly its digits.

    Examples
    --------
    >>> from decimal import Decimal
    >>> json_text({"total": Decimal("139.10")})
    '{"total":139.10}'
    """
    return _encoder.encode(value).decode()


def track(event: str, who: str, message_id: str, at: float, properties: str) -> bytes:
    """Envelope of one ``track`` event.

    Parameters
    ----------
    event
        Name, free of characters that JSON escapes.
    who
        ``"userId":…`` or ``"anonymousId":…``, as JSON.
    message_id
        At most 100 characters, free of characters that JSON escapes.
    at
        Seconds since 1970 UTC.
    properties
        JSON of the properties without the outer braces.

    Examples
    --------
    >>> track("Email Opened", '"userId":"c1"', "m1", 0.0, "").decode()
    '{"type":"track","event":"Email Opened","userId":"c1","messageId":"m1",\
"timestamp":"1970-01-01T00:00:00.000Z","properties":{}}'
    """
    what = f'"type":"track","event":"{event}"'
    return envelope(what, who, message_id, at, f'"properties":{{{properties}}}')


def envelope(what: str, who: str, message_id: str, at: float, rest: str) -> bytes:
    """Envelope of one event of any type.

    Parameters
    ----------
    what
        ``"type":…`` and what else says what it is, as JSON.
    who, message_id, at
        As of `track`.
    rest
        ``"properties":…`` or ``"traits":…``, as JSON.

    Examples
    --------
    >>> envelope('"type":"page"', '"userId":"c1"', "m1", 0.0, '"properties":{}').decode()
    '{"type":"page","userId":"c1","messageId":"m1",\
"timestamp":"1970-01-01T00:00:00.000Z","properties":{}}'
    """
    times = f'"timestamp":"{timestamp(at)}"'
    return f'{{{what},{who},"messageId":"{message_id}",{times},{rest}}}'.encode()


def is_time(at: float) -> bool:
    """Whether seconds since 1970 can be written as a date of four-digit years."""
    return math.isfinite(at) and _YEAR_1 <= at < _YEAR_10000


_encoder = msgspec.json.Encoder(decimal_format="number")
