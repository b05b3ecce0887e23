"""The numbers of an open prediction at rest, and its name."""

from __future__ import annotations

import struct
from hashlib import blake2b
from math import isnan, nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crm_online.customers.features import FEATURES
from crm_online.customers.state import Prediction

__all__ = ["offset_of", "pack_numbers", "prediction_id", "unpack_numbers", "version_of"]

_NUMBERS: Final = struct.Struct(f"<{len(FEATURES) + 2}f")


def prediction_id(customer: str, opened: float) -> str:
    """Name a prediction by its customer and the grid step it was made at.

    Returns
    -------
    str
        24 hexadecimal digits.
    """
    return blake2b(f"{opened!r}|{customer}".encode(), digest_size=12).hexdigest()


def version_of(model: str, offset: int, contestant: str) -> str:
    """Name a version of a model, and the challenger that it is, if it is one.

    Examples
    --------
    >>> version_of("churn", 7046, ""), version_of("churn", 7046, "forest")
    ('churn@7046', 'churn@7046/forest')
    """
    return f"{model}@{offset}/{contestant}" if contestant else f"{model}@{offset}"


def offset_of(version: str) -> int:
    """Return how far the log was that a version of a model learned; -1 for none.

    Examples
    --------
    >>> offset_of("churn@7046"), offset_of("churn@7046/forest"), offset_of("")
    (7046, 7046, -1)
    """
    offset = version.partition("@")[2].partition("/")[0]
    return int(offset) if offset else -1


def pack_numbers(features: NDArray[np.float64], churn: float | None, value: float | None) -> bytes:
    """Pack the features and the two numbers predicted as float32; no number is NaN.

    Parameters
    ----------
    features : array, shape (f,)
        Already rounded through float32.
    churn
        Probability of churn.
    value
        Expected spend, major units.
    """
    return _NUMBERS.pack(
        *features.tolist(), nan if churn is None else churn, nan if value is None else value
    )


def unpack_numbers(prediction: Prediction) -> tuple[dict[str, float], float | None, float | None]:
    """Undo `pack_numbers`: features by name, churn probability, expected spend.

    Predictions that an earlier version opened have the first of the features only.
    """
    packed = prediction.numbers
    size = len(packed) // 4
    *features, churn, value = struct.unpack(f"<{size}f", packed)
    named = dict(zip(FEATURES, features, strict=False))
    return named, None if isnan(churn) else churn, None if isnan(value) else value
