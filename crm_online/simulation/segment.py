"""Segment-spec events, one per line, passed on byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from crm_online.simulation.raw import RawEvent
from crm_online.simulation.source import Source

__all__ = ["segment_events"]

_Id = str | int | None
_Time = datetime | None


class _Head(msgspec.Struct, gc=False, rename="camel"):
    user_id: _Id = None
    anonymous_id: _Id = None
    timestamp: _Time = None
    original_timestamp: _Time = None
    sent_at: _Time = None
    received_at: _Time = None

    @property
    def customer(self) -> str:
        return next((str(x) for x in (self.user_id, self.anonymous_id) if x or x == 0), "")

    @property
    def at(self) -> float | None:
        time = self.timestamp or self.original_timestamp or self.sent_at or self.received_at
        if time is None:
            return None
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


_decode = msgspec.json.Decoder(_Head).decode


def segment_events(source: Source, *, pass_damaged: bool) -> Iterator[RawEvent]:
    """Read JSON lines.

    Only who and when are looked at: whether an event is acceptable, the scorer decides.

    Parameters
    ----------
    source
        The file.
    pass_damaged
        Pass on lines without customer or time, under ``""`` and the time of the line before.
    """
    last = 0.0
    for number, line in source.lines():
        head, reason = _head(line)
        at = head.at if head else None
        customer = head.customer if head else ""
        if head and (at is None or not customer):
            reason = "missing-time" if customer else "missing-id"
        if not reason or pass_damaged:
            last = last if at is None else at
            yield RawEvent(last, customer if at is not None else "", line)
        else:
            source.skip(reason, number)


def _head(line: bytes) -> tuple[_Head | None, str]:
    try:
        return _decode(line), ""
    except msgspec.ValidationError:
        return None, "wrong-type"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, "malformed-json"
    except RecursionError:
        return None, "too-deep"
