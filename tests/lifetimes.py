"""Customers who come and go: each is active for some days, and never again."""

from __future__ import annotations

from collections.abc import Iterator

from crm_online.simulation.raw import RawEvent
from tests.builders import START, order_completed, product_viewed

__all__ = ["STAY_DAYS", "lifetimes"]

DAY = 86_400.0
STAY_DAYS = 6
ITEMS = 40


def lifetimes(first_day: int, days: int, newcomers: int) -> Iterator[RawEvent]:
    """Return the events of some days, in order of time.

    Parameters
    ----------
    first_day, days
        Since the first customer came; consecutive calls make one history.
    newcomers
        Customers who come each day.
    """
    for day in range(first_day, first_day + days):
        for age in range(min(STAY_DAYS, day + 1)):
            for number in range(newcomers):
                at = START + day * DAY + 1000.0 * age + number
                name, item = f"c{day - age}-{number}", f"p{(number + day) % ITEMS}"
                make = order_completed if age == STAY_DAYS - 1 else product_viewed
                yield RawEvent(at, name, make(item, user=name, at=at))
