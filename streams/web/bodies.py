"""Bodies of the intake: read up to their limit, unpacked, and turned into records."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from crm_online.cloudevents import is_trace
from crm_online.errors import EventRejected
from crm_online.events import parse_event
from crm_online.log import Header, Message
from streams.feeding import partition_of
from streams.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from crm_online.settings import Settings

__all__ = ["BATCH_BYTES", "BATCH_EVENTS", "TYPES", "Lot", "Rejected", "read_body", "read_events"]

TYPES: Final = ("track", "identify", "page", "screen", "group", "alias")
BATCH_BYTES: Final = 500 * 1024
BATCH_EVENTS: Final = 2_500
SHARED: Final = ("context", "integrations", "sentAt")  # what a batch may say for all its events
GZIP: Final = 16 + zlib.MAX_WBITS


class Rejected(NamedTuple):
    """One event that is not taken, and why; its place counts from 0."""

    place: int
    reason: str
    message: str


class Lot(NamedTuple):
    """The events of one request: partition and record of each, and those that are not taken."""

    taken: list[tuple[int, Message]]
    rejected: list[Rejected]


async def read_body(request: Request, most: int) -> bytes:
    """Return the body, unpacked, without ever holding much more than is allowed.

    Raises
    ------
    Problem
        413 where it is longer, 415 for an unknown encoding, 400 where it cannot be unpacked.
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in {"identity", "gzip"}:
        raise Problem(415, "unknown-encoding", "send the body as it is, or packed by gzip")
    parts, size = list[bytes](), 0
    async for part in _unpacked(request, most) if encoding == "gzip" else request.stream():
        size += len(part)
        if size > most:
            raise Problem(413, "too-large", f"send at most {most} bytes at once")
        parts.append(part)
    return b"".join(parts)


async def _unpacked(request: Request, most: int) -> AsyncIterator[bytes]:
    unpack = zlib.decompressobj(GZIP)
    try:
        async for part in request.stream():
            yield unpack.decompress(part, most + 1)  # what is left beyond that is too much
    except zlib.error:
        raise Problem(400, "malformed-gzip", "the body is not what gzip makes") from None
    if not unpack.eof:
        raise Problem(400, "malformed-gzip", "the body ends in the middle")


def read_events(
    body: bytes, kind: str, settings: Settings, partitions: int, now: float, trace: bytes
) -> Lot:
    """Turn a body into records of the events topic.

    Parameters
    ----------
    body
        JSON: of one event, or of a batch.
    kind
        ``"batch"`` or one of `TYPES`, which then is the type of the event.
    settings
        `max_event_bytes`, `max_skew_seconds`.
    partitions
        Of the topic.
    now
        Seconds since 1970, to the millisecond.
    trace
        ``traceparent`` of the request; not passed on where it is malformed.

    Raises
    ------
    Problem
        400 where the body is no JSON object, or a batch is none; 413 where it has too many events.
    """
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Problem(400, "malformed-json", "the body is not JSON") from None
    if not isinstance(read, dict):
        raise Problem(400, "no-object", "the body must be a JSON object")
    events, shared = ([read | {"type": kind}], {}) if kind != "batch" else _of_batch(read)
    trace = trace if is_trace(trace) else b""
    reader = _Reader(settings, partitions, now, shared, trace)
    lot = Lot([], [])
    for index, event in enumerate(events):
        try:
            lot.taken.append(reader.record(event))
        except EventRejected as rejection:
            lot.rejected.append(Rejected(index, rejection.reason, rejection.message))
    return lot


def _of_batch(body: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    events = body.get("batch")
    if not isinstance(events, list) or not events:
        raise Problem(400, "no-batch", "a batch needs its events as a list under `batch`")
    if len(events) > BATCH_EVENTS:
        raise Problem(413, "too-many-events", f"send at most {BATCH_EVENTS} events at once")
    return events, {name: body[name] for name in SHARED if body.get(name) is not None}


class _Reader:
    """Reads the events of one request."""

    def __init__(
        self,
        settings: Settings,
        partitions: int,
        now: float,
        shared: Mapping[str, Any],
        trace: bytes,
    ) -> None:
        self._settings = settings
        self._partitions = partitions
        self._now = now
        self._shared = shared
        self._received = {"receivedAt": _iso(now)}
        self._headers: list[Header] = [("traceparent", trace)] if trace else []

    def record(self, event: Any) -> tuple[int, Message]:
        """Make the record of one event, by the same rules as the scorer that will read it."""
        if not isinstance(event, dict):
            raise EventRejected("wrong-type", "an event must be a JSON object")
        try:
            value = orjson.dumps({**self._shared, **event, **self._received})
        except TypeError:  # the one thing that `loads` takes and this does not
            raise EventRejected("too-deep", "nested deeper than can be written") from None
        settings = self._settings
        read = parse_event(value, self._now, settings.max_event_bytes, settings.max_skew_seconds)
        key = read.customer.encode()
        return partition_of(key, self._partitions), Message(key, value, self._headers)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
