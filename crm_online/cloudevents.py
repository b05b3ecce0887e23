"""CloudEvents 1.0 in Kafka's binary mode: the headers of every output record.

References
----------
CloudEvents 1.0.2, Kafka protocol binding: the attributes stand in ``ce_`` headers.
W3C Trace Context: ``traceparent`` is version, trace id, id of the span that caused this, and flags.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import msgspec

from crm_online.log import Header, Record
from crm_online.scores import Source

__all__ = ["event_id", "headers", "is_trace", "trace_of", "traced", "traceparent", "utc"]

_JSON: Final = ("content-type", b"application/json")
_VERSION: Final = ("ce_specversion", b"1.0")
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_encode: Final = msgspec.json.Encoder().encode


def utc(seconds: float) -> datetime:
    """Turn seconds since 1970 into an aware UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


def event_id(customer: str, source: Source, kind: str) -> str:
    """Name an effect by where in the log it comes from, so that a repeat has the same name.

    Parameters
    ----------
    customer
        Customer id; empty where the effect belongs to the partition.
    source
        Place in the log.
    kind
        Type of the record.

    Returns
    -------
    str
        32 hexadecimal digits.

    Examples
    --------
    >>> event_id("c-1", Source(0, 2, 17), "score")
    '1cb499fe35fb3933c5db85b5d061d3b5'
    """
    return blake2b(_encode((kind, source, customer)), digest_size=16).hexdigest()


def headers(kind: bytes, ce_source: bytes, ce_id: str, at: datetime) -> list[Header]:
    """Make the headers of one output record.

    Parameters
    ----------
    kind
        The ``ce_type``, such as ``b"crm.score.updated"``.
    ce_source
        Who says so, such as ``b"crm/score"``.
    ce_id
        From `event_id`.
    at
        Event time.
    """
    return [
        _VERSION,
        ("ce_id", ce_id.encode()),
        ("ce_source", ce_source),
        ("ce_type", kind),
        ("ce_time", _encode(at)[1:-1]),  # without quotes: the same RFC 3339 as in the value
        _JSON,
    ]


def is_trace(text: bytes) -> bool:
    """Tell whether this is a ``traceparent``."""
    return _TRACEPARENT.fullmatch(text) is not None


def trace_of(record: Record) -> bytes:
    """Return the ``traceparent`` of a record; empty where it has none, or one that is malformed."""
    found = dict(record.headers).get("traceparent", b"") if record.headers else b""
    return found if is_trace(found) else b""


def traceparent(trace: bytes, ce_id: str) -> Header:
    """Make the header that carries a trace on; the span is named by the record, as is a repeat.

    Parameters
    ----------
    trace
        From `trace_of`.
    ce_id
        Of the record that is written.

    Examples
    --------
    >>> before = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    >>> traceparent(before, "1cb499fe35fb3933c5db85b5d061d3b5")[1].decode()
    '00-0af7651916cd43dd8448eb211c80319c-1cb499fe35fb3933-01'
    """
    version, trace_id, _, flags = trace.split(b"-")
    return "traceparent", b"-".join((version, trace_id, ce_id[:16].encode(), flags))


def traced(ce: list[Header], trace: bytes, ce_id: str) -> list[Header]:
    """Add the header that carries a trace on, where there is one; see `traceparent`."""
    return [*ce, traceparent(trace, ce_id)] if trace else ce
