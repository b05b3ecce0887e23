"""The hidden lives of generated customers: when they visit, order, complain and leave."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from crm_online.simulation.catalogue import Catalogue
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import whole_milliseconds
from crm_online.simulation.season import SeasonalClock

__all__ = ["CONTENT", "EMAILS", "FAVOURITE_WEIGHTS", "LIFE", "Customer", "Lives", "Visit", "reseed"]

FAVOURITE_WEIGHTS = (0.65, 0.25, 0.1)
LIFE, CONTENT, EMAILS = range(3)
"""Streams of chance of one customer, so that no draw moves those of another kind."""
_DAY = 86_400.0
_SHORTEST_STEP, _MEAN_STEP, _LONGEST_STEP = 15.0, 35.0, 240.0


@dataclass(frozen=True, slots=True)
class Customer:
    """One hidden life.

    Parameters
    ----------
    number
        From 0, in order of arrival.
    user_id, anonymous_id
        Known by the first once identified, before that by the second.
    anonymous
        Anonymous until the first order.
    subscriber
        Gets e-mails once identified.
    open_share
        Probability to open an e-mail.
    born_at
        First visit, seconds since 1970.
    orders_per_day
        Rate of orders while alive.
    dropout
        Probability to leave after an order, before and after the drift.
    favourites
        Numbers of the favourite categories by `FAVOURITE_WEIGHTS`, before and after the drift.
    """

    number: int
    user_id: str
    anonymous_id: str
    anonymous: bool
    subscriber: bool
    open_share: float
    born_at: float
    orders_per_day: float
    dropout: tuple[float, float]
    favourites: tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit.

    Parameters
    ----------
    number
        From 0, per customer.
    start, end
        First and last moment, seconds since 1970; an order comes last.
    views
        How many items are viewed.
    orders
        Ends with an order.
    identified
        The customer was known before it.
    complaint_closed_at
        When the complaint about the order is closed; None without one.
    died_at
        When the customer is gone for good because of this visit; None if they stay.
    """

    number: int
    start: float
    end: float
    views: int
    orders: bool
    identified: bool
    complaint_closed_at: float | None
    died_at: float | None


class Lives:
    """Draws customers and their visits, each from a seed of its own.

    The process is BG/NBD (Fader, Hardie & Lee 2005) in operational time, from the first visit
    on: while alive a customer orders as a Poisson process with a Gamma rate, and leaves after any
    order with a Beta probability. Visits are a Poisson process, too, of which a share ends with
    an order (thinning). Added to it: a share of orders ends with a complaint, during which there
    are no visits, and after which some leave. From the drift on the odds to leave are higher.

    Parameters
    ----------
    settings
        Parameters of the processes.
    catalogue
        For favourite categories.
    season
        Operational time.
    rng
        Seeded anew at each draw, so that no draw depends on the order of the others.

    References
    ----------
    P. Fader, B. Hardie, K. L. Lee, "Counting your customers" the easy way: an alternative to the
    Pareto/NBD model, Marketing Science 24(2), 2005.
    """

    def __init__(
        self,
        settings: PopulationSettings,
        catalogue: Catalogue,
        season: SeasonalClock,
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._season = season
        self._rng = rng
        self._category_marks = list(accumulate(catalogue.category_weights))

    def customer(self, number: int) -> Customer:
        """Draw one customer; `number` counts from 0 in order of arrival."""
        settings, rng = self._settings, self._rng
        reseed(rng, settings.seed, number, LIFE, 0)
        rate = rng.gammavariate(settings.rate_shape, 1 / settings.rate_scale_days)
        leave = min(max(rng.betavariate(settings.dropout_a, settings.dropout_b), 1e-9), 1 - 1e-9)
        odds = leave / (1 - leave) * settings.drift_dropout_odds
        before = self._favourites()
        changes = rng.random() < settings.drift_customer_share
        return Customer(
            number=number,
            user_id=f"c{number:07d}",
            anonymous_id=f"a{number:07d}",
            anonymous=rng.random() < settings.anonymous_share,
            subscriber=rng.random() < settings.subscriber_share,
            open_share=rng.betavariate(2.0, 5.0),
            born_at=whole_milliseconds(self._born_at(number, rng.random())),
            orders_per_day=max(rate, 1e-6),
            dropout=(leave, odds / (1 + odds)),
            favourites=(before, self._favourites() if changes else before),
        )

    def visits(self, customer: Customer) -> Iterator[Visit]:
        """All visits of a customer until they leave or the history ends."""
        visit = self.next_visit(customer, None)
        while visit is not None:
            yield visit
            visit = self.next_visit(customer, visit)

    def next_visit(self, customer: Customer, last: Visit | None) -> Visit | None:
        """Draw the visit after `last`, None being before the first; None if there is none."""
        if last is not None and last.died_at is not None:
            return None
        number = last.number + 1 if last else 0
        reseed(self._rng, self._settings.seed, customer.number, LIFE, number + 1)
        start = self._visit_start(customer, last)
        if start >= self._settings.end:
            return None
        views, end = self._length(start)
        orders = self._rng.random() < 1 / self._settings.visits_per_order
        closed, died = self._consequences(customer, start, end) if orders else (None, None)
        known = last.identified or last.orders if last else not customer.anonymous
        return Visit(number, start, end, views, orders, known, closed, died)

    def drifted(self, at: float) -> bool:
        """Whether a visit that starts then follows the changed processes."""
        return at >= self._settings.drift_at

    def _born_at(self, number: int, chance: float) -> float:
        settings = self._settings
        ramp = min(7.0, settings.days / 2)
        initial = settings.initial_share * settings.customers
        place = number + chance
        if place < initial:
            day = place / initial * ramp
        else:
            day = ramp + (place - initial) / (settings.customers - initial) * (settings.days - ramp)
        return settings.start + day * _DAY

    def _favourites(self) -> tuple[int, ...]:
        marks = self._category_marks
        drawn = (bisect_right(marks, self._rng.random()) for _ in FAVOURITE_WEIGHTS)
        return tuple(min(category, len(marks) - 1) for category in drawn)

    def _visit_start(self, customer: Customer, last: Visit | None) -> float:
        if last is None:
            return customer.born_at
        resumes = last.complaint_closed_at or last.end
        rate = customer.orders_per_day * self._settings.visits_per_order / _DAY
        return whole_milliseconds(self._season.advance(resumes, self._rng.expovariate(rate)))

    def _length(self, start: float) -> tuple[int, float]:
        rng, again = self._rng, self._settings.another_view
        views = 1 + (int(math.log(1 - rng.random()) / math.log(again)) if again else 0)
        step = min(_SHORTEST_STEP + rng.expovariate(1 / _MEAN_STEP), _LONGEST_STEP)
        return views, whole_milliseconds(start + (views + 1) * step)

    def _consequences(
        self, customer: Customer, start: float, end: float
    ) -> tuple[float | None, float | None]:
        rng, settings = self._rng, self._settings
        if rng.random() < customer.dropout[self.drifted(start)]:
            return None, end
        if rng.random() >= settings.complaint_share:
            return None, None
        closed = whole_milliseconds(end + rng.uniform(1.0, 4.0) * _DAY)
        return closed, closed if rng.random() < settings.complaint_dropout else None


def reseed(rng: random.Random, seed: int, customer: int, stream: int, draw: int) -> None:
    """Put a generator at the beginning of one draw of one stream of one customer.

    Parameters
    ----------
    rng
        The generator.
    seed
        Of the population.
    customer, draw
        Numbers from 0, below 2 to the 32nd.
    stream
        `LIFE`, `CONTENT` or `EMAILS`.
    """
    rng.seed((((seed << 32) + customer << 2) + stream << 32) + draw)
