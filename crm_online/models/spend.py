"""A River regressor of spend: the mean of two opinions, one learned and one by habit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base, stats

from crm_online.models.bayesian import BayesianLinear, BayesianLogistic
from crm_online.models.classifiers import FrozenClassifier, freeze_classifier
from crm_online.models.frozen import (
    FrozenAdditive,
    FrozenSteps,
    freeze_regressor,
    require_finite,
)
from crm_online.models.habit import FrozenHabit, Habit

__all__ = ["ExpectedSpend", "FrozenSpend"]

Rows = NDArray[np.float64]


class ExpectedSpend(base.Regressor):
    """Expected spend as the geometric mean of two opinions, each times its smearing.

    The first is a hurdle model: chance to spend at all × size of the spend. The chance is learned
    from every outcome, the logarithm of the size only from customers who spent. The second is
    `Habit`, where its features are there; both count the same, which is hard to beat.
    Exponentials of a mean logarithm fall short of the mean, and habit knows no horizon, so each
    opinion is multiplied with the ratio of what was spent to what it predicted, both measured
    before learning and decayed per outcome.

    Parameters
    ----------
    chance
        Classifier of spend above zero; `BayesianLogistic` by default.
    size
        Regressor of log spend around its running mean; `BayesianLinear` by default.
    decay
        Weight that an outcome's share in the smearing factor keeps per further outcome.
    sharpness
        Power that chance × size is raised to before smearing. Above one, the same total goes
        to fewer customers: closer to what the typical customer spends, which is nothing or
        little, than the mean is.
    habit
        Whether the second opinion counts.

    References
    ----------
    [^1]: Cragg, J. G., 1971. Some statistical models for limited dependent variables with
    application to the demand for durable goods. Econometrica, 39(5).
    [^2]: Duan, N., 1983. Smearing estimate: a nonparametric retransformation method. Journal
    of the American Statistical Association, 78(383).
    [^3]: Clemen, R. T., 1989. Combining forecasts: a review and annotated bibliography.
    International Journal of Forecasting, 5(4).

    Examples
    --------
    >>> model = ExpectedSpend()
    >>> for i in range(2000):
    ...     model.learn_one({"orders": float(i % 2)}, 40.0 if i % 2 else 0.0)
    >>> model.predict_one({"orders": 1.0}) > 30, model.predict_one({"orders": 0.0}) < 10
    (True, True)
    """

    def __init__(
        self,
        chance: base.Classifier | None = None,
        size: base.Regressor | None = None,
        decay: float = 0.9995,
        sharpness: float = 1.2,
        habit: bool = True,  # noqa: FBT001, FBT002 (River clones by keyword)
    ) -> None:
        self.chance: Any = BayesianLogistic() if chance is None else chance
        self.size: Any = BayesianLinear() if size is None else size
        self.decay = decay
        self.sharpness = sharpness
        self.habit = habit
        self._habit = Habit()
        self._log_mean = stats.Mean()
        self._log_highest = 0.0
        self._spent = 0.0
        self._expected = 0.0
        self._expected_by_habit = 0.0

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up a pickled model; those of 0.1.0 have no sharpness and no second opinion."""
        self.__dict__.update(state)  # in this order, or equal models would pickle otherwise
        self.__dict__.setdefault("sharpness", 1.0)
        self.__dict__.setdefault("habit", False)
        self.__dict__.setdefault("_habit", Habit())
        self.__dict__.setdefault("_expected_by_habit", 0.0)

    def learn_one(self, x: dict[Any, Any], y: float) -> None:
        """Learn one outcome.

        Parameters
        ----------
        x
            Features.
        y
            Spend in major units; nothing or less than nothing is no spend.

        Raises
        ------
        ValueError
            Where a feature or the spend is not finite; the model is as it was before.
        """
        require_finite(x)
        require_finite({"spend": y})
        expected, by_habit = self._learned_one(x), self._habit.predict_one(x) or 0.0
        spent = max(float(y), 0.0)
        self._spent = self._spent * self.decay + spent
        self._expected = self._expected * self.decay + expected
        self._expected_by_habit = self._expected_by_habit * self.decay + by_habit
        self._habit.learn_one(x)
        self.chance.learn_one(x, spent > 0.0)
        if spent > 0.0:
            self._learn_size(x, math.log(spent))

    def predict_one(self, x: dict[Any, Any]) -> float:
        """Return the expected spend, major units."""
        expected = self._learned_one(x) * self.smearing
        by_habit = self._habit.predict_one(x) if self.habit else None
        if by_habit is not None:
            expected = math.sqrt(expected * by_habit * self.habit_smearing)
        return min(expected, math.exp(self._log_highest))

    @property
    def smearing(self) -> float:
        """Decayed ratio of spend to what was learned of it; 1 before the first outcome."""
        return self._spent / self._expected if self._expected > 0.0 else 1.0

    @property
    def habit_smearing(self) -> float:
        """The same of spend by habit: days of the horizon that it comes to."""
        return self._spent / self._expected_by_habit if self._expected_by_habit > 0.0 else 1.0

    def freeze(self, features: Sequence[str]) -> FrozenSpend:
        """Return the model as it is now, for scoring whole batches.

        Parameters
        ----------
        features
            Names of the columns, in their order.
        """
        return FrozenSpend(
            freeze_classifier(self.chance, features),
            freeze_regressor(self.size, features),
            self._log_mean.get(),
            self._log_highest,
            self.smearing,
            self.sharpness,
            self.habit_smearing,
            self._habit.freeze(features) if self.habit else None,
        )

    def _learn_size(self, x: dict[Any, Any], logarithm: float) -> None:
        self._log_mean.update(logarithm)
        self._log_highest = max(self._log_highest, logarithm)
        self.size.learn_one(x, logarithm - self._log_mean.get())

    def _learned_one(self, x: dict[Any, Any]) -> float:
        chance = float((self.chance.predict_proba_one(x) or {}).get(True, 0.0))
        logarithm = float(self.size.predict_one(x) or 0.0) + self._log_mean.get()
        # A straight line has no end: nobody is expected to spend more than anyone ever did.
        return float((chance * math.exp(min(logarithm, self._log_highest))) ** self.sharpness)

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield {}


@dataclass(frozen=True, slots=True, eq=False)
class FrozenSpend:
    """`ExpectedSpend` as it was when frozen.

    Parameters
    ----------
    chance, size
        The frozen halves.
    log_mean, log_highest
        Mean and highest of the logarithms of all spends.
    smearing
        Factor of the learned opinion.
    sharpness
        Power of chance × size.
    habit_smearing
        Factor of the opinion by habit.
    habit
        The second opinion; ``None`` where there is none.
    """

    chance: FrozenClassifier
    size: FrozenAdditive | FrozenSteps
    log_mean: float
    log_highest: float
    smearing: float
    sharpness: float
    habit_smearing: float
    habit: FrozenHabit | None

    def value_many(self, rows: Rows) -> Rows:
        """Return the expected spend of each row, major units, shape (n,)."""
        around = self.size.value_many(rows)
        chance = np.nan_to_num(self.chance.predict_many(rows))
        sizes = np.exp(np.minimum(around + self.log_mean, self.log_highest))
        expected: Rows = (chance * sizes) ** self.sharpness * self.smearing
        if self.habit is not None:
            expected = np.sqrt(expected * self.habit.value_many(rows) * self.habit_smearing)
        return np.minimum(expected, math.exp(self.log_highest))
