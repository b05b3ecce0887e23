"""Which items the index knows, by number, and which still wait for their second customer."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Catalogue", "Waiting"]


class Waiting(NamedTuple):
    """An item that one customer has touched.

    Parameters
    ----------
    provisional
        Its number, counted from 1, which stands negated in that customer's session.
    customer
        Hash of the customer.
    session
        Number of that customer's session.
    """

    provisional: int
    customer: int
    session: int


class Catalogue:
    """Numbers for items, given out at an item's second customer.

    Items that wait are kept in two generations of at most half of `max_items` each; when the
    younger is full, the elder is dropped, so a flood of made-up items costs bounded memory and
    drives no real item out.

    Parameters
    ----------
    max_items
        Items that can have a number at a time.

    Examples
    --------
    >>> catalogue = Catalogue(max_items=100)
    >>> catalogue.wait("lamp", customer=1, session=1)
    Waiting(provisional=1, customer=1, session=1)
    >>> catalogue.enter("lamp"), catalogue.names[1]
    (1, 'lamp')
    """

    def __init__(self, max_items: int) -> None:
        self.max_items = max_items
        self.names: list[str] = [""]
        self.numbers: dict[str, int] = {}
        self.categories: list[str] = [""]
        self.free: list[int] = []
        self.elder: dict[str, Waiting] = {}
        self.younger: dict[str, Waiting] = {}
        self.strangers: dict[int, str] = {}
        self.provisional = 0
        self.entered = 0
        self.evicted = 0
        self.dropped = 0

    @property
    def full(self) -> bool:
        """Whether an item must leave before another can enter."""
        return len(self.numbers) >= self.max_items

    def waiting(self, item: str) -> Waiting | None:
        """Return what is known of an item that waits for its second customer."""
        return self.younger.get(item) or self.elder.get(item)

    def wait(self, item: str, customer: int, session: int) -> Waiting:
        """Remember an item at its first customer."""
        if len(self.younger) >= max(1, self.max_items // 2):
            self.dropped += len(self.elder)
            for dropped in self.elder.values():
                del self.strangers[dropped.provisional]
            self.elder, self.younger = self.younger, {}
        self.provisional = self.provisional % (2**31 - 2) + 1
        self.younger[item] = Waiting(self.provisional, customer, session)
        self.strangers[self.provisional] = item
        return self.younger[item]

    def enter(self, item: str) -> int:
        """Give an item its number, at its second customer."""
        waited = self.waiting(item)
        if waited is not None:
            (self.younger if item in self.younger else self.elder).pop(item)
            del self.strangers[waited.provisional]
        if self.free:
            number = self.free.pop()
            self.names[number] = item
        else:
            number = len(self.names)
            self.names.append(item)
            self.categories.append("")
        self.numbers[item] = number
        self.entered += 1
        return number

    def evict(self, number: int) -> None:
        """Take an item's number back."""
        del self.numbers[self.names[number]]
        self.names[number] = self.categories[number] = ""
        self.free.append(number)
        self.evicted += 1
