"""Cells of a table as times, amounts and ids; anything else is rejected with a reason."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from crm_online.errors import EventRejected
from crm_online.simulation.raw import is_time, whole_milliseconds
from crm_online.simulation.source import Row

__all__ = ["DAY_BEFORE_MONTH", "amount", "identifier", "row_id", "time_of", "whole_number"]

_MILLISECONDS_FROM = 1e11  # As seconds that is the year 5138, as milliseconds 1973
_BASIC_DATE = 8
_MAX_ID = 100
_OTHER_TIMES = ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%y %H:%M", "%m/%d/%Y")
_DAY_FIRST = tuple(pattern.replace("%m/%d", "%d/%m") for pattern in _OTHER_TIMES)
DAY_BEFORE_MONTH = "day-before-month"


@lru_cache(maxsize=4096)
def time_of(text: str) -> float:
    """Read a time; times without a zone are UTC.

    Parameters
    ----------
    text
        ISO 8601 (``T`` or blank between date and time; ``UTC`` behind it is accepted), a date,
        ``month/day/year hour:minute``, or seconds or milliseconds since 1970.

    Returns
    -------
    float
        Seconds since 1970 UTC, to the millisecond.

    Raises
    ------
    EventRejected
        ``bad-time``; ``day-before-month`` where it makes sense with the day first only: then others
        of its table are read wrongly, month first.

    Examples
    --------
    >>> time_of("2010-12-01 08:26:00") == time_of("12/1/2010 8:26") == time_of("1291191960")
    True
    """
    text = text.strip().removesuffix("UTC").rstrip()
    at = _parsed(text)
    if at is None and _strptime(text, _DAY_FIRST) is not None:
        raise EventRejected(DAY_BEFORE_MONTH, "a time with the day before the month")
    if at is None or not is_time(at):
        raise EventRejected("bad-time", "a time that cannot be read")
    return whole_milliseconds(at)


def amount(text: str) -> Decimal:
    """Read an amount of money exactly.

    Raises
    ------
    EventRejected
        ``bad-amount`` where it is no finite number, or beyond 10¹².
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise EventRejected("bad-amount", "an amount that is no number") from None
    if not value.is_finite() or abs(value) > 10**12:
        raise EventRejected("bad-amount", "an amount that is no number")
    return value


def whole_number(text: str) -> int:
    """Read a quantity.

    Raises
    ------
    EventRejected
        ``bad-quantity`` where it is no whole number, or beyond 10⁶.
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise EventRejected("bad-quantity", "a quantity that is no whole number") from None
    if not value.is_finite() or abs(value) > 10**6 or value != int(value):
        raise EventRejected("bad-quantity", "a quantity that is no whole number")
    return int(value)


def identifier(text: str, name: str) -> str:
    """Read an id.

    Parameters
    ----------
    text
        The cell; a number that a spreadsheet turned into ``17850.0`` is ``17850`` again.
    name
        What it identifies, for the reason.

    Raises
    ------
    EventRejected
        ``no-<name>`` where it is blank, ``bad-<name>`` where it is over 100 characters or has
        control characters.
    """
    text = text.strip()
    if text.endswith(".0") and text[:-2].isdecimal():
        text = text[:-2]
    if not text:
        raise EventRejected(f"no-{name}", f"the row names no {name}")
    if len(text) > _MAX_ID or not text.isprintable():
        raise EventRejected(f"bad-{name}", f"the {name} is too long or unprintable")
    return text


def row_id(prefix: str, row: Row) -> str:
    """Message id of a row that has none of its own: a function of its place and content.

    Examples
    --------
    >>> row_id("clicks", Row(2, ("a", "b")))
    'clicks-2-d8b276ef'
    """
    content = "\x1f".join(row.cells).encode(errors="surrogateescape")
    return f"{prefix}-{row.line}-{zlib.crc32(content):08x}"


def _parsed(text: str) -> float | None:
    try:
        if len(text) != _BASIC_DATE or not text.isdecimal():
            number = float(text)
            return number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
    except ValueError:
        pass
    try:
        return _seconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        pass
    return _strptime(text, _OTHER_TIMES)


def _strptime(text: str, patterns: Iterable[str]) -> float | None:
    for pattern in patterns:
        with suppress(ValueError):
            return _seconds(datetime.strptime(text, pattern).replace(tzinfo=UTC))
    return None


def _seconds(time: datetime) -> float:
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
