"""The generated shop: items, prices, categories, and which item is looked at after which."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from crm_online.simulation.population_settings import PopulationSettings

__all__ = ["SUCCESSOR_WEIGHTS", "Catalogue", "Item"]

SUCCESSOR_WEIGHTS = (0.6, 0.25, 0.15)
_COMPLEMENT_SHARE = 0.3
_WORDS = (
    *("garden", "kitchen", "toys", "books", "lighting", "stationery", "bags", "candles"),
    *("baking", "textiles", "frames", "clocks", "jewellery", "party", "outdoor", "bath"),
    *("office", "travel", "pets", "crafts"),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the catalogue.

    Parameters
    ----------
    product_id, category
        As events name them.
    category_number
        Its number, from 0, most popular first.
    price
        In hundredths of the currency.
    fragment
        Its properties as JSON without braces.
    """

    product_id: str
    category: str
    category_number: int
    price: int
    fragment: str


class Catalogue:
    """Items of a population.

    An item's popularity in its category is Zipf over its rank there, and so are categories.
    Each item has three successors, mostly of its own category, else of the category that
    complements it; the drift replaces those of a share of items.

    Parameters
    ----------
    settings
        Sizes and skews.
    rng
        The only source of chance.
    """

    def __init__(self, settings: PopulationSettings, rng: random.Random) -> None:
        self._settings = settings
        self.categories = tuple(map(_category_name, range(settings.categories)))
        middles = [rng.lognormvariate(settings.price_log_mean, 0.6) for _ in self.categories]
        self.items = tuple(self._item(number, middles, rng) for number in range(settings.items))
        self.members = tuple(
            tuple(range(category, settings.items, settings.categories))
            for category in range(settings.categories)
        )
        skew = settings.popularity_exponent
        self._item_marks = [_marks(_zipf(len(members), skew)) for members in self.members]
        self.category_weights = _zipf(settings.categories, skew / 2)
        before = [self._successors(number, rng) for number in range(settings.items)]
        after = [
            self._successors(number, rng) if rng.random() < settings.drift_item_share else old
            for number, old in enumerate(before)
        ]
        self.successors = (tuple(before), tuple(after))

    def popular(self, category: int, chance: float) -> int:
        """Item of a category by popularity.

        Parameters
        ----------
        category
            Number of the category.
        chance
            Uniform in [0, 1).
        """
        members = self.members[category]
        return members[min(bisect_right(self._item_marks[category], chance), len(members) - 1)]

    def item_weights(self, category: int) -> list[float]:
        """Probabilities of the items of a category, in the order of `members`."""
        return _zipf(len(self.members[category]), self._settings.popularity_exponent)

    def follow(self, item: int, chance: float, *, drifted: bool) -> int:
        """Successor of an item, by `SUCCESSOR_WEIGHTS`; `chance` is uniform in [0, 1)."""
        first, second, third = self.successors[drifted][item]
        if chance < SUCCESSOR_WEIGHTS[0]:
            return first
        return second if chance < SUCCESSOR_WEIGHTS[0] + SUCCESSOR_WEIGHTS[1] else third

    def _item(self, number: int, middles: list[float], rng: random.Random) -> Item:
        category_number = number % self._settings.categories
        category = self.categories[category_number]
        price = max(50, round(middles[category_number] * rng.lognormvariate(0.0, 0.5) * 100))
        product_id = f"i{number:05d}"
        fragment = (
            f'"product_id":"{product_id}","category":"{category}",'
            f'"price":{price // 100}.{price % 100:02d}'
        )
        return Item(product_id, category, category_number, price, fragment)

    def _successors(self, number: int, rng: random.Random) -> tuple[int, int, int]:
        own = self.items[number].category_number
        found: list[int] = []
        while len(found) < len(SUCCESSOR_WEIGHTS):
            other = rng.random() < _COMPLEMENT_SHARE
            members = self.members[(own + 1) % self._settings.categories if other else own]
            item = members[int(rng.random() * len(members))]
            if item != number and item not in found:
                found.append(item)
        return found[0], found[1], found[2]


def _zipf(count: int, exponent: float) -> list[float]:
    weights = [(rank + 1) ** -exponent for rank in range(count)]
    total = sum(weights)
    return [weight / total for weight in weights]


def _marks(weights: Sequence[float]) -> list[float]:
    return list(accumulate(weights))


def _category_name(number: int) -> str:
    word = _WORDS[number % len(_WORDS)]
    return word if number < len(_WORDS) else f"{word}-{number // len(_WORDS) + 1}"
