"""The customers of one partition at rest: the very bytes that stand on the state topic."""

from __future__ import annotations

import struct
from collections.abc import Collection
from itertools import islice
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from crm_online.customers.state import CustomerState
from crm_online.errors import SnapshotError

__all__ = ["VERSION", "Store", "decode_state", "encode_state", "moved", "peek", "peek_many"]

VERSION: Final = 1
# array header of 16 to 65,535 fields, version, epoch, as_of and next_due as msgpack floats
_PREFIX: Final = struct.Struct(">BHBBBdBd")
_PREFIXES: Final = np.dtype(
    [
        ("array", "u1"),
        ("length", ">u2"),
        ("version", "u1"),
        ("epoch", "u1"),
        ("float1", "u1"),
        ("as_of", ">f8"),
        ("float2", "u1"),
        ("due", ">f8"),
    ]
)
_ARRAY16: Final = 0xDC
_FLOAT64: Final = 0xCB

encode_state: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(CustomerState).decode


def decode_state(packed: bytes) -> CustomerState:
    """Decode one customer's snapshot.

    Raises
    ------
    SnapshotError
        Where the bytes are no snapshot, or one of a newer version of the program.
    """
    peek(packed)
    return _decode(packed)


def peek(packed: bytes) -> tuple[int, float, float]:
    """Read epoch, ``as_of`` and next due time from a snapshot without decoding it.

    Examples
    --------
    >>> peek(encode_state(CustomerState(as_of=7.0, next_due=30.0)))
    (0, 7.0, 30.0)
    """
    if len(packed) < _PREFIX.size:
        raise SnapshotError(
            "a customer snapshot on the state topic is cut short; delete that topic to compute "
            "the state anew from the events"
        )
    array, _, version, epoch, float1, as_of, float2, due = _PREFIX.unpack_from(packed)
    if (array, float1, float2) != (_ARRAY16, _FLOAT64, _FLOAT64):
        raise SnapshotError(
            "the state topic holds something else than customer snapshots; check CRM_APP"
        )
    if version > VERSION:
        raise SnapshotError(
            f"the state topic was written by a newer crm-online (state version {version}, this one "
            f"reads up to {VERSION}); start the newer version"
        )
    return epoch, as_of, due


def peek_many(
    packed: Collection[bytes],
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Read epoch, ``as_of`` and next due time of many snapshots, as `peek` does of one.

    Returns
    -------
    epochs, as_of, due : array, shape (n,)
        In the order given.

    Examples
    --------
    >>> epochs, as_of, due = peek_many([encode_state(CustomerState(as_of=7.0, next_due=30.0))])
    >>> epochs.tolist(), as_of.tolist(), due.tolist()
    ([0], [7.0], [30.0])
    """
    size = _PREFIXES.itemsize
    prefixes = b"".join([each[:size] for each in packed])
    if len(prefixes) < size * len(packed):
        peek(min(packed, key=len))  # says what is wrong
    read = np.frombuffer(prefixes, _PREFIXES)
    right = (read["array"] == _ARRAY16) & (read["version"] <= VERSION)
    right &= (read["float1"] == _FLOAT64) & (read["float2"] == _FLOAT64)
    for wrong in np.flatnonzero(~right)[:1]:
        peek(next(islice(packed, wrong, None)))
    return read["epoch"], read["as_of"].astype(np.float64), read["due"].astype(np.float64)


def moved(packed: bytes, place: tuple[int, float]) -> bytes:
    """Return a snapshot as it is, but for where in the log it stands: epoch and ``as_of``.

    Examples
    --------
    >>> peek(moved(encode_state(CustomerState(as_of=7.0, next_due=30.0)), (1, -1.0)))
    (1, -1.0, 30.0)
    """
    state = decode_state(packed)
    state.move_to(place)
    return encode_state(state)


class Store:
    """Customer id to snapshot bytes; changes only when a slice of a batch is complete.

    Examples
    --------
    >>> store = Store()
    >>> store.save({"c-1": encode_state(CustomerState(as_of=3.0))})
    >>> store.load("c-1").as_of, store.load("c-2"), len(store)
    (3.0, None, 1)
    """

    __slots__ = ("packed",)

    def __init__(self) -> None:
        self.packed: dict[str, bytes] = {}

    def __len__(self) -> int:
        """Return how many customers are held."""
        return len(self.packed)

    def load(self, customer: str) -> CustomerState | None:
        """Decode a customer, or return ``None`` for an unknown one."""
        packed = self.packed.get(customer)
        return None if packed is None else _decode(packed)

    def save(self, snapshots: dict[str, bytes]) -> None:
        """Take the new bytes of changed customers."""
        self.packed.update(snapshots)

    def drop(self, customer: str) -> None:
        """Forget a customer."""
        self.packed.pop(customer, None)
