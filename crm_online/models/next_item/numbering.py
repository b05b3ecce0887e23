"""Interactions into numbers, and items into the index at their second customer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from crm_online.models.next_item.packing import hash_customer

if TYPE_CHECKING:
    from crm_online.models.next_item.catalogue import Catalogue, Waiting
    from crm_online.models.next_item.engine import Engine
    from crm_online.models.next_item.repurchase import RepurchaseHabits
    from crm_online.scores import Interaction

__all__ = ["Clicks", "Numbering"]

EVICTED_AT_ONCE = 64


class Clicks(NamedTuple):
    """Consecutive interactions in numbers, as kernels take them."""

    customers: list[int]
    sessions: list[int]
    items: list[int]


class Numbering:
    """Numbers interactions, and lets items in and out as it meets them.

    Parameters
    ----------
    catalogue, habits
        Learn from what passes.
    engine
        Holds the index that items enter.
    """

    def __init__(self, catalogue: Catalogue, habits: RepurchaseHabits, engine: Engine) -> None:
        self._catalogue = catalogue
        self._habits = habits
        self._engine = engine

    def number(self, interactions: Sequence[Interaction]) -> Iterator[Clicks]:
        """Give numbers to interactions, in their order.

        An item enters right behind its click by a second customer: what is predicted for that click
        must not know of it. So a run must be learned before the next is asked for.

        Yields
        ------
        Clicks
            Runs of interactions, none empty.
        """
        clicks = Clicks([], [], [])
        catalogue = self._catalogue
        for interaction in interactions:
            self._habits.learn(interaction)
            customer, item = hash_customer(interaction.customer), interaction.item
            number = catalogue.numbers.get(item)
            waiting = None
            if number is None:
                waiting = catalogue.waiting(item)
                if waiting is None:
                    waiting = catalogue.wait(item, customer, interaction.session)
                number = -waiting.provisional
            clicks.customers.append(customer)
            clicks.sessions.append(interaction.session)
            clicks.items.append(number)
            if waiting is not None and waiting.customer != customer:
                yield clicks
                clicks = Clicks([], [], [])
                number = self._admit(item, waiting, (customer, interaction.session))
            if number > 0 and interaction.category:
                catalogue.categories[number] = interaction.category
        if clicks.items:
            yield clicks

    def _admit(self, item: str, waiting: Waiting, second: tuple[int, int]) -> int:
        """Let an item enter that two sessions hold."""
        if self._catalogue.full:
            self._make_room()
        number = self._catalogue.enter(item)
        first = waiting.customer, waiting.session
        self._engine.admit(number, waiting.provisional, (first, second))
        return number

    def _make_room(self) -> None:
        room = max(1, self._catalogue.max_items // EVICTED_AT_ONCE)
        leaving = self._engine.least_recently_seen(room)
        self._engine.evict(leaving)
        for number in leaving:
            self._catalogue.evict(number)
