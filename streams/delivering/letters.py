"""Actions on their way to one endpoint: read from the outbox, and put back for later."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from crm_online.actions.records import DELIVERED
from crm_online.log import Message, Record

__all__ = ["BODY_BYTES", "Letter", "of_action", "of_retry", "retry"]

TYPE: Final = "crm.action.decided"
# By Standard Webhooks: what is larger, many receivers refuse.
BODY_BYTES: Final = 20 * 1024
ENDPOINT, ATTEMPT, DUE, SINCE = "retry_endpoint", "retry_attempt", "retry_due", "retry_since"


class _Action(msgspec.Struct):
    """What of an action decides on its delivery."""

    action_id: str
    customer_id: str
    status: str
    action: str
    channel: str
    at: datetime


_decode: Final = msgspec.json.Decoder(_Action).decode


class Letter(NamedTuple):
    """One action for one endpoint.

    Parameters
    ----------
    partition, offset
        Of the record, on the topic that it was read from.
    key, value
        As they stand there.
    action
        What decides on its delivery.
    since
        Seconds since 1970 at which the action was written.
    attempt
        How often it was put back.
    due
        Seconds since 1970 before which it is not tried again.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    action: _Action
    since: float
    attempt: int = 0
    due: float = 0.0

    @property
    def webhook_id(self) -> str:
        """The same for every attempt, whatever restarts."""
        return self.action.action_id

    @property
    def late_seconds(self) -> float:
        """How long after its own time the action was written."""
        return self.since - self.action.at.timestamp()

    @property
    def body(self) -> bytes:
        """What is posted: the action to the byte, in an envelope."""
        at = msgspec.json.encode(self.action.at)
        return b'{"type":"%b","timestamp":%b,"data":%b}' % (TYPE.encode(), at, self.value)


def of_action(partition: int, record: Record) -> Letter | None:
    """Read a record of ``crm.actions``; ``None`` where it is not to be delivered.

    Raises
    ------
    msgspec.DecodeError
        Where it is no action.
    """
    if record.value is None or (record.key or b"")[:1] == b"\0":
        return None
    action = _decode(record.value)
    if action.status not in DELIVERED:
        return None
    since = record.timestamp / 1000.0
    return Letter(partition, record.offset, record.key, record.value, action, since)


def of_retry(partition: int, record: Record, endpoint: str) -> Letter | None:
    """Read a record of ``crm.actions.retry``; ``None`` where it is for another endpoint.

    Raises
    ------
    msgspec.DecodeError
        Where it is no action.
    ValueError, KeyError
        Where its headers are not ours.
    """
    headers = dict(record.headers)
    if headers.get(ENDPOINT) != endpoint.encode() or record.value is None:
        return None
    return Letter(
        partition,
        record.offset,
        record.key,
        record.value,
        _decode(record.value),
        float(headers[SINCE]),
        int(headers[ATTEMPT]),
        float(headers[DUE]),
    )


def retry(letter: Letter, endpoint: str, attempt: int, due: float) -> Message:
    """Make the record that puts a letter back, to be tried when it is due."""
    headers: list[Any] = [
        (ENDPOINT, endpoint.encode()),
        (ATTEMPT, b"%d" % attempt),
        (DUE, b"%.3f" % due),
        (SINCE, b"%.3f" % letter.since),
    ]
    return Message(letter.key, letter.value, headers)
