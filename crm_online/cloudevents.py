"""CloudEvents 1.0 in Kafka's binary mode: the headers of every output record.

References
----------
CloudEvents 1.0.2, Kafka protocol binding: the attributes stand in ``ce_`` headers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import msgspec

from crm_online.log import Header
from crm_online.scores import Source

__all__ = ["event_id", "headers", "utc"]

_JSON: Final = ("content-type", b"application/json")
_VERSION: Final = ("ce_specversion", b"1.0")
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
