"""The customer's own clock: calendar days and quiet hours, daylight-saving days included."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["is_quiet", "local_day", "quiet_until", "zone_of"]


@lru_cache(maxsize=1024)
def zone_of(name: str, default: str) -> ZoneInfo:
    """Return a time zone; the default where there is none of that name.

    Examples
    --------
    >>> zone_of("Europe/Berlin", "UTC"), zone_of("Middle/Earth", "UTC"), zone_of("", "UTC")
    (zoneinfo.ZoneInfo(key='Europe/Berlin'), zoneinfo.ZoneInfo(key='UTC'),
     zoneinfo.ZoneInfo(key='UTC'))
    """
    try:
        return ZoneInfo(name or default)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(default)


def local_day(at: float, zone: ZoneInfo) -> date:
    """Return the calendar day of an instant.

    Examples
    --------
    >>> local_day(1_711_843_200.0, ZoneInfo("America/New_York"))
    datetime.date(2024, 3, 30)
    """
    return datetime.fromtimestamp(at, zone).date()


def is_quiet(at: float, zone: ZoneInfo, begin: time, end: time) -> bool:
    """Tell whether the clock stands within quiet hours; their end is out of them.

    Examples
    --------
    >>> is_quiet(1_711_843_200.0, ZoneInfo("UTC"), time(21), time(8))  # midnight
    True
    """
    now = datetime.fromtimestamp(at, zone).time()
    return begin <= now < end if begin < end else now >= begin or now < end


def quiet_until(at: float, zone: ZoneInfo, begin: time, end: time) -> float:
    """Return the end of the quiet hours that an instant lies in, seconds; `at` outside of them.

    An end that the clock skips comes when the skip does; of one that comes twice the next counts.

    Examples
    --------
    >>> berlin = ZoneInfo("Europe/Berlin")  # whose clock skips from 2:00 to 3:00 on 31 March 2024
    >>> until = quiet_until(1_711_843_200.0, berlin, time(21), time(2, 30))
    >>> datetime.fromtimestamp(until, berlin).isoformat()
    '2024-03-31T03:30:00+02:00'
    """
    found = at
    while is_quiet(found, zone, begin, end):
        found = _next(found, zone, end)
    return found


def _next(at: float, zone: ZoneInfo, clock: time) -> float:
    """Return the first instant after `at` at which the clock shows a time of day."""
    today = datetime.fromtimestamp(at, zone).date()
    shown = (
        datetime.combine(today + timedelta(days), clock, zone).replace(fold=fold).timestamp()
        for days in (0, 1, 2)
        for fold in (0, 1)
    )
    return min(each for each in shown if each > at)
