"""The seeded stream that a run feeds: a population, with repeats and events that come late."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count, islice
from random import Random
from typing import Final

from crm_online.customers.state import DAY
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent

__all__ = ["stream"]

DAYS: Final = 120.0
EVENTS_PER_CUSTOMER: Final = 60.0  # within those days
REPEATED: Final = 0.02
LATE: Final = 0.03
TOO_LATE: Final = 0.002
HOUR: Final = 3600.0


def stream(events: int, seed: int, days: float = DAYS) -> Iterator[RawEvent]:
    """Generate so many valid events in the order in which they are sent.

    Some are sent twice, most of those within the 24 hours in which a ``messageId`` is
    remembered; some come late, and a few later than is allowed.

    Parameters
    ----------
    events
        How many.
    seed
        Equal arguments give equal events to the byte.
    days
        Of event time; they may end earlier.

    Examples
    --------
    >>> first = list(stream(500, seed=1))
    >>> len(first), first == list(stream(500, seed=1))
    (500, True)
    """
    customers = max(20, round(events / EVENTS_PER_CUSTOMER * DAYS / days))
    # Longer than needed, as a population may be quieter than most.
    settings = PopulationSettings(customers=customers, days=3.0 * days, seed=seed, items=300)
    return islice(_disordered(Population(settings).events(), Random(seed)), events)  # noqa: S311


def _disordered(events: Iterator[RawEvent], random: Random) -> Iterator[RawEvent]:
    held: list[tuple[float, int, RawEvent]] = []
    number = count()
    for event in events:
        while held and held[0][0] <= event.at:
            yield heapq.heappop(held)[2]
        drawn = random.random()
        if drawn < TOO_LATE:
            wait = random.uniform(7.5, 12.0) * DAY
        elif drawn < TOO_LATE + LATE:
            wait = random.expovariate(1.0 / (4.0 * HOUR))
        else:
            yield event
            if drawn < 1.0 - REPEATED:
                continue
            wait = random.expovariate(1.0 / (6.0 * HOUR))
        heapq.heappush(held, (event.at + wait, next(number), event))
