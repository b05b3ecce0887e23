"""One estimator in a contest: predicts each example before it learns it, until it goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, log
from typing import Any, Final

from crm_online.models.evidence import Evidence
from crm_online.models.frozen import steps_of
from crm_online.scores import Settled

__all__ = ["CHURN", "TASKS", "VALUE", "Contestant", "Task"]

CHECK_EVERY: Final = 100  # outcomes between looks at an estimator's weights
LARGEST_WEIGHT: Final = 1e6
TOO_LARGE: Final = 1_000.0  # times the highest spend that any customer had
FLOOR: Final = 1e-6
CLIP_SPENDS: Final = 4.0  # mean spends: no difference in errors counts for more
COUNTED: Final = ("churned", "active", "spenders", "others")  # of both kinds of model
INNER: Final = ("chance", "size", "model", "classifier", "regressor", "estimator")


@dataclass(frozen=True, slots=True)
class Task:
    """What differs between churn and value.

    Parameters
    ----------
    predict
        From the learner's half of a model and features to a number; ``None`` before it has one.
    label
        Of an outcome.
    loss
        From label and prediction.
    fault
        From prediction and the highest label so far to what is wrong with it, or ``""``.
    scaled
        From a difference in loss and the mean label so far to one between -1 and 1.
    """

    predict: Callable[[Any, Mapping[str, float]], float | None]
    label: Callable[[Settled], Any]
    loss: Callable[[Any, float], float]
    fault: Callable[[float, float], str]
    scaled: Callable[[float, float], float]


class Contestant:
    """A model under a name, with how it has done.

    Parameters
    ----------
    name
        As the settings call it.
    model
        The learner's half of a model, such as `crm_online.models.churn.ChurnModel`.
    spec
        What it was built from, as text; ``""``: not known.
    share
        The share of all predictions that it learns from, chosen by hash.
    since
        Offset of the last outcome before it joined.
    error_rate
        Of its evidence.
    """

    def __init__(
        self, name: str, model: Any, spec: str, share: float, since: int, error_rate: float
    ) -> None:
        self.name = name
        self.model = model
        self.spec = spec
        self.share = share
        self.since = since
        self.benched = ""
        self.begin_anew(error_rate)

    @property
    def learned(self) -> int:
        """How many outcomes its model has learned."""
        return sum(getattr(self.model, name, 0) for name in COUNTED)

    def begin_anew(self, error_rate: float) -> None:
        """Forget all comparisons: there is another champion."""
        self.evidence = Evidence(error_rate)
        self.loss = 0.0  # of this round, in sum
        self.champion_loss = 0.0

    def predict(self, task: Task, features: Mapping[str, float], highest: float) -> float | None:
        """Predict; benches itself where that goes wrong.

        Returns
        -------
        float or None
            ``None`` while it has nothing to say.
        """
        try:
            answer = task.predict(self.model, features)
            fault = "" if answer is None else task.fault(answer, highest)
        except Exception as error:  # noqa: BLE001 - whatever an estimator raises, it is out
            fault = f"predicting raised {type(error).__name__}"
        if fault:
            self.benched = fault
            return None
        return answer

    def learn(self, features: Mapping[str, float], label: Any) -> None:
        """Learn one outcome; benches itself where that goes wrong."""
        try:
            self.model.learn_one(features, label)
        except Exception as error:  # noqa: BLE001 - whatever an estimator raises, it is out
            self.benched = f"learning raised {type(error).__name__}"
            return
        if self.learned % CHECK_EVERY == 0:
            self.check()

    def check(self) -> bool:
        """Bench itself where its weights have exploded; tells whether all is well."""
        if not self.benched and any(
            not abs(weight) <= LARGEST_WEIGHT for weight in _weights(self.model.estimator)
        ):
            self.benched = "its weights exploded"
        return not self.benched

    def compare(self, loss: float, champion_loss: float, difference: float) -> bool:
        """Take one comparison with the champion; tells whether it is better beyond doubt."""
        if self.evidence.compared >= self.evidence.length:
            self.loss = self.champion_loss = 0.0
        self.loss += loss
        self.champion_loss += champion_loss
        self.evidence.update(difference)
        return self.evidence.convincing and self.loss < self.champion_loss


def _weights(estimator: Any) -> Iterator[float]:
    for step in steps_of(estimator):
        weights = getattr(step, "weights", None)
        if isinstance(weights, Mapping):
            yield from weights.values()
        for name in INNER:
            inner = getattr(step, name, None)
            if inner is not None and not callable(inner):
                yield from _weights(inner)


def _churn_chance(model: Any, features: Mapping[str, float]) -> float | None:
    if not model.calibrated():
        return None
    answers = model.estimator.predict_proba_one(dict(features))
    return float(answers[True]) if True in answers else model.base_rate


def _churn_loss(churned: bool, chance: float) -> float:  # noqa: FBT001 - a label
    return -log(max(chance if churned else 1.0 - chance, FLOOR))


def _churn_fault(chance: float, _: float) -> str:
    return "" if 0.0 <= chance <= 1.0 else "it predicted no probability"


def _value(model: Any, features: Mapping[str, float]) -> float | None:
    return float(model.estimator.predict_one(dict(features))) if model.calibrated() else None


def _value_fault(spend: float, highest: float) -> str:
    if not isfinite(spend):
        return "it predicted no finite number"
    return "its predictions exploded" if spend > TOO_LARGE * max(highest, 1.0) else ""


def _clipped(difference: float) -> float:
    return min(max(difference, -1.0), 1.0)


CHURN: Final = Task(
    _churn_chance,
    lambda outcome: outcome.churned,
    _churn_loss,
    _churn_fault,
    lambda difference, _: _clipped(difference),
)
VALUE: Final = Task(
    _value,
    lambda outcome: max(outcome.spend, 0.0),
    lambda spend, expected: abs(spend - max(expected, 0.0)),
    _value_fault,
    lambda difference, mean: _clipped(difference / (CLIP_SPENDS * mean)) if mean > 0.0 else 0.0,
)
TASKS: Final = {"churn": CHURN, "value": VALUE}
