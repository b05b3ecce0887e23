"""Spend by habit: how often customers with such a past come again, times what they usually pay."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import stats

__all__ = ["FrozenHabit", "Habit"]

Rows = NDArray[np.float64]

NAMES: Final = ("occasions", "age", "recency", "mean_total")
R, ALPHA, A, B = 0.243, 30.9, 0.793, 2.426  # of BG/NBD, alpha in days (4.414 weeks)
P, Q = 6.25, 3.74  # of Gamma-Gamma
MOST: Final = 30.0  # of logarithms: any customer's fact, and the odds to have left


class _Arithmetic(NamedTuple):
    """How to compute with numbers, or with arrays: an array of one takes ten times as long."""

    log: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    most: Callable[[Any, Any], Any]
    least: Callable[[Any, Any], Any]


SCALARS: Final = _Arithmetic(math.log, math.exp, max, min)
ARRAYS: Final = _Arithmetic(np.log, np.exp, np.maximum, np.minimum)


class Habit:
    """Spend per day of customers who come at a rate of their own until they leave.

    BG/NBD says at which rate customers come and whether they still do, Gamma-Gamma what an order of
    theirs is worth; both with the parameters that their authors published for the CDNOW data. Who
    comes counts as who buys: where occasions are visits, of which few end in an order, the spend is
    too high by the visits that an order takes, alike for all customers. `ExpectedSpend` divides
    that out as it learns what such sums come to; what is left is the order of customers.
    Only the mean order is learned, which stands in for those who have not bought yet. It knows few
    facts and needs no outcomes, so it errs elsewhere than a regression does.

    Facts are the features `occasions`, `age`, `recency` and `mean_total`, as
    `crm_online.customers.features` makes them: logarithms of one more.

    References
    ----------
    [^1]: Fader, P. S., Hardie, B. G. S. and Lee, K. L., 2005. "Counting your customers" the easy
    way: an alternative to the Pareto/NBD model. Marketing Science, 24(2).
    [^2]: Fader, P. S., Hardie, B. G. S. and Lee, K. L., 2005. RFM and CLV: using iso-value curves
    for customer base analysis. Journal of Marketing Research, 42(4).

    Examples
    --------
    >>> habit = Habit()
    >>> regular = dict(zip(NAMES, np.log1p([10.0, 100.0, 5.0, 30.0]).tolist()))
    >>> silent = regular | {"recency": math.log1p(60.0)}
    >>> habit.learn_one(regular)
    >>> habit.predict_one(regular) > 10 * habit.predict_one(silent) > 0.0
    True
    >>> habit.predict_one({"basket": 3.0}) is None
    True
    """

    def __init__(self) -> None:
        self._order = stats.Mean()

    def learn_one(self, x: Mapping[Any, Any]) -> None:
        """Learn what an order is worth, from the features of one customer."""
        usual = min(x.get("mean_total", 0.0), MOST)
        if usual > 0.0:
            self._order.update(math.expm1(usual))

    def predict_one(self, x: Mapping[Any, Any]) -> float | None:
        """Return the spend per day, major units; ``None`` where a fact is missing."""
        if not all(name in x for name in NAMES):
            return None
        facts = [math.expm1(min(max(x[name], 0.0), MOST)) for name in NAMES]
        return float(_spend(facts, self._order.get(), SCALARS))

    def freeze(self, features: Sequence[str]) -> FrozenHabit | None:
        """Return it as it is now; ``None`` where a fact is missing.

        Parameters
        ----------
        features
            Names of the columns, in their order.
        """
        if not set(NAMES) <= set(features):
            return None
        return FrozenHabit(tuple(features.index(name) for name in NAMES), self._order.get())


@dataclass(frozen=True, slots=True)
class FrozenHabit:
    """`Habit` as it was when frozen.

    Parameters
    ----------
    columns
        Of the four facts.
    order
        Mean order, major units.
    """

    columns: tuple[int, ...]
    order: float

    def value_many(self, rows: Rows) -> Rows:
        """Return the spend per day of each row, major units, shape (n,)."""
        facts = np.expm1(np.clip(rows[:, self.columns].T, 0.0, MOST))
        spend: Rows = _spend(facts, self.order, ARRAYS)
        return spend


def _spend(facts: Any, order: float, by: _Arithmetic) -> Any:
    occasions, age, silent, usual = facts
    repeats = by.most(occasions - 1.0, 0.0)
    seen, active = ALPHA + age, ALPHA + by.most(age - silent, 0.0)
    leaving = by.log(A / (B + by.most(repeats, 1.0) - 1.0)) + (R + repeats) * by.log(seen / active)
    gone = (repeats > 0.0) * by.exp(by.least(leaving, MOST))  # nobody leaves before coming back
    worth = (P * occasions * usual + (Q - 1.0) * order) / (P * occasions + Q - 1.0)
    return (R + repeats) / seen / (1.0 + gone) * worth
