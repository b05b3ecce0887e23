"""Which generated population resembles a history: its parameters, and no customer of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import log
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

from crm_online.errors import ConfigurationError
from crm_online.events import CustomerEvent
from crm_online.kinds import ACTIVITY, KIND, ORDER
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.season import MONDAY, WEEK, SeasonalClock

__all__ = ["Likeness"]

DAY: Final = 86_400.0
VISIT_GAP: Final = 1_800.0
FEWEST: Final = 20  # customers who came again: with fewer, rates stay at their defaults
MOST: Final = 20_000  # customers that rates are fitted on
RARE: Final = 3  # an item seen less often says nothing of popularity
SMOOTHING: Final = 0.1  # of the mean hour, on each hour of the week
VIEWED: Final = KIND["Product Viewed"]
ADDED: Final = KIND["Product Added"]
EMAIL: Final = KIND["Email Delivered"]
TICKET: Final = KIND["Ticket Opened"]

Facts = NDArray[np.float64]


@dataclass(slots=True)
class _Past:
    """One customer so far, and the visit that is open."""

    first: float
    last: float
    known: bool
    was_anonymous: bool
    again: int = 0  # orders behind the first visit
    last_order: float = 0.0
    emails: int = 0
    first_email: float = 0.0
    last_email: float = 0.0
    views: int = 0  # of the open visit
    adds: int = 0
    orders: int = 0


class Likeness:
    """Takes note of a history, and says which population resembles it.

    Orders and leaving are fitted as BG/NBD by maximum likelihood, the rest by shares and means.
    What a history does not say keeps its default: which item follows which, how many leave
    after a complaint, what changes at the drift (there is none).

    Examples
    --------
    >>> from crm_online.events import parse_event
    >>> from crm_online.simulation.population import Population
    >>> likeness = Likeness()
    >>> for raw in Population(PopulationSettings(customers=80, days=60.0)).events():
    ...     likeness.see(parse_event(raw.value, raw.at, 32768, 300.0))
    >>> likeness.settings(seed=7).customers
    80
    """

    def __init__(self) -> None:
        self._pasts: dict[str, _Past] = {}
        self._first, self._last = float("inf"), float("-inf")
        self._hours = np.zeros(168)
        self._items: dict[str, str] = {}  # to its category
        self._prices: dict[str, float] = {}
        self._fresh: Counter[str] = Counter()  # items that visits began with
        self._bought: Counter[str] = Counter()
        self._visits = self._viewing = self._views = self._lines = 0
        self._with_order = [0, 0, 0]  # visits, views, adds
        self._without = [0, 0, 0]
        self._orders = self._tickets = 0

    def see(self, event: CustomerEvent) -> None:
        """Take one event; in order of time."""
        self._first, self._last = min(self._first, event.at), max(self._last, event.at)
        past = self._past(event)
        self._see_items(event, past)
        self._tickets += event.kind == TICKET
        if event.kind == EMAIL:
            past.first_email = past.first_email or event.at
            past.last_email = event.at
            past.emails += 1
        elif event.kind in ACTIVITY:
            self._hours[int((event.at - MONDAY) % WEEK // 3_600.0)] += 1.0
            self._act(past, event)

    def _past(self, event: CustomerEvent) -> _Past:
        past = self._pasts.get(event.customer)
        if past is None and event.known and event.anonymous_id:
            past = self._pasts.pop(event.anonymous_id, None)  # who becomes known now
            if past is not None:
                self._pasts[event.customer] = past
        if past is None:
            past = _Past(event.at, event.at, event.known, not event.known)
            self._pasts[event.customer] = past
        past.known = past.known or event.known
        return past

    def _see_items(self, event: CustomerEvent, past: _Past) -> None:
        for item in event.items:
            self._items.setdefault(item.product_id, item.category)
            if item.price > 0:
                self._prices.setdefault(item.product_id, log(item.price / 100.0))
        if event.kind == VIEWED and event.items and not past.views:
            self._fresh[event.items[0].product_id] += 1
        if event.kind == ORDER:
            self._bought.update(item.product_id for item in event.items)

    def _act(self, past: _Past, event: CustomerEvent) -> None:
        if event.at - past.last > VISIT_GAP:
            self._close(past)
        past.last = event.at
        past.views += event.kind == VIEWED
        past.adds += event.kind == ADDED
        if event.kind == ORDER:
            self._orders += 1
            self._lines += len(event.items)
            past.orders += 1
            if event.at - past.first > VISIT_GAP:
                past.again += 1
                past.last_order = event.at

    def _close(self, past: _Past) -> None:
        self._visits += 1
        self._viewing += past.views > 0
        self._views += past.views
        sums = self._with_order if past.orders else self._without
        for place, count in enumerate((1, past.views, past.adds)):
            sums[place] += count
        past.views = past.adds = past.orders = 0

    def settings(
        self, *, seed: int, customers: int | None = None, days: float | None = None
    ) -> PopulationSettings:
        """Return the parameters.

        Parameters
        ----------
        seed
            Of the population.
        customers, days
            Size and length; those of the history by default.

        Raises
        ------
        ConfigurationError
            Where the history is shorter than a day, or nobody is in it.
        """
        if not self._pasts or self._last - self._first < DAY:
            raise ConfigurationError("a history of a day or more is needed to be like it")
        for past in self._pasts.values():
            self._close(past)
        span = (self._last - self._first) / DAY
        length = span if days is None else days
        found: dict[str, Any] = {
            "seed": seed,
            "customers": customers or len(self._pasts),
            "start": self._first // DAY * DAY,
            "days": length,
            "drift_day": length,
        }
        parts = (self._arrivals(span), self._rates(), self._browsing(), self._range(), self._mail())
        for part in parts:
            found |= part
        return PopulationSettings(**found)

    def season(self) -> SeasonalClock:
        """Return the load of the week."""
        return SeasonalClock((self._hours + SMOOTHING * self._hours.mean() + 1e-9).tolist())

    def _arrivals(self, span: float) -> dict[str, Any]:
        pasts = self._pasts.values()
        week = min(7.0 / span, 1.0)
        soon = sum(past.first < self._first + WEEK for past in pasts) / len(pasts)
        evenly = soon if week == 1.0 else (soon - week) / (1.0 - week)
        anonymous = sum(past.was_anonymous for past in pasts) / len(pasts)
        return {"initial_share": _share(evenly), "anonymous_share": _share(anonymous)}

    def _rates(self) -> dict[str, Any]:
        facts = np.array(
            [
                (p.again, max(p.last_order - p.first, 0.0) / DAY, (self._last - p.first) / DAY)
                for p in list(self._pasts.values())[:MOST]
            ]
        )
        facts = facts[facts[:, 2] > 0.0]
        if np.count_nonzero(facts[:, 0]) < FEWEST:
            return {}
        start = PopulationSettings()
        guess = (start.rate_shape, start.rate_scale_days, start.dropout_a, start.dropout_b)
        best = minimize(_deviance, np.log(guess), (facts,), "Nelder-Mead", options={"maxiter": 800})
        names = ("rate_shape", "rate_scale_days", "dropout_a", "dropout_b")
        return dict(zip(names, np.exp(np.clip(best.x, -4.6, 9.2)).tolist(), strict=True))

    def _browsing(self) -> dict[str, Any]:
        orders = max(self._orders, 1)
        found: dict[str, Any] = {
            "visits_per_order": max(self._visits / orders, 1.0),
            "complaint_share": _share(self._tickets / orders),
        }
        if not self._viewing:  # an order is all there is: its lines are what was viewed
            lines = max(self._lines / orders, 1.0)
            return found | {"another_view": min(1.0 - 1.0 / lines, 0.99), "add_in_orders": 1.0}
        found["another_view"] = min(1.0 - self._viewing / self._views, 0.99)
        visits, views, adds = self._with_order
        if views > visits:  # the last view before an order is always bought
            found["add_in_orders"] = _share((adds - visits) / (views - visits))
        if self._without[1]:
            found["add_in_visits"] = _share(self._without[2] / self._without[1])
        return found

    def _range(self) -> dict[str, Any]:
        if not self._items:
            return {}
        items = max(len(self._items), 4)
        categories = len(set(self._items.values()) - {""})
        found: dict[str, Any] = {
            "items": items,
            "categories": min(max(categories, 1), items // 2),
        }
        if self._prices:
            found["price_log_mean"] = float(np.mean(list(self._prices.values())))
        exponent = self._exponent(self._fresh or self._bought)
        return found if exponent is None else found | {"popularity_exponent": exponent}

    def _exponent(self, seen: Counter[str]) -> float | None:
        """Regress logarithms of counts on those of ranks, within categories."""
        shelves: dict[str, list[int]] = {}
        for item, count in seen.items():
            if count >= RARE:
                shelves.setdefault(self._items.get(item, ""), []).append(count)
        ranks, counts = list[float](), list[float]()
        for shelf in shelves.values():
            places = np.log(np.arange(1, len(shelf) + 1))
            heights = np.log(sorted(shelf, reverse=True))
            ranks += (places - places.mean()).tolist()
            counts += (heights - heights.mean()).tolist()
        spread = float(np.dot(ranks, ranks))
        if not spread:
            return None
        return float(np.clip(-np.dot(ranks, counts) / spread, 0.05, 2.5))

    def _mail(self) -> dict[str, Any]:
        pasts = [past for past in self._pasts.values() if past.known]
        subscribers = [past for past in pasts if past.emails]
        days = sum(past.last_email - past.first_email for past in subscribers) / DAY
        more = sum(past.emails - 1 for past in subscribers)
        return {
            "subscriber_share": len(subscribers) / max(len(pasts), 1),
            "emails_per_day": more / days if days else 0.0,
        }


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _deviance(parameters: Facts, facts: Facts) -> float:
    """Return the negative log likelihood of BG/NBD, parameters as logarithms.

    References
    ----------
    P. Fader, B. Hardie, K. L. Lee, "Counting your customers" the easy way: an alternative to the
    Pareto/NBD model, Marketing Science 24(2), 2005, equation 6.
    """
    r, alpha, a, b = np.exp(np.clip(parameters, -4.6, 9.2))
    x, last, length = facts.T
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stay = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    alive = -(r + x) * np.log(alpha + length)
    gone = np.log(a) - np.log(b + np.maximum(x, 1.0) - 1.0) - (r + x) * np.log(alpha + last)
    either = np.where(x > 0.0, np.logaddexp(alive, gone), alive)
    return -float(np.sum(rate + stay + either))
