"""Pickles that are equal exactly where their objects are."""

from __future__ import annotations

import io
import pickle

__all__ = ["spelled_out"]


def spelled_out(model: object) -> bytes:
    """Pickle without references: whether two names are one string object does not show."""
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol=5)
    pickler.fast = True
    pickler.dump(model)
    return out.getvalue()
