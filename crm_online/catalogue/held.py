"""The catalogue as a scorer holds it: what each item is made of, and which are not to be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from crm_online.catalogue.records import CatalogueItem, read_item
from crm_online.catalogue.tokens import pack_tokens, unpack_tokens
from crm_online.log import Record
from crm_online.scores import Interaction

__all__ = ["Catalogue"]


class Catalogue:
    """Follows ``crm.items``: the newest record of an item counts, a tombstone removes it.

    Items that are not in it may be recommended; it knows nothing against them.

    Attributes
    ----------
    version : int
        Rises with every change.
    refused : int
        Records that were no items, and were read over.

    Examples
    --------
    >>> catalogue = Catalogue()
    >>> catalogue.take([CatalogueItem("mug"), CatalogueItem("pot", available=False)])
    >>> sorted(catalogue.tokens), sorted(catalogue.unavailable)
    (['mug', 'pot'], ['pot'])
    """

    def __init__(self) -> None:
        self._tokens: dict[str, bytes] = {}
        self._unavailable: set[str] = set()
        self.version = 0
        self.refused = 0

    @property
    def tokens(self) -> Mapping[str, bytes]:
        """Item to its packed tokens; see `crm_online.catalogue.tokens`."""
        return self._tokens

    @property
    def unavailable(self) -> AbstractSet[str]:
        """Items that must not be recommended."""
        return self._unavailable

    def apply(self, records: Sequence[Record]) -> None:
        """Take records of the items topic, in log order.

        Raises
        ------
        SnapshotError
            Where a newer version of the program wrote one.
        """
        for record in records:
            if record.value is None:
                self._remove((record.key or b"").decode(errors="replace"))
                continue
            item = read_item(record.key, record.value)
            if item is None:
                self.refused += 1
            else:
                self._put(item)

    def take(self, items: Iterable[CatalogueItem]) -> None:
        """Take items themselves, without a topic."""
        for item in items:
            self._put(item)

    def _put(self, item: CatalogueItem) -> None:
        self._tokens[item.item_id] = pack_tokens(item)
        if item.available:
            self._unavailable.discard(item.item_id)
        else:
            self._unavailable.add(item.item_id)
        self.version += 1

    def _remove(self, item: str) -> None:
        self._tokens.pop(item, None)
        self._unavailable.discard(item)
        self.version += 1

    def describe(self, interactions: list[Interaction]) -> list[Interaction]:
        """Add to interactions what their items are made of, as far as it is known.

        Parameters
        ----------
        interactions
            Of one batch; returned as they are where the catalogue is empty.
        """
        known = self._tokens
        if not known:
            return interactions
        return [
            msgspec.structs.replace(each, tokens=unpack_tokens(packed))
            if (packed := known.get(each.item))
            else each
            for each in interactions
        ]
