"""Pickles through an allow-list: what a model is made of, and nothing that acts."""

from __future__ import annotations

import collections
import datetime as dt
import functools
import io
import pickle
import random
import types
from importlib.metadata import version as version_of
from typing import Any, Final

from crm_online.errors import SnapshotError

__all__ = ["load"]

# Packages whose classes models are made of. River's data sets and streams open files.
OWN: Final = (
    "crm_online.models.",
    "crm_online.monitoring.",
    "crm_online.scores",
    "crm_online_models.",
    "river.",
)
ACTING: Final = ("river.datasets", "river.stream", "river.api")

PLAIN: Final[dict[tuple[str, str], Any]] = {
    **{
        ("builtins", kind.__name__): kind
        for kind in (bool, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple)
    },
    ("builtins", "object"): object,
    ("collections", "Counter"): collections.Counter,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("collections", "deque"): collections.deque,
    ("datetime", "date"): dt.date,
    ("datetime", "datetime"): dt.datetime,
    ("datetime", "timedelta"): dt.timedelta,
    ("datetime", "timezone"): dt.timezone,
    ("functools", "partial"): functools.partial,
    ("random", "Random"): random.Random,
}

# By name, for numpy moved these between modules from one version to the next.
NUMPY: Final = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
}

# Functions that River's estimators hold on to.
RIVER_FUNCTIONS: Final = {
    ("river._river_rust.vectordict", "euclidean_distance_tuple"),
    ("river.naive_bayes.gaussian", "GaussianNB._make_gaussian"),
    ("river.tree.splitter.ebst_splitter", "EBSTNode._update_estimator_univariate"),
    ("river.tree.splitter.ebst_splitter", "EBSTNode._update_estimator_multivariate"),
}


def load(packed: bytes, version: str) -> Any:
    """Unpickle a model whose signature was checked.

    Parameters
    ----------
    packed
        The pickle.
    version
        Of the snapshot, for messages.

    Raises
    ------
    SnapshotError
        Where the pickle names what is not let in, or is none.
    """
    try:
        return _ModelUnpickler(io.BytesIO(packed)).load()
    except SnapshotError as error:
        raise SnapshotError(f"{version}: {error}") from error
    except Exception as error:
        # A pickle can fail in any way its classes can: all of them mean the same to an operator.
        raise SnapshotError(
            f"{version} cannot be read ({type(error).__name__}) by River {version_of('river')}: "
            "run the learner's version of crm-online and River, or let the learner publish anew"
        ) from error


class _ModelUnpickler(pickle.Unpickler):
    """Finds nothing but the classes that models are made of."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class by name, if it is let in."""
        if (module, name) in PLAIN:
            return PLAIN[module, name]
        if (module, name) == ("builtins", "getattr"):
            return _bound_method
        if (module, name) in NUMPY or (module, name) in RIVER_FUNCTIONS:
            return super().find_class(module, name)
        if module.startswith(OWN) and not module.startswith(ACTING):
            found = super().find_class(module, name)
            # A module also holds what it imports: only its own package's classes are let in.
            if isinstance(found, type) and found.__module__.startswith(OWN):
                return found
        raise SnapshotError(
            f"the model holds {module}.{name}, which is not let in: use estimators of River or "
            "crm_online, and find out who wrote this snapshot"
        )


def _bound_method(owner: object, name: str) -> Any:
    """Stand in for ``getattr``: some models hold methods of themselves or of their generator."""
    own = type(owner) is random.Random or type(owner).__module__.startswith(OWN)
    found = getattr(owner, name, None) if own and not name.startswith("__") else None
    if isinstance(found, types.MethodType | types.BuiltinMethodType) and found.__self__ is owner:
        return found
    raise SnapshotError("the model holds an attribute that is not let in")
