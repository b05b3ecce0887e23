"""`ContentRanker`: which items go with which, by what they are made of."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from river.reco.base import Ranker

from crm_online.errors import ConfigurationError
from crm_online.models.next_item.packing import hash_customer
from crm_online.scores import Interaction

if TYPE_CHECKING:
    from crm_online.models.content.kernels import Float32, Table

__all__ = ["ContentRanker"]

Context = Mapping[str, Any] | None
BUCKETS: Final = 2**16  # of token hashes
WIDTH: Final = 16
_MASK64: Final = 2**64 - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15


class ContentRanker(Ranker):
    """An embedding of words, categories and price ranges, learned from what is touched in turn.

    An item is the mean of its tokens, so one that nobody touched yet has a place, too. Each touch
    draws what the touch before it in the session says towards what the item is, and away from
    eight other items, drawn evenly among those touched before: by the number of the touch, so that
    learning is a function of the interactions in their order. Before anything is learned, items
    are as alike as the tokens they share.

    Parameters
    ----------
    dims
        Of the embedding.
    slots
        Sessions whose newest item is remembered, and items that others are drawn from; a power
        of two.

    Examples
    --------
    >>> model = ContentRanker(dims=16, slots=256)
    >>> tea, pot, cup, saw = (1, 2), (1, 3), (1, 4), (8, 9)
    >>> model.learn_many([Interaction(0, 0, "ann", 1, "tea", "", 0.0, tokens=tea),
    ...                   Interaction(1, 0, "ann", 1, "pot", "", 0.0, tokens=pot)])
    >>> context = {"items": [tea], "tokens": {"cup": cup, "saw": saw}}  # nobody touched these
    >>> model.rank("bob", {"cup", "saw"}, context)
    ['cup', 'saw']

    References
    ----------
    Bojanowski et al., Enriching word vectors with subword information, TACL 5, 2017.
    """

    def __init__(self, dims: int = 32, slots: int = 2**15) -> None:
        super().__init__(seed=None)
        if dims < 1 or slots < 1 or slots & (slots - 1):
            raise ConfigurationError("dims must be at least 1, and slots a power of two")
        self.dims = dims
        self.slots = slots
        self._table: Table | None = None

    @property
    def learned(self) -> int:
        """How many touches of items with tokens were learned."""
        return 0 if self._table is None else int(self._table.clock[0])

    def _grown(self) -> Table:
        """Return the arrays; a model that never meets a catalogue has none, nor loads numba."""
        if self._table is None:
            from crm_online.models.content.kernels import new_table  # noqa: PLC0415 - loads numba

            self._table = new_table(BUCKETS, self.dims, self.slots)
        return self._table

    def learn_many(self, interactions: Iterable[Interaction]) -> None:
        """Learn interactions, in their order; those without tokens say nothing.

        Parameters
        ----------
        interactions
            Any number of them; how they are cut into calls makes no difference.
        """
        told = [each for each in interactions if each.tokens]
        if not told:
            return
        from crm_online.models.content.kernels import learn_touches  # noqa: PLC0415 - as above

        keys = [(hash_customer(i.customer) + i.session * _GOLDEN) & _MASK64 for i in told]
        items = [_hash(i.item) for i in told]
        flat, bounds = _flatten([i.tokens for i in told])
        learn_touches(
            np.array(keys, np.uint64), np.array(items, np.uint64), flat, bounds, self._grown()
        )

    def item_vectors(self, items: Sequence[str], packed: Sequence[bytes]) -> Float32:
        """Return what items are: multiplied with `context_vectors`, how well they go there.

        Parameters
        ----------
        items, packed
            Ids of n items, and the tokens of each as `crm_online.catalogue.tokens` packs them.

        Returns
        -------
        float32 (n, dims + 1); the last column says how popular the item itself is.
        """
        from crm_online.models.content.kernels import BIASES, means  # noqa: PLC0415 - as above

        table = self._grown()
        own = np.array([_hash(item) % BIASES for item in items], np.int64)
        return np.column_stack((means(*_joined(packed), table.outputs), table.biases[own]))

    def context_vectors(self, packed: Sequence[bytes]) -> Float32:
        """Return float32 (n, dims + 1): what items say about what is touched next."""
        from crm_online.models.content.kernels import means  # noqa: PLC0415 - as above

        found = means(*_joined(packed), self._grown().inputs)
        return np.column_stack((found, np.ones(len(found), np.float32)))

    def learn_one(self, user: Hashable, item: Hashable, y: Any = 1, x: Context = None) -> None:
        """Learn that a user touched an item.

        Parameters
        ----------
        user, item
            Learned under their ``str``.
        y
            Reward; nothing is learned where it is not above zero.
        x
            Context: ``tokens`` (item to its tokens), ``session`` (int, default 0).
        """
        context = x or {}
        tokens = tuple(context.get("tokens", {}).get(item, ()))
        if y > 0:
            session = context.get("session", 0)
            self.learn_many(
                [Interaction(0, 0, str(user), session, str(item), "", 0.0, tokens=tokens)]
            )

    def predict_one(  # type: ignore[override]  # River says numbers.Number, which no float is
        self,
        user: Hashable,  # noqa: ARG002 - River's signature
        item: Hashable,
        x: Context = None,
    ) -> float:
        """Return how well an item goes with a session, in log-odds; 0 where nothing is known.

        Parameters
        ----------
        user
            Says nothing: content is all there is.
        item
            One of the keys of ``tokens``.
        x
            Context: ``tokens`` (item to its tokens), ``items`` (tokens of each item of the open
            session, oldest first).
        """
        context = x or {}
        tokens = context.get("tokens", {}).get(item)
        items = [each for each in context.get("items", ()) if each]
        if not tokens or not items:
            return 0.0
        own = blend(self.context_vectors([_packed(each) for each in items]))
        return float(self.item_vectors([str(item)], [_packed(tokens)])[0] @ own)

    def rank(self, user: Hashable, items: set[Hashable], x: Context = None) -> list[Hashable]:
        """Sort items, best first; equals in the order of their names."""
        return sorted(items, key=lambda item: (-self.predict_one(user, item, x), str(item)))

    def warm_up(self) -> ContentRanker:
        """Compile the kernels, or load them, before they are wanted; changes nothing learned."""
        from crm_online.models.content.kernels import best_of  # noqa: PLC0415 - as above

        trial = ContentRanker(dims=1, slots=1)
        trial.learn_many([Interaction(0, 0, "a", 1, i, "", 0.0, tokens=(1,)) for i in ("b", "c")])
        best_of(trial.item_vectors(["b"], [b"\0\0"]) @ trial.context_vectors([b"\0\0"])[0], 1)
        return self

    def state_bytes(self) -> bytes:
        """Return all that has been learned, compactly; equal states give equal bytes."""
        from crm_online.models.content.state import write_state  # noqa: PLC0415 - as above

        return write_state(self._get_params(), self._table)

    @classmethod
    def from_bytes(cls, data: bytes) -> ContentRanker:
        """Make the model that `state_bytes` described.

        Raises
        ------
        SnapshotError
            Where the bytes are damaged, or written by a newer version.
        """
        from crm_online.models.content.state import read_state, restore_table  # noqa: PLC0415

        held = read_state(data)
        model = cls(**held.parameters)
        if held.clock:
            restore_table(held, model._grown())
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by way of `state_bytes`."""
        return _from_bytes, (self.state_bytes(),)


def blend(vectors: Float32) -> Float32:
    """Return the mean of a session's vectors, oldest first; each weighs e^½ of the one before."""
    weights = np.exp(-0.5 * np.arange(len(vectors) - 1, -1, -1, dtype=np.float32))
    return np.asarray(weights @ vectors / weights.sum(), np.float32)


def _hash(item: str) -> int:
    return zlib.crc32(item.encode(errors="surrogatepass"))


def _packed(tokens: Iterable[int]) -> bytes:
    return np.array([token % BUCKETS for token in tokens], np.uint16).tobytes()


def _flatten(rows: Sequence[tuple[int, ...]]) -> tuple[Any, Any]:
    kept = [row[:WIDTH] for row in rows]
    bounds = np.array([0, *accumulate(map(len, kept))], np.int64)
    return np.array([token % BUCKETS for row in kept for token in row], np.uint16), bounds


def _joined(packed: Sequence[bytes]) -> tuple[Any, Any]:
    bounds = np.array([0, *accumulate(map(len, packed))], np.int64) // 2
    return np.frombuffer(b"".join(packed), np.uint16), bounds


def _from_bytes(data: bytes) -> ContentRanker:
    return ContentRanker.from_bytes(data)
