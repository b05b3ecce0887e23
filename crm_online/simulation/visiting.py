"""What happens in one visit of a generated customer, as Segment-spec events."""

from __future__ import annotations

import random
from bisect import bisect_right
from itertools import accumulate

from crm_online.simulation.catalogue import Catalogue
from crm_online.simulation.life import CONTENT, FAVOURITE_WEIGHTS, Customer, Visit, reseed
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent, envelope, track, whole_milliseconds
from crm_online.simulation.truth import QUANTITIES

__all__ = ["VisitWriter"]

# Shares of steps beside views, carts and orders; together a third of all events.
_LANDING, _LISTING, _SEARCHING, _CLICKING = 0.8, 0.4, 0.2, 0.4
_WISHING, _REMOVING, _CART, _CHECKOUT = 0.02, 0.25, 0.5, 0.85
_REFUNDING, _REVIEWING = 0.6, 0.06
_DAY = 86_400.0
_UNIT_MARKS = list(accumulate(share for _, share in QUANTITIES))
_FAVOURITE_MARKS = list(accumulate(FAVOURITE_WEIGHTS))
_COMPLAINTS = (
    "My parcel has not arrived and nobody answers.",
    "The item came broken, I am very disappointed.",
    "This is not what I ordered, please help.",
    "I was charged twice for the same order!",
)
_IDENTIFY = "identify"
_PAGE = "page"

_Step = tuple[str, str]  # name of the event, its properties as JSON without braces


class VisitWriter:
    """Writes the events of visits, and what follows from their orders.

    Parameters
    ----------
    settings, catalogue
        Of the population.
    rng
        Seeded anew for each visit.
    """

    def __init__(
        self, settings: PopulationSettings, catalogue: Catalogue, rng: random.Random
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._rng = rng

    def events(self, customer: Customer, visit: Visit) -> list[RawEvent]:
        """All that one visit causes: the visit itself in order, then what comes days later."""
        reseed(self._rng, self._settings.seed, customer.number, CONTENT, visit.number)
        cart: dict[int, int] = {}
        steps = self._browse(customer, visit, cart)
        order = f'"order_id":"o{customer.number}-{visit.number}"'
        if visit.orders:
            steps += self._checkout(visit, cart, order)
        elif cart and self._rng.random() < _REMOVING:
            steps.append(("Product Removed", self._fragment(next(iter(cart)))))
        written = self._written(customer, visit, steps)
        if visit.orders:
            written += self._afterwards(customer, visit, cart, order)
        return written

    def _browse(self, customer: Customer, visit: Visit, cart: dict[int, int]) -> list[_Step]:
        chance, settings = self._rng.random, self._settings
        drifted = visit.start >= settings.drift_at
        add = settings.add_in_orders if visit.orders else settings.add_in_visits
        steps: list[_Step] = [(_PAGE, '"path":"/"')] if chance() < _LANDING else []
        item = -1
        for left in range(visit.views - 1, -1, -1):
            if item >= 0 and chance() < settings.follow_share:
                item = self._catalogue.follow(item, chance(), drifted=drifted)
            else:
                item = self._wanted(customer, drifted=drifted)
                steps += self._found(item)
            steps.append(("Product Viewed", self._fragment(item)))
            if chance() < _WISHING:
                steps.append(("Product Added to Wishlist", self._fragment(item)))
            if chance() < add or (visit.orders and not left):
                units = QUANTITIES[min(bisect_right(_UNIT_MARKS, chance()), 3)][0]
                cart[item] = cart.get(item, 0) + units
                steps.append(("Product Added", f'{self._fragment(item)},"quantity":{units}'))
        return steps

    def _wanted(self, customer: Customer, *, drifted: bool) -> int:
        place = bisect_right(_FAVOURITE_MARKS, self._rng.random())
        favourites = customer.favourites[drifted]
        category = favourites[min(place, len(favourites) - 1)]
        return self._catalogue.popular(category, self._rng.random())

    def _found(self, item: int) -> list[_Step]:
        chance = self._rng.random()
        category = self._catalogue.items[item].category
        if chance < _LISTING:
            step = ("Product List Viewed", f'"category":"{category}"')
        elif chance < _LISTING + _SEARCHING:
            step = ("Products Searched", f'"query":"{category}"')
        else:
            return []
        if self._rng.random() < _CLICKING:
            return [step, ("Product Clicked", self._fragment(item))]
        return [step]

    def _checkout(self, visit: Visit, cart: dict[int, int], order: str) -> list[_Step]:
        steps: list[_Step] = [("Cart Viewed", "")] if self._rng.random() < _CART else []
        if not visit.identified:
            steps.append((_IDENTIFY, ""))
        if self._rng.random() < _CHECKOUT:
            steps.append(("Checkout Started", order))
        products = ",".join(
            f'{{{self._fragment(item)},"quantity":{units}}}' for item, units in cart.items()
        )
        total = self._total(cart)
        about = f'{order},"revenue":{total},"total":{total},"products":[{products}]'
        steps.append(("Order Completed", about))
        return steps

    def _written(self, customer: Customer, visit: Visit, steps: list[_Step]) -> list[RawEvent]:
        known = visit.identified
        who, name = _who(customer, known=known)
        length, chance = (visit.end - visit.start) / max(1, len(steps) - 1), self._rng.random
        final, written = len(steps) - 1, []
        for place, (event, properties) in enumerate(steps):
            if event == _IDENTIFY:
                known = True
                who, name = _who(customer, known=True)
            if place == final:
                at = visit.end if visit.orders else visit.start + place * length
            else:
                at = visit.start + (place - chance() if place else 0) * length
            at = whole_milliseconds(at)
            message = f"{self._settings.seed}-{customer.number}-{visit.number}-{place}"
            if event == _PAGE:
                rest = f'"properties":{{{properties}}}'
                value = envelope('"type":"page"', who, message, at, rest)
            elif event == _IDENTIFY:
                both = f'{who},"anonymousId":"{customer.anonymous_id}"'
                value = envelope(f'"type":"{_IDENTIFY}"', both, message, at, '"traits":{}')
            else:
                value = track(event, who, message, at, properties)
            written.append(RawEvent(at, name, value))
        return written

    def _afterwards(
        self, customer: Customer, visit: Visit, cart: dict[int, int], order: str
    ) -> list[RawEvent]:
        rng, later = self._rng, list[tuple[float, str, str]]()
        if visit.complaint_closed_at is not None:
            pause = visit.complaint_closed_at - visit.end
            text = _COMPLAINTS[int(rng.random() * len(_COMPLAINTS))]
            opened = visit.end + rng.uniform(0.1, 0.5) * pause
            later.append((opened, "Ticket Opened", f'{order},"text":"{text}"'))
            if rng.random() < _REFUNDING:
                total = self._total(cart)
                back = visit.end + rng.uniform(0.5, 0.9) * pause
                later.append((back, "Order Refunded", f'{order},"revenue":{total},"total":{total}'))
            later.append((visit.complaint_closed_at, "Ticket Closed", order))
        elif rng.random() < _REVIEWING:
            reviewed = visit.end + rng.uniform(2.0, 10.0) * _DAY
            later.append((reviewed, "Product Reviewed", self._fragment(next(iter(cart)))))
        who, name = _who(customer, known=True)
        message = f"{self._settings.seed}-{customer.number}-{visit.number}-later"
        times = [whole_milliseconds(at) for at, _, _ in later]
        return [
            RawEvent(at, name, track(event, who, f"{message}-{place}", at, properties))
            for place, (at, (_, event, properties)) in enumerate(zip(times, later, strict=True))
        ]

    def _fragment(self, item: int) -> str:
        return self._catalogue.items[item].fragment

    def _total(self, cart: dict[int, int]) -> str:
        cents = sum(self._catalogue.items[item].price * units for item, units in cart.items())
        return f"{cents // 100}.{cents % 100:02d}"


def _who(customer: Customer, *, known: bool) -> tuple[str, str]:
    if known:
        return f'"userId":"{customer.user_id}"', customer.user_id
    return f'"anonymousId":"{customer.anonymous_id}"', customer.anonymous_id
