"""Events of one request: taken apart, checked, and turned into records of the events topic.

What stands in an event goes to Kafka byte by byte: numbers that are read and written anew lose
digits of long ids and of amounts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from crm_online.cleaning import Cleaning, read_event
from crm_online.cloudevents import is_trace
from crm_online.errors import EventRejected
from crm_online.log import Header, Message
from streams.feeding import partition_of
from streams.web.problems import Problem

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = [
    "BATCH_BYTES",
    "BATCH_EVENTS",
    "LOT_BYTES",
    "TYPES",
    "Lot",
    "Rejected",
    "Sent",
    "make_lot",
    "take_apart",
]

TYPES: Final = ("track", "identify", "page", "screen", "group", "alias")
BATCH_BYTES: Final = 500 * 1024
BATCH_EVENTS: Final = 2_500
LOT_BYTES: Final = 8 * 2**20  # a batch's own context is repeated in each of its events
SHARED: Final = ("context", "integrations", "sentAt")  # what a batch may say for all its events
TURN: Final = 50  # events, two milliseconds: then it is the turn of other requests
NULL: Final = b"null"

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Sent(NamedTuple):
    """What came in one request, not yet looked at.

    Parameters
    ----------
    events
        Each as it was sent.
    shared
        Fields for events without their own.
    fixed
        Fields of every event, whatever it says itself.
    """

    events: list[msgspec.Raw]
    shared: Mapping[str, Any]
    fixed: Mapping[str, Any]


class Rejected(NamedTuple):
    """One event that is not taken, and why; its place counts from 0."""

    place: int
    reason: str
    message: str


class Lot(NamedTuple):
    """The events of one request: partition and record of each, and those that are not taken."""

    taken: list[tuple[int, Message]]
    rejected: list[Rejected]


def take_apart(body: bytes, kind: str) -> Sent:
    """Tell the events of a body from each other; what they say is checked later.

    Parameters
    ----------
    body
        JSON: of one event, or of a batch.
    kind
        ``"batch"`` or one of `TYPES`, which then is the type of the event.

    Raises
    ------
    Problem
        400 where the body is no JSON object, or a batch is none; 413 where it has too many events.

    Examples
    --------
    >>> [bytes(event) for event in take_apart(b'{"batch": [{"userId": 7}, 5]}', "batch").events]
    [b'{"userId": 7}', b'5']
    """
    try:
        read = _read_object(body)
    except msgspec.ValidationError:
        raise Problem(400, "no-object", "the body must be a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem(400, "malformed-json", "the body is not JSON") from None
    except RecursionError:
        raise Problem(400, "too-deep", "nested deeper than can be read") from None
    if kind != "batch":
        return Sent([msgspec.Raw(body)], {}, {"type": kind})
    shared = {name: read[name] for name in SHARED if bytes(read.get(name, NULL)) != NULL}
    return Sent(_batch(read.get("batch", NULL)), shared, {})


def _batch(raw: msgspec.Raw | bytes) -> list[msgspec.Raw]:
    try:
        events = _read_list(raw)
    except msgspec.ValidationError:
        events = []
    if not events:
        raise Problem(400, "no-batch", "a batch needs its events as a list under `batch`")
    if len(events) > BATCH_EVENTS:
        raise Problem(413, "too-many-events", f"send at most {BATCH_EVENTS} events at once")
    return events


async def make_lot(
    sent: Sent, settings: Settings, partitions: int, now: float, trace: bytes
) -> Lot:
    """Turn events into records, giving way to other requests in between.

    Parameters
    ----------
    sent
        The events.
    settings
        How events are read.
    partitions
        Of the topic.
    now
        Seconds since 1970, to the millisecond.
    trace
        ``traceparent`` of the request; not passed on where it is malformed.

    Raises
    ------
    Problem
        413 where the records are larger than `LOT_BYTES` together.
    """
    maker = _Maker(sent, settings, partitions, now, trace if is_trace(trace) else b"")
    lot = Lot([], [])
    for index, event in enumerate(sent.events, start=1):
        try:
            lot.taken.append(maker.record(event))
        except EventRejected as rejection:
            lot.rejected.append(Rejected(index - 1, rejection.reason, rejection.message))
        if maker.size > LOT_BYTES:
            raise Problem(
                413,
                "too-large",
                f"with what the batch says for all of them, its events exceed {LOT_BYTES} bytes",
            )
        if not index % TURN:
            await asyncio.sleep(0)
    return lot


class _Maker:
    """Makes the records of one request."""

    def __init__(
        self, sent: Sent, settings: Settings, partitions: int, now: float, trace: bytes
    ) -> None:
        self.size = 0
        self._cleaning = Cleaning.of(settings)
        self._partitions = partitions
        self._now = now
        self._shared = sent.shared
        self._fixed = {**sent.fixed, "receivedAt": _iso(now)}
        self._headers: list[Header] = [("traceparent", trace)] if trace else []

    def record(self, event: msgspec.Raw) -> tuple[int, Message]:
        """Make the record of one event, by the same rules as the scorer that will read it."""
        value = msgspec.json.encode({**self._shared, **_fields(event), **self._fixed})
        self.size += len(value)
        read = read_event(value, self._now, self._cleaning)
        key = read.customer.encode()
        return partition_of(key, self._partitions), Message(key, value, self._headers)


def _fields(event: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _read_object(event)
    except msgspec.ValidationError:
        raise EventRejected("wrong-type", "an event must be a JSON object") from None
    except UnicodeDecodeError:  # within a list names are skipped over, and their encoding with them
        raise EventRejected("not-utf8", "a name in the event is not UTF-8") from None
    except RecursionError:
        raise EventRejected("too-deep", "nested deeper than can be read") from None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
