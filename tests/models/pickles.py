"""Pickles that are equal exactly where their objects are."""

from __future__ import annotations

import io
import pickle
from typing import Any, ClassVar

__all__ = ["spelled_out"]


class _Pickler(pickle._Pickler):
    """Writes sets in order: that of a set comes from the hash seed of its process."""

    dispatch: ClassVar[dict[type, Any]] = {**pickle._Pickler.dispatch}

    def save_in_order(self, members: set[Any]) -> None:
        self.save(("set", sorted(members, key=repr)))  # type: ignore[attr-defined]

    dispatch[set] = save_in_order


def spelled_out(model: object) -> bytes:
    """Pickle without references: whether two names are one string object does not show."""
    out = io.BytesIO()
    pickler = _Pickler(out, protocol=5)
    pickler.fast = True
    pickler.dump(model)
    return out.getvalue()
