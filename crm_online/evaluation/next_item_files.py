"""Clicks of sessions out of a table: session, item, and a time or an order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from crm_online.errors import ConfigurationError, CrmOnlineError, EventRejected
from crm_online.scores import Interaction
from crm_online.simulation.cells import identifier, time_of
from crm_online.simulation.source import Row, Source

__all__ = ["read_clicks"]

SESSION: Final = ("session", "session_id", "sessionid", "sid")
ITEM: Final = ("item", "item_id", "itemid", "product", "product_id")
TIME: Final = ("time", "timestamp", "at", "event_time", "datetime", "date", "eventdate", "ts")
ORDER: Final = ("order", "pos", "position", "index", "rank", "step", "timeframe")
_WHAT: Final = ("session", "item", "time")


class _Click(NamedTuple):
    session: str
    item: str
    at: float


def read_clicks(path: Path, part: str) -> list[Interaction]:
    """Read a table of clicks, and put them in the order in which they are to be learned.

    Times order the clicks of all sessions. Without them an order does, where it numbers the
    whole file; where it begins anew in each session, sessions follow one another as the file has
    them. Equals stay in the order of the file.

    Parameters
    ----------
    path
        Its first line names the columns: a session, an item, and a time or an order, under
        their usual names (``session_id``, ``SessionId`` …); by tab, comma or semicolon; ``.gz``
        is unpacked on the way.
    part
        Keeps sessions of two files apart that have the same name.

    Raises
    ------
    ConfigurationError
        Where there is no such file, or a column is missing.
    CrmOnlineError
        Where a row cannot be read; the message names its line.

    Returns
    -------
    Each session as a customer of its own, in their first session.
    """
    source = Source(path)
    clicks, timed = _read(source)
    if source.skipped:
        reason, lines = next(iter(source.examples.items()))
        raise CrmOnlineError(
            f"{path}, line {lines[0]}: {reason}; mend or remove that line and start again"
        )
    if not clicks:
        raise CrmOnlineError(f"{path} holds no clicks; name another file")
    return [
        Interaction(place, 0, f"{part}-{click.session}", 1, click.item, "Product Viewed", click.at)
        for place, click in enumerate(_in_order(clicks, timed=timed))
    ]


def _read(source: Source) -> tuple[list[_Click], bool]:
    """Read all rows; tells whether they have times."""
    rows = source.table((SESSION, ITEM), (TIME, ORDER))
    clicks: list[_Click] = []
    timed = True
    for row in rows:
        if not clicks:
            timed = bool(row.cells[2].strip())
            if not timed and not row.cells[3].strip():
                raise ConfigurationError(
                    f"{source.path}, line {row.line}: neither a time nor an order; name a column "
                    f"{TIME[0]!r} or {ORDER[0]!r}"
                )
        clicks.append(_click(source.path, row, timed=timed))
    return clicks, timed


def _click(path: Path, row: Row, *, timed: bool) -> _Click:
    session, item, time, order = row.cells
    try:
        named = identifier(session, "session"), identifier(item, "item")
        return _Click(*named, time_of(time) if timed else _number(order))
    except EventRejected as bad:
        what = bad.reason.partition("-")[2]
        cell = dict(zip(("session", "item", "time"), (session, item, time), strict=True)).get(what)
        raise CrmOnlineError(
            f"{path}, line {row.line}, column {what}: {bad.message} ({(cell or order)[:40]!r}); "
            "mend or remove that line and start again"
        ) from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):  # nothing sorts by "nan"
        raise EventRejected("bad-order", "an order that is no number")
    return number


def _in_order(clicks: list[_Click], *, timed: bool) -> Iterator[_Click]:
    if timed or len({click.at for click in clicks}) == len(clicks):
        yield from sorted(clicks, key=_at)
        return
    sessions: dict[str, list[_Click]] = {}
    for click in clicks:
        sessions.setdefault(click.session, []).append(click)
    for session in sessions.values():
        yield from sorted(session, key=_at)


def _at(click: _Click) -> float:
    return click.at
