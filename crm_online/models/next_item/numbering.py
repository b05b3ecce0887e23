"""Interactions into numbers, and items into the index at their second customer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from crm_online.models.next_item.packing import hash_customer

if TYPE_CHECKING:
    from crm_online.models.next_item.catalogue import Catalogue
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

        An item enters between two runs of clicks, so a run must be learned before the next is
        asked for.

        Yields
        ------
        Clicks
            Runs of interactions, none empty.
        """
        clicks = Clicks([], [], [])
        numbers, categories = self._catalogue.numbers, self._catalogue.categories
        for interaction in interactions:
            self._habits.learn(interaction)
            customer = hash_customer(interaction.customer)
            number = numbers.get(interaction.item)
            if number is None:
                number = self._meet(interaction, customer)
            if number is None:
                if clicks.items:
                    yield clicks
                clicks = Clicks([], [], [])
                number = self._admit(interaction.item)
            if number > 0 and interaction.category:
                categories[number] = interaction.category
            clicks.customers.append(customer)
            clicks.sessions.append(interaction.session)
            clicks.items.append(number)
        if clicks.items:
            yield clicks

    def _meet(self, interaction: Interaction, customer: int) -> int | None:
        """Return what stands for an item of one customer; None at its second customer."""
        waiting = self._catalogue.waiting(interaction.item)
        if waiting is None:
            waiting = self._catalogue.wait(interaction.item, customer, interaction.session)
        return -waiting.provisional if waiting.customer == customer else None

    def _admit(self, item: str) -> int:
        """Let a waiting item enter the index; all clicks before must have been learned."""
        waiting = self._catalogue.waiting(item)
        if self._catalogue.full:
            self._make_room()
        number = self._catalogue.enter(item)
        if waiting is not None:
            self._engine.admit(number, *waiting)
        return number

    def _make_room(self) -> None:
        room = max(1, self._catalogue.max_items // EVICTED_AT_ONCE)
        leaving = self._engine.least_recently_seen(room)
        self._engine.evict(leaving)
        for number in leaving:
            self._catalogue.evict(number)
