"""Load over the week: a clock that runs fast in busy hours and slow at night."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from crm_online.errors import ConfigurationError

__all__ = ["MONDAY", "WEEK", "WEEKLY_LOAD", "SeasonalClock"]

_HOUR = 3_600.0
_WEEK_HOURS = 168
WEEK = _WEEK_HOURS * _HOUR
MONDAY = 4 * 86_400.0  # 1970-01-05 was a Monday

_HOURS = (
    *(0.35, 0.2, 0.12, 0.1, 0.1, 0.18, 0.4, 0.7, 0.95, 1.1, 1.2, 1.25),
    *(1.35, 1.25, 1.15, 1.15, 1.2, 1.3, 1.5, 1.8, 2.0, 1.9, 1.4, 0.75),
)
_DAYS = (1.05, 1.0, 1.0, 1.05, 0.95, 0.85, 1.1)
WEEKLY_LOAD: tuple[float, ...] = tuple(day * hour for day in _DAYS for hour in _HOURS)
"""Relative load of the 168 hours of a week, from Monday 00:00 UTC."""


class SeasonalClock:
    """Calendar time to operational time and back.

    In operational time every process of the population is homogeneous; a Poisson process of
    rate 1 there has, in calendar time, the hourly load as its intensity (time rescaling). A week
    is as long in both.

    Parameters
    ----------
    load
        Relative load of 168 hours from Monday 00:00 UTC; only the ratios matter.

    Raises
    ------
    ConfigurationError
        Where there are not 168 positive figures.

    Examples
    --------
    >>> clock = SeasonalClock()
    >>> monday = 1704067200.0
    >>> clock.elapsed(monday, monday + 7 * 86400)
    604800.0

    References
    ----------
    E. Brown, R. Barbieri, V. Ventura, R. Kass, L. Frank, The time-rescaling theorem and its
    application to neural spike train data analysis, Neural Computation 14(2), 2002.
    """

    def __init__(self, load: Sequence[float] = WEEKLY_LOAD) -> None:
        if len(load) != _WEEK_HOURS or min(load) <= 0:
            raise ConfigurationError("the load needs 168 positive figures, one per hour")
        mean = sum(load) / _WEEK_HOURS
        self._speed = [each / mean for each in load]
        self._passed = [0.0, *accumulate(speed * _HOUR for speed in self._speed)]
        self._passed[-1] = WEEK

    def elapsed(self, start: float, end: float) -> float:
        """Operational seconds between two times in seconds since 1970."""
        return self._operational(end) - self._operational(start)

    def advance(self, at: float, operational_seconds: float) -> float:
        """Calendar time, that many operational seconds after `at`; seconds since 1970."""
        week, rest = divmod(self._operational(at) + operational_seconds, WEEK)
        hour = min(bisect_right(self._passed, rest), _WEEK_HOURS) - 1
        into = (rest - self._passed[hour]) / self._speed[hour]
        return MONDAY + week * WEEK + hour * _HOUR + into

    def _operational(self, at: float) -> float:
        week, rest = divmod(at - MONDAY, WEEK)
        hour = min(int(rest // _HOUR), _WEEK_HOURS - 1)
        return week * WEEK + self._passed[hour] + (rest - hour * _HOUR) * self._speed[hour]
