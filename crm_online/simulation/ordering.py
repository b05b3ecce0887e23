"""Events in order of time: within a window as they stream, or a whole file by runs on disk."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from operator import attrgetter
from typing import IO, Literal

import msgspec

from crm_online.errors import ConfigurationError
from crm_online.simulation.raw import RawEvent

__all__ = ["ORDERS", "Order", "in_time_order"]

Order = Literal["window", "whole", "arrival"]
ORDERS: tuple[Order, ...] = ("window", "whole", "arrival")

_time = attrgetter("at")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[float, str, bytes]).decode
_LENGTH_BYTES = 4


def in_time_order(
    events: Iterable[RawEvent], order: Order = "window", window: int = 100_000
) -> Iterator[RawEvent]:
    """Put events in order of their time; equal times keep the order they came in.

    Parameters
    ----------
    events
        Any order.
    order
        ``"window"``: hold back `window` events and give out the earliest; refuse an event that
        is earlier than one already given out. ``"whole"``: sort all of them, by sorted runs of
        `window` events in temporary files where they are more than that. ``"arrival"``: leave
        them as they are, late ones too, as they once arrived.
    window
        Events held in memory.

    Raises
    ------
    ConfigurationError
        Where the events are further out of order than the window; the message says what to do.

    Examples
    --------
    >>> late = [RawEvent(2.0, "a", b""), RawEvent(1.0, "b", b"")]
    >>> [event.at for event in in_time_order(late)]
    [1.0, 2.0]
    """
    if order not in ORDERS:
        raise ConfigurationError(f"unknown order {order!r}; there are: {', '.join(ORDERS)}")
    if order == "arrival":
        return iter(events)
    return _sliding(events, window) if order == "window" else _whole(events, window)


def _sliding(events: Iterable[RawEvent], window: int) -> Iterator[RawEvent]:
    held: list[tuple[float, int, RawEvent]] = []
    newest = float("-inf")
    for number, event in enumerate(events):
        if event.at < newest:
            raise ConfigurationError(
                f"event {number + 1} is {newest - event.at:.0f} s earlier than one sent before it,"
                f" more than {window} events out of order: sort the file by time, or replay it"
                " with order 'whole' (sorts it first) or 'arrival' (sends events as they stand)"
            )
        if len(held) < window:
            heapq.heappush(held, (event.at, number, event))
            continue
        newest, _, earliest = heapq.heappushpop(held, (event.at, number, event))
        yield earliest
    held.sort()
    for _, _, event in held:
        yield event


def _whole(events: Iterable[RawEvent], window: int) -> Iterator[RawEvent]:
    coming = iter(events)
    run = sorted(islice(coming, window), key=_time)
    with ExitStack() as files:
        runs: list[IO[bytes]] = []
        while len(run) == window:
            runs.append(_written(run, files))
            run = sorted(islice(coming, window), key=_time)
        # Merging is stable over its inputs in their order, so equal times keep theirs.
        yield from heapq.merge(*map(_read, runs), run, key=_time)


def _written(run: list[RawEvent], files: ExitStack) -> IO[bytes]:
    file = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    for event in run:
        packed = _encode(event)
        file.write(len(packed).to_bytes(_LENGTH_BYTES, "big"))
        file.write(packed)
    file.seek(0)
    return file


def _read(file: IO[bytes]) -> Iterator[RawEvent]:
    while length := file.read(_LENGTH_BYTES):
        yield RawEvent(*_decode(file.read(int.from_bytes(length, "big"))))
