"""What is true of generated customers but hidden from every model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from crm_online.simulation.catalogue import SUCCESSOR_WEIGHTS, Catalogue
from crm_online.simulation.life import FAVOURITE_WEIGHTS, Customer
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.season import SeasonalClock

__all__ = ["MEAN_QUANTITY", "QUANTITIES", "OrderValues", "Truth", "expected_spend", "truth_of"]

QUANTITIES = ((1, 0.75), (2, 0.17), (3, 0.05), (6, 0.03))
"""Units of one item in an order, with their probabilities."""
MEAN_QUANTITY = sum(units * share for units, share in QUANTITIES)
_DAY = 86_400.0
_PRECISION = 1e-9


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth about one customer.

    Parameters
    ----------
    user_id, anonymous_id
        The customer's ids; events before identification carry the second.
    born_at
        First visit, seconds since 1970.
    died_at
        Their last event, seconds since 1970; None where they outlive the history.
    orders_per_day
        Rate of orders while alive.
    dropout
        Probability to leave at an order, complaints included, before and after the drift.
    order_value
        Expected value of an order in units of the currency, before and after the drift.
    favourites
        Favourite categories, most loved first, before and after the drift.
    """

    user_id: str
    anonymous_id: str
    born_at: float
    died_at: float | None
    orders_per_day: float
    dropout: tuple[float, float]
    order_value: tuple[float, float]
    favourites: tuple[tuple[str, ...], tuple[str, ...]]

    def alive_at(self, at: float) -> bool:
        """Whether they have arrived and there may be more events after `at`."""
        return self.born_at <= at and (self.died_at is None or at < self.died_at)


class OrderValues:
    """Expected order values in closed form.

    A visit is a Markov chain over items: the first from the customer's preference ``w``, each
    next with probability f a successor (matrix P), else from ``w`` again; it goes on with
    probability s. With ``m = (I - s f P)^-1 price`` the expected sum of the prices viewed is
    ``(w m)(1 - s f) / (1 - s)``; of these the last is bought, the others with probability q.

    Parameters
    ----------
    settings, catalogue
        Of the population.
    """

    def __init__(self, settings: PopulationSettings, catalogue: Catalogue) -> None:
        again, follow = settings.another_view, settings.follow_share
        bought = settings.add_in_orders
        share_bought = bought + (1 - bought) * (1 - again)
        self._factor = MEAN_QUANTITY * share_bought * (1 - again * follow) / (1 - again) / 100
        self._by_category = tuple(
            _category_sums(catalogue, again * follow, drifted=drifted) for drifted in (False, True)
        )

    def of(self, favourites: tuple[int, ...], *, drifted: bool) -> float:
        """Return the expected order of someone with these favourites, in the currency."""
        sums = self._by_category[drifted]
        pairs = zip(FAVOURITE_WEIGHTS, favourites, strict=True)
        return self._factor * sum(weight * sums[category] for weight, category in pairs)


def expected_spend(
    truth: Truth, season: SeasonalClock, drift_at: float, at: float, days: float
) -> float:
    """Return the order value expected of a customer in a stretch of time.

    With order rate L and dropout probability p the expected number of orders in t is
    ``(1 - exp(-L p t)) / p``; the drift cuts the stretch in two. The pauses during complaints,
    a fraction of a percent of all time, are left out.

    Parameters
    ----------
    truth
        Of the customer.
    season
        Operational time.
    drift_at, at
        Seconds since 1970.
    days
        Length of the stretch.

    Returns
    -------
    float
        In units of the currency, refunds not deducted; 0 for who is not alive at `at`.

    References
    ----------
    Fader, Hardie & Lee 2005, the expectation of X(t) given rate and dropout probability.
    """
    if not truth.alive_at(at):
        return 0.0
    end = at + days * _DAY
    cut = min(max(at, drift_at), end)
    spend, survival = 0.0, 1.0
    for start, stop, drifted in ((at, cut, False), (cut, end, True)):
        days_at_risk = season.elapsed(start, stop) / _DAY
        leave = truth.dropout[drifted]
        left = -math.expm1(-truth.orders_per_day * leave * days_at_risk)
        spend += survival * left / leave * truth.order_value[drifted]
        survival *= 1 - left
    return spend


def truth_of(
    customer: Customer,
    died_at: float | None,
    settings: PopulationSettings,
    catalogue: Catalogue,
    values: OrderValues,
) -> Truth:
    """Put together what is true of a customer who died then, or did not."""
    service = settings.complaint_share * settings.complaint_dropout
    before, after = customer.favourites
    return Truth(
        user_id=customer.user_id,
        anonymous_id=customer.anonymous_id,
        born_at=customer.born_at,
        died_at=died_at,
        orders_per_day=customer.orders_per_day,
        dropout=_with_service(customer.dropout, service),
        order_value=(values.of(before, drifted=False), values.of(after, drifted=True)),
        favourites=(
            tuple(catalogue.categories[number] for number in before),
            tuple(catalogue.categories[number] for number in after),
        ),
    )


def _with_service(dropout: tuple[float, float], service: float) -> tuple[float, float]:
    before, after = dropout
    return 1 - (1 - before) * (1 - service), 1 - (1 - after) * (1 - service)


def _category_sums(catalogue: Catalogue, discount: float, *, drifted: bool) -> list[float]:
    """Mean of ``m`` over each category, ``m`` by fixed-point iteration, a contraction."""
    prices = [float(item.price) for item in catalogue.items]
    successors = catalogue.successors[drifted]
    sums, step = prices, math.inf
    while step > _PRECISION * max(prices):
        better = [
            price
            + discount * sum(w * sums[j] for w, j in zip(SUCCESSOR_WEIGHTS, nexts, strict=True))
            for price, nexts in zip(prices, successors, strict=True)
        ]
        step = max(abs(new - old) for new, old in zip(better, sums, strict=True))
        sums = better
    return [
        sum(
            weight * sums[item]
            for weight, item in zip(catalogue.item_weights(category), members, strict=True)
        )
        for category, members in enumerate(catalogue.members)
    ]
