"""How much memory a model holds."""

from __future__ import annotations

import gc
import sys
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["held_bytes"]

PAGE: Final = 4096
_CODE: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)


def held_bytes(model: object) -> int:
    """Return the bytes of all objects that can be reached from a model, each counted once.

    Of an array count the pages in which anything but zero stands: systems find memory for a page
    when it is first written. Code does not count. Unlike the growth of the process this is the
    same in every run, and no less true of small models.

    Parameters
    ----------
    model
        Any object.

    Examples
    --------
    >>> row = np.ones(8192)
    >>> 65_536 <= held_bytes([row]) < 66_000, held_bytes([row, row]) - held_bytes([row])
    (True, 8)
    >>> held_bytes(row[:10]) > 65_536, held_bytes(np.zeros(8192)) < 200  # a view keeps all of it
    (True, True)
    """
    seen: set[int] = set()
    waiting, total = [model], 0
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, _CODE):
            continue
        seen.add(id(found))
        total += sys.getsizeof(found)
        if isinstance(found, np.ndarray):
            if found.base is None:
                total += _written(found) - found.nbytes
            else:
                waiting.append(found.base)  # which the collector knows nothing of
        waiting += gc.get_referents(found)
    return total


def _written(array: NDArray[Any]) -> int:
    content = np.frombuffer(array, np.uint8) if array.nbytes else np.zeros(0, np.uint8)
    whole = len(content) // PAGE * PAGE
    pages = int(content[:whole].reshape(-1, PAGE).any(axis=1).sum()) * PAGE
    return pages + (len(content) - whole if content[whole:].any() else 0)
