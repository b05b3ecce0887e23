"""Internal records on ``crm.events``: signed, told by their ``ce_type``, under reserved keys."""

from __future__ import annotations

from typing import Final

import msgspec

from crm_online.errors import EventRejected
from crm_online.log import Message, Record
from crm_online.signing import sign, verify

__all__ = ["INTERNAL_TYPES", "PROGRESS_KEY", "TICK_KEY", "TICK_TYPE", "Tick", "read_tick", "tick"]

TICK_TYPE: Final = b"crm.tick"
INTERNAL_TYPES: Final = frozenset({TICK_TYPE})
TICK_KEY: Final = b"\0tick"
PROGRESS_KEY: Final = b"\0progress"


class Tick(msgspec.Struct, frozen=True, omit_defaults=True):
    """Event time moves on though no event came.

    Parameters
    ----------
    at
        The event time reached, seconds; or
    lag_seconds
        how far event time is behind the tick's own Kafka timestamp.
    """

    at: float | None = None
    lag_seconds: float | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Tick, strict=True).decode


def tick(key: bytes, *, at: float | None = None, lag_seconds: float | None = None) -> Message:
    """Make a signed tick for one partition of ``crm.events``.

    Parameters
    ----------
    key
        The signing key.
    at, lag_seconds
        One of the two, as in `Tick`.
    """
    value = _encode(Tick(at, lag_seconds))
    signature = sign(key, TICK_TYPE, value).encode()
    return Message(TICK_KEY, value, [("ce_type", TICK_TYPE), ("ce_signature", signature)])


def read_tick(record: Record, key: bytes) -> float:
    """Return the event time that a tick stands for, seconds.

    Raises
    ------
    EventRejected
        Where the signature is missing or wrong, or the value is no tick.
    """
    headers = dict(record.headers)
    value = record.value or b""
    if not verify(key, headers.get("ce_signature", b""), TICK_TYPE, value):
        raise EventRejected(
            "unsigned-internal-record",
            "an internal record carries no valid signature (CRM_SIGNING_KEY)",
        )
    try:
        read = _decode(value)
    except msgspec.MsgspecError as error:
        raise EventRejected("malformed-internal-record", "a tick holds no valid time") from error
    if read.at is not None:
        return read.at
    if read.lag_seconds is None:
        raise EventRejected("malformed-internal-record", "a tick holds no valid time")
    return record.timestamp / 1000.0 - read.lag_seconds
