"""What `crm-online export` writes: customers of the cache, for tools that take files."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import orjson

from crm_online.models.segments import SEGMENTS
from crm_online.sinks.redis import CacheReader, connect
from streams.exits import EXIT_FAILED, counted, say

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["export_at_risk", "export_recommendations", "export_segment"]

Fields = dict[str, Any]
Format = Literal["csv", "jsonl"]
Read = Callable[[CacheReader], AsyncIterator[Fields]]

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
RETRIES: Final = 2  # a person waits
CUSTOMER: Final = (
    *("customer_id", "segment", "churn_probability", "calibrated", "expected_value", "currency"),
    *(
        "orders",
        "spend",
        "refunds",
        "last_activity_at",
        "timezone",
        "consent",
        "unsubscribed",
        "at",
    ),
)
ITEM: Final = ("customer_id", "rank", "item_id", "score", "reason", "at")


def export_segment(settings: Settings, name: str, format_: Format, output: Path | None) -> int:
    """Write the score records of a segment; returns 1 where there are none.

    Parameters
    ----------
    settings
        Of the whole program.
    name
        Of the segment.
    format_
        ``"csv"`` or ``"jsonl"``.
    output
        File to write; standard output by default.

    Raises
    ------
    SinkUnavailable
        Where Redis does not answer.
    """
    return _export(settings, lambda reader: _segment(reader, name), _rows, format_, output)


def export_at_risk(settings: Settings, count: int, format_: Format, output: Path | None) -> int:
    """Write the score records of those most likely to churn, highest first; as `export_segment`.

    Parameters
    ----------
    settings, format_, output
        As of `export_segment`.
    count
        How many at most.
    """

    async def read(reader: CacheReader) -> AsyncIterator[Fields]:
        for record in await reader.at_risk(count):
            yield record

    return _export(settings, read, _rows, format_, output)


def export_recommendations(
    settings: Settings, segment: str | None, format_: Format, output: Path | None
) -> int:
    """Write the newest lists of a segment's customers, or of all; as `export_segment`.

    Parameters
    ----------
    settings, format_, output
        As of `export_segment`.
    segment
        Name of it; None for all.
    """

    async def read(reader: CacheReader) -> AsyncIterator[Fields]:
        for name in SEGMENTS if segment is None else (segment,):
            async for record in _segment(reader, name):
                found = await reader.customer(record["customer_id"])
                if found is not None and found["recommendations"]:
                    yield found["recommendations"]

    return _export(settings, read, _items, format_, output)


def _export(
    settings: Settings,
    read: Read,
    rows: Callable[[Fields], Iterator[Fields]],
    format_: Format,
    output: Path | None,
) -> int:
    with _opened(output) as out:
        count = asyncio.run(_write(settings, read, rows, format_, out))
    if not count:
        say("the cache holds nobody of these: does a worker with role cache run under this app?")
        return EXIT_FAILED
    if output is not None:
        say(f"{counted(count, 'customer')} to {output}")
    return 0


async def _write(
    settings: Settings,
    read: Read,
    rows: Callable[[Fields], Iterator[Fields]],
    format_: Format,
    out: TextIO,
) -> int:
    heads = CUSTOMER if rows is _rows else ITEM
    table, count = csv.DictWriter(out, heads, extrasaction="ignore"), 0
    async with connect(settings) as client:
        async for record in read(CacheReader(settings, client, retries=RETRIES)):
            if format_ == "jsonl":
                out.write(orjson.dumps(record).decode() + "\n")
            else:
                if not count:
                    table.writeheader()
                table.writerows(map(_harmless, rows(record)))
            count += 1
    return count


async def _segment(reader: CacheReader, name: str) -> AsyncIterator[Fields]:
    """Return each customer of a segment once."""
    cursor, seen = -1, set[str]()
    while cursor:
        page = await reader.segment(name, max(cursor, 0), 1000)
        for record in page.customers:
            if record["customer_id"] not in seen:
                seen.add(record["customer_id"])
                yield record
        cursor = page.cursor


def _harmless(row: Fields) -> Fields:
    """Keep text from being run: ids and names are whatever somebody sent.

    References
    ----------
    OWASP, CSV Injection: a quote before what spreadsheets take for a formula.
    """
    return {
        name: f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
        for name, cell in row.items()
    }


def _rows(record: Fields) -> Iterator[Fields]:
    consent = record.get("consent")
    yield record | {"consent": None if consent is None else " ".join(consent) or "none"}


def _items(record: Fields) -> Iterator[Fields]:
    for rank, item in enumerate(record["items"], 1):
        yield {**record, **item, "rank": rank, "reason": item["reason"]["text"]}


def _opened(output: Path | None) -> AbstractContextManager[TextIO]:
    if output is None or str(output) == "-":
        return nullcontext(sys.stdout)
    return output.open("w", encoding="utf-8", newline="")
