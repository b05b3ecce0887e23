"""Lists filled up by content, where sessions of others say too little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from crm_online.catalogue import Catalogue
from crm_online.models.content.ranker import ContentRanker, blend
from crm_online.models.logistic import logistic
from crm_online.models.next_item.queries import Candidate, Query
from crm_online.replica import Replica

if TYPE_CHECKING:
    Float32 = npt.NDArray[np.float32]

__all__ = ["ContentFallback", "Wish"]

AT_ONCE: Final = 64  # queries: bounds the scores of all items for all of them
# Lists between two makings of all vectors, at the least, and one for so many items: each then
# costs a list less than the scores of all items do.
LISTS_PER_RENEWAL: Final = 32
ITEMS_PER_LIST: Final = 400
BEHIND: Final = "trending"


class Wish(NamedTuple):
    """A query, what the customer touched before, oldest first, and what was found so far."""

    query: Query
    touched: tuple[str, ...]
    found: list[Candidate]


class ContentFallback:
    """Ranks the items of the catalogue by content, behind what sessions say, before what trends.

    Parameters
    ----------
    catalogue
        Says what items are made of and which are to be had; others keep it up to date.
    replica
        Holds the content model; others keep it up to date.
    """

    def __init__(self, catalogue: Catalogue, replica: Replica) -> None:
        self._catalogue = catalogue
        self._replica = replica
        self._content: ContentRanker | None = None
        self._made_of = (0, 0)
        self._lists = 0
        self._items: list[str] = []
        self._vectors: Float32 = np.empty((0, 0), np.float32)

    def fill(self, wishes: Sequence[Wish], size: int) -> list[list[Candidate]]:
        """Return the lists, with content where there is room above what trends.

        Parameters
        ----------
        wishes
            Any number; those whose customers touched nothing of the catalogue stay as they are.
        size
            Length of a list.
        """
        lists = [wish.found for wish in wishes]
        if not self._catalogue.tokens:
            return lists
        short = [(row, wish) for row, wish in enumerate(wishes) if _room(wish.found, size)]
        told = [(row, wish, known) for row, wish in short if (known := self._known(wish))]
        for first in range(0, len(told), AT_ONCE):
            part = told[first : first + AT_ONCE]
            contexts = [self._context(known) for _, _, known in part]
            self._renew(len(part))
            if not self._items:
                break
            scores = np.stack([blend(each) for each in contexts]) @ self._vectors.T
            for (row, wish, known), each, context in zip(part, scores, contexts, strict=True):
                lists[row] = self._merged(wish, known, each, context, size)
        return lists

    def _known(self, wish: Wish) -> list[str]:
        """Return items of the open session that the catalogue knows, else of those before."""
        tokens = self._catalogue.tokens
        session = [item for item in wish.query.items if tokens.get(item)]
        return session or [item for item in wish.touched if tokens.get(item)]

    def _context(self, known: Sequence[str]) -> Float32:
        tokens = self._catalogue.tokens
        return self._replica.content.context_vectors([tokens[item] for item in known])

    def _renew(self, lists: int) -> None:
        """Make the vectors of all items anew where something changed, every so many lists."""
        content, catalogue = self._replica.content, self._catalogue
        made_of = content.learned, catalogue.version
        self._lists += lists
        wait = max(LISTS_PER_RENEWAL, len(self._items) // ITEMS_PER_LIST)
        same = content is self._content
        if same and (self._lists <= wait or made_of == self._made_of):
            return
        tokens, gone = catalogue.tokens, catalogue.unavailable
        self._items = [item for item, packed in tokens.items() if packed and item not in gone]
        packed = [tokens[item] for item in self._items]
        self._vectors = content.item_vectors(self._items, packed)
        self._content, self._made_of, self._lists = content, made_of, lists

    def _merged(
        self, wish: Wish, known: list[str], scores: Float32, context: Float32, size: int
    ) -> list[Candidate]:
        """Put the best by content between what sessions say and what trends."""
        from crm_online.models.content.kernels import best_of  # noqa: PLC0415 - loads numba

        room = _room(wish.found, size)
        above, below = wish.found[: size - room], wish.found[size - room :]
        skip = {*wish.query.items, *wish.query.exclude, *known, *(each.item for each in above)}
        gone, best = self._catalogue.unavailable, best_of(scores, room + len(skip))
        places = [p for p in best if (i := self._items[p]) not in skip and i not in gone][:room]
        floor = below[0].score if below else 0.0
        ceiling = above[-1].score if above else floor + 1.0
        chosen = [
            Candidate(
                self._items[place],
                floor + (ceiling - floor) * logistic(float(scores[place])),
                "content",
                (known[int(np.argmax(context @ self._vectors[place]))],),
            )
            for place in places
        ]
        listed = {each.item for each in chosen}
        return (above + chosen + [each for each in below if each.item not in listed])[:size]


def _room(found: Sequence[Candidate], size: int) -> int:
    """Count the places that sessions left; what trends stands at the end of a list."""
    return size - sum(each.source != BEHIND for each in found)
