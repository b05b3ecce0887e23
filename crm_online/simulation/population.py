"""A generated population: customers with known truth, and their events in order of time."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from crm_online.errors import ConfigurationError
from crm_online.simulation.catalogue import Catalogue
from crm_online.simulation.life import Customer, Lives, Visit
from crm_online.simulation.mailing import Mailing
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.season import SeasonalClock
from crm_online.simulation.truth import OrderValues, Truth, expected_spend, truth_of
from crm_online.simulation.visiting import VisitWriter

__all__ = ["Population"]

_VISIT, _EMAIL = range(2)


class Population:
    """Seeded customers of a shop, with all that is hidden about them at hand.

    Customers order and leave as in the BG/NBD model (`Lives`), view items by taste, popularity
    and item-to-item transitions (`Catalogue`), follow the load of the week (`SeasonalClock`),
    get e-mails, complain, and change at the drift. Those who begin as anonymous visitors send an
    ``identify`` with both ids at their first order.

    Parameters
    ----------
    settings
        All parameters; the defaults give about 400,000 events in a year.
    season
        The load over the week.

    Examples
    --------
    >>> population = Population(PopulationSettings(customers=20, days=30.0))
    >>> event = next(population.events())
    >>> population.alive_at(event.customer, event.at)
    True

    References
    ----------
    P. Fader, B. Hardie, K. L. Lee, "Counting your customers" the easy way: an alternative to the
    Pareto/NBD model, Marketing Science 24(2), 2005.
    """

    def __init__(
        self, settings: PopulationSettings | None = None, season: SeasonalClock | None = None
    ) -> None:
        self.settings = settings or PopulationSettings()
        self.season = season or SeasonalClock()
        self.catalogue = Catalogue(self.settings, random.Random(self.settings.seed))
        self._lives = Lives(self.settings, self.catalogue, self.season, random.Random(0))
        self._values = OrderValues(self.settings, self.catalogue)
        self._truths: dict[int, Truth] = {}

    def events(self) -> Iterator[RawEvent]:
        """All events in order of time, generated as they are asked for.

        Memory holds customers who are alive and what is pending of them, not the history. Each
        call begins anew and gives the same events.
        """
        return _Timeline(self.settings, self.catalogue, self.season).events()

    def customers(self) -> Iterator[str]:
        """User ids of all customers, in order of arrival, whether they ever get identified."""
        return (self._lives.customer(n).user_id for n in range(self.settings.customers))

    def truth(self, customer: str) -> Truth:
        """Return the truth about one customer, drawn apart from any events.

        Parameters
        ----------
        customer
            User id or anonymous id.

        Raises
        ------
        ConfigurationError
            Where the population has no such customer.
        """
        number = self._number(customer)
        if number not in self._truths:
            self._truths[number] = self._drawn_truth(number)
        return self._truths[number]

    def alive_at(self, customer: str, at: float) -> bool:
        """Whether a customer has arrived by `at` (seconds since 1970) and not yet left."""
        return self.truth(customer).alive_at(at)

    def expected_spend(self, customer: str, at: float, days: float) -> float:
        """Return what orders of the next `days` are expected to bring, in the currency."""
        truth = self.truth(customer)
        return expected_spend(truth, self.season, self.settings.drift_at, at, days)

    def _number(self, customer: str) -> int:
        digits = customer[1:]
        if customer[:1] not in {"c", "a"} or not digits.isdecimal():
            raise ConfigurationError("the population has no customer of this id")
        if int(digits) >= self.settings.customers:
            raise ConfigurationError("the population has fewer customers than that")
        return int(digits)

    def _drawn_truth(self, number: int) -> Truth:
        customer = self._lives.customer(number)
        died = None
        for visit in self._lives.visits(customer):
            died = visit.died_at
        if died is not None and died >= self.settings.end:
            died = None
        return truth_of(customer, died, self.settings, self.catalogue, self._values)


@dataclass(slots=True, eq=False)
class _Present:
    """A customer who has arrived, with what comes next; no event after `died_at` goes out."""

    customer: Customer
    visit: Visit
    emails: int = 0
    died_at: float = math.inf


class _Timeline:
    """Merges the visits and e-mails of all customers into one stream."""

    def __init__(
        self, settings: PopulationSettings, catalogue: Catalogue, season: SeasonalClock
    ) -> None:
        rng = random.Random(0)
        self._settings = settings
        self._lives = Lives(settings, catalogue, season, rng)
        self._visiting = VisitWriter(settings, catalogue, rng)
        self._mailing = Mailing(settings, season, rng)
        self._occasions: list[tuple[float, int, int, _Present]] = []
        self._pending: list[tuple[float, int, RawEvent, _Present]] = []
        self._written = 0

    def events(self) -> Iterator[RawEvent]:
        self._arrive(0)
        while self._occasions:
            at, _, kind, present = heapq.heappop(self._occasions)
            yield from self._due(at)
            if kind == _VISIT:
                self._visit(present)
            else:
                self._email(present, at)
        yield from self._due(math.inf)

    def _due(self, until: float) -> Iterator[RawEvent]:
        pending, end = self._pending, self._settings.end
        while pending and pending[0][0] <= until:
            at, _, event, present = heapq.heappop(pending)
            if at <= present.died_at and at < end:
                yield event

    def _arrive(self, number: int) -> None:
        # Customers are numbered by arrival, so one in waiting is enough.
        if number < self._settings.customers:
            customer = self._lives.customer(number)
            first = self._lives.next_visit(customer, None)
            if first is not None:
                self._expect(first.start, _VISIT, _Present(customer, first))

    def _visit(self, present: _Present) -> None:
        visit, customer = present.visit, present.customer
        if visit.number == 0:
            self._arrive(customer.number + 1)
        self._write(self._visiting.events(customer, visit), present)
        if visit.died_at is not None:
            present.died_at = visit.died_at
        if not present.emails and (visit.identified or visit.orders):
            self._expect_email(present, visit.end)
        following = self._lives.next_visit(customer, visit)
        if following is not None:
            present.visit = following
            self._expect(following.start, _VISIT, present)

    def _email(self, present: _Present, at: float) -> None:
        if at <= present.died_at:
            self._write(self._mailing.events(present.customer, present.emails, at), present)
            self._expect_email(present, at)

    def _expect_email(self, present: _Present, after: float) -> None:
        present.emails += 1
        at = self._mailing.next_at(present.customer, present.emails, after)
        if at is not None:
            self._expect(at, _EMAIL, present)

    def _expect(self, at: float, kind: int, present: _Present) -> None:
        heapq.heappush(self._occasions, (at, present.customer.number, kind, present))

    def _write(self, events: list[RawEvent], present: _Present) -> None:
        for event in events:
            self._written += 1
            heapq.heappush(self._pending, (event.at, self._written, event, present))
