"""Small logs of one partition, built for tests of scoring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from crm_online.log import LogRecord, Message

__all__ = ["START", "at_day", "event", "log_of", "tick_at"]

START = datetime(2026, 1, 5, tzinfo=UTC)


def at_day(day: float) -> float:
    """Return event time `day` days after the start, seconds since 1970."""
    return (START + timedelta(days=day)).timestamp()


def event(
    customer: str,
    day: float,
    name: str = "Order Completed",
    *,
    message_id: str | None = None,
    total: float = 10.0,
    items: Sequence[str] = ("p-1",),
    **properties: Any,
) -> bytes:
    """Return the bytes of one track event."""
    products = [{"product_id": item, "price": 1.0, "quantity": 1} for item in items]
    body = {"products": products, **properties}
    if name in {"Order Completed", "Order Refunded"}:
        body["total"] = total
    return orjson.dumps(
        {
            "type": "track",
            "event": name,
            "userId": customer,
            "messageId": message_id,
            "timestamp": (START + timedelta(days=day)).isoformat(),
            "properties": body,
        }
    )


def log_of(values: Sequence[bytes | Message], start: int = 0) -> list[LogRecord]:
    """Number raw values and messages as one partition's records."""
    records = []
    for offset, value in enumerate(values, start):
        message = value if isinstance(value, Message) else Message(b"k", value)
        timestamp = int(at_day(2000) * 1000)
        records.append(LogRecord(offset, timestamp, message.key, message.value, message.headers))
    return records


def tick_at(day: float, key: bytes) -> Message:
    """Return a signed tick."""
    from crm_online.internal import tick

    return tick(key, at=at_day(day))
