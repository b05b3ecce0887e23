"""When events happened, and how far they came out of order."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Final

from crm_online.cloudevents import utc
from crm_online.profiling.report import Gap, Lateness

__all__ = ["Times"]

HOUR: Final = 3600.0
DAY: Final = 86_400.0
GAPS: Final = 5
SHORTEST_GAP_HOURS: Final = 24
WITHIN: Final = {
    "1 minute": 60.0,
    "1 hour": HOUR,
    "1 day": DAY,
    "7 days": 7 * DAY,
    "30 days": 30 * DAY,
    "longer": float("inf"),
}


class Times:
    """Takes note of event times in the order in which they stand.

    Examples
    --------
    >>> times = Times()
    >>> for at in (0.0, 7200.0, 3600.0, 7 * 86400.0): times.see(0, at)
    >>> times.lateness().within["1 hour"], [gap.hours for gap in times.gaps()]
    (1, [165])
    """

    def __init__(self) -> None:
        self._hours: Counter[int] = Counter()
        self._newest: dict[int, float] = {}
        self._late: Counter[str] = Counter()
        self._worst = 0.0

    def see(self, partition: int, at: float) -> None:
        """Take one event time, seconds since 1970; each partition has an order of its own."""
        self._hours[int(at // HOUR)] += 1
        newest = self._newest.get(partition, at)
        self._newest[partition] = max(newest, at)
        behind = newest - at
        if behind > 0.0:
            self._worst = max(self._worst, behind)
            self._late[next(name for name, most in WITHIN.items() if behind <= most)] += 1

    def lateness(self) -> Lateness:
        """Return how late events were."""
        within = {name: self._late[name] for name in WITHIN}
        return Lateness(sum(within.values()), within, self._worst / DAY)

    def gaps(self) -> list[Gap]:
        """Return the longest times without any event, the longest first."""
        hours = sorted(self._hours)
        found = [
            Gap(_at(before + 1), _at(after), after - before - 1)
            for before, after in itertools.pairwise(hours)
            if after - before > SHORTEST_GAP_HOURS
        ]
        return sorted(found, key=lambda gap: -gap.hours)[:GAPS]

    def days(self) -> dict[str, int]:
        """Return events by day, UTC, with the days that had none."""
        counts: Counter[date] = Counter()
        for hour, count in self._hours.items():
            counts[_at(hour).date()] += count
        if not counts:
            return {}
        first, last = min(counts), max(counts)
        whole = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return {day.isoformat(): counts[day] for day in whole}

    def by_hour(self) -> list[int]:
        """Return events by hour of the day, UTC."""
        counts = [0] * 24
        for hour, count in self._hours.items():
            counts[hour % 24] += count
        return counts


def _at(hour: int) -> datetime:
    return utc(hour * HOUR)
