"""Events appended again where they belong after partitions were added: each once, in order.

Before the first, each partition's end is noted on the state topic; each copy says which record it
is of. So a run that was interrupted is finished by the next, without a repeat.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Final

import msgspec

from crm_online.internal import TICK_TYPE, ce_type
from crm_online.log import Message
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings
    from streams.upkeep.writing import Writer

__all__ = ["BEGUN_KEY", "COPY_OF", "Begun", "append_again", "begun_message", "copied", "read_begun"]

LOT: Final = 5_000
BEGUN_KEY: Final = b"\0growth"
COPY_OF: Final = "crm_copy_of"

Span = tuple[int, int]


class Begun(msgspec.Struct, frozen=True):
    """Where a partition of the events ended when an adoption began.

    Parameters
    ----------
    epoch, partitions
        Those to come; of others, this says nothing.
    end
        Offset behind the last record.
    """

    epoch: int
    partitions: int
    end: int


def begun_message(begun: Begun) -> Message:
    """Encode it for the state topic."""
    return Message(BEGUN_KEY, msgspec.json.encode(begun))


def read_begun(value: bytes) -> Begun:
    """Decode it."""
    return msgspec.json.decode(value, type=Begun)


async def copied(scan: Scan, spans: Mapping[int, Span]) -> set[Span]:
    """Return the places, partition and offset, of records that were appended again already."""
    found = set()
    async for _, records in scan.read("events", spans, "looking for what was appended"):
        for record in records:
            copy_of = dict(record.headers).get(COPY_OF)
            if copy_of is not None:
                partition, _, offset = copy_of.decode().partition("@")
                found.add((int(partition), int(offset)))
    return found


async def append_again(
    settings: Settings,
    tails: Mapping[int, Span],
    home: Callable[[bytes, int], int],
    done: Collection[Span],
    writer: Writer,
    work: Work,
) -> int:
    """Append the events of tails again, in the order they came; returns how many that were.

    Parameters
    ----------
    settings
        Of the whole program.
    tails
        Partition to the span of its events that are not applied.
    home
        Says for a key and its partition where it belongs.
    done
        Partition and offset of what was appended before.
    writer, work
        Of the command.
    """
    work.begin("appending events again", sum(end - start for start, end in tails.values()))
    there: dict[int, list[Message]] = {}
    appended = 0
    async for number, record in _in_order(settings, tails):
        work.advance(1)
        if ce_type(record) == TICK_TYPE or (number, record.offset) in done:
            continue
        target = number if record.key is None else home(record.key, number)
        mark = (COPY_OF, f"{number}@{record.offset}".encode())
        message = Message(record.key, record.value, [*record.headers, mark])
        there.setdefault(target, []).append(message)
        appended += 1
        if appended % LOT == 0:
            await _flush(writer, there)
    await _flush(writer, there)
    return appended


async def _flush(writer: Writer, there: dict[int, list[Message]]) -> None:
    for target, messages in there.items():
        await writer.write("events", target, messages)
    there.clear()


async def _in_order(
    settings: Settings, tails: Mapping[int, Span]
) -> AsyncIterator[tuple[int, Record]]:
    """Read all tails side by side, merged by their Kafka timestamps.

    A customer's events before and after the growth stand in two partitions, and a watermark must
    not run ahead of events that stand elsewhere: both want the order of arrival.
    """
    async with AsyncExitStack() as stack:
        heads: list[tuple[int, int, Record, AsyncIterator[Record]]] = []
        for number, span in tails.items():
            scan = await stack.enter_async_context(Scan(settings, Work()))
            records = _each(scan, number, span)
            first = await anext(records, None)
            if first is not None:
                heappush(heads, (first.timestamp, number, first, records))
        while heads:
            _, number, record, records = heads[0]
            yield number, record
            following = await anext(records, None)
            if following is None:
                heappop(heads)
            else:
                heapreplace(heads, (following.timestamp, number, following, records))


async def _each(scan: Scan, number: int, span: Span) -> AsyncIterator[Record]:
    async for _, records in scan.read("events", {number: span}, ""):
        for record in records:
            yield record
