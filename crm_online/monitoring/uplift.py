"""What actions do: treated against control, in numbers that may be looked at any time."""

from __future__ import annotations

from math import exp, inf, log, sqrt
from typing import Final, NamedTuple

from crm_online.monitoring.quality import Quality
from crm_online.scores import Settled, TreatmentSettled

__all__ = ["CONFIDENCE", "MEASURES", "Comparison", "Difference", "Uplift"]

CONFIDENCE: Final = 0.95
MEASURES: Final = ("returned", "spend")
LEAST: Final = 100  # in each group, before anything is said: the sequence is an asymptotic one
TIGHT_AT: Final = 1_000  # outcomes at which the interval is meant to be at its tightest
TILTS: Final = (-0.8, -0.4, -0.2, 0.2, 0.4, 0.8)  # of the odds of control, were groups not as drawn
SUSPECT: Final = log(100.0)  # evidence of that which chance exceeds once in a hundred


class Difference(NamedTuple):
    """One measure of both groups, and the confidence sequence of treated less control.

    Without enough outcomes `low` and `high` are infinite.
    """

    measure: str
    treated: float
    control: float
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``"higher"``, ``"lower"`` or ``"not yet known"``."""
        if self.low > 0.0:
            return "higher"
        return "lower" if self.high < 0.0 else "not yet known"


class _Effect:
    """Running sums of one measure: means of both groups, and of the pseudo-outcomes."""

    def __init__(self) -> None:
        self.sums = [0.0, 0.0]
        self.mean = 0.0
        self.squares = 0.0

    def update(self, value: float, *, control: bool, share: float, counts: list[int]) -> None:
        """Take one outcome; `counts` are those before it.

        The pseudo-outcome's mean is the effect whatever the plug-in means are, as long as they
        come from before; the nearer they are, the less it varies.
        """
        treated_mean, control_mean = (
            total / count if count else 0.0 for total, count in zip(self.sums, counts, strict=True)
        )
        pseudo = treated_mean - control_mean
        if control:
            pseudo -= (value - control_mean) / share
        else:
            pseudo += (value - treated_mean) / (1.0 - share)
        self.sums[control] += value
        seen = sum(counts) + 1
        step = pseudo - self.mean
        self.mean += step / seen
        self.squares += step * (pseudo - self.mean)

    def difference(self, measure: str, counts: list[int]) -> Difference:
        """Return the interval as of now."""
        seen = sum(counts)
        treated, control = (s / max(n, 1) for s, n in zip(self.sums, counts, strict=True))
        width = inf if min(counts) < LEAST else _width(seen, sqrt(self.squares / seen))
        return Difference(
            measure, treated, control, self.mean, self.mean - width, self.mean + width
        )


class Comparison:
    """One action: how many were treated and held out, and what became of them.

    Each customer counts once in each period.
    """

    def __init__(self) -> None:
        self.counts = [0, 0]  # treated, control
        self.expected = 0.0  # of control
        self._odds = [0.0] * len(TILTS)
        self._effects = {measure: _Effect() for measure in MEASURES}

    def learn_one(self, outcome: TreatmentSettled) -> None:
        """Take one outcome of a customer drawn for the first time in a period."""
        control, share = outcome.treatment == "control", outcome.share
        values = {"returned": float(not outcome.churned), "spend": outcome.spend}
        for measure, effect in self._effects.items():
            effect.update(values[measure], control=control, share=share, counts=self.counts)
        self.counts[control] += 1
        self.expected += share
        for index, tilt in enumerate(TILTS):
            self._odds[index] += (tilt if control else 0.0) - log(1.0 - share + share * exp(tilt))

    @property
    def evidence(self) -> float:
        """How much speaks against the groups being drawn as said; natural logarithm."""
        top = max(self._odds)
        return top + log(sum(exp(each - top) for each in self._odds) / len(TILTS))

    @property
    def balanced(self) -> bool:
        """Whether the groups are as large as they were drawn: else, trust nothing else here."""
        return self.evidence < SUSPECT

    def differences(self) -> list[Difference]:
        """Return what is known of each measure."""
        return [effect.difference(name, self.counts) for name, effect in self._effects.items()]


class Uplift:
    """All actions, and how good predictions were of customers held out; a model like others.

    Examples
    --------
    >>> Uplift().actions
    {}

    References
    ----------
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and
    asymptotic confidence sequences, Annals of Statistics 52 (2024): the interval, over
    pseudo-outcomes as in their section on randomized experiments.
    Lindon and Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022: the check of
    the sample ratio, here as a mixture over tilted odds, as shares may change.
    """

    def __init__(self) -> None:
        self.actions: dict[str, Comparison] = {}
        self.held_out = Quality()

    def learn_one(self, outcome: Settled | TreatmentSettled) -> bool:
        """Take one outcome; tells whether it said anything."""
        if isinstance(outcome, Settled):
            arms = set(outcome.treatments.values())
            if arms == {"control"}:
                self.held_out.learn_one(outcome)
            return arms == {"control"}
        if not outcome.first or not 0.0 < outcome.share < 1.0:
            return False
        self.actions.setdefault(outcome.action, Comparison()).learn_one(outcome)
        return True


def _width(seen: int, deviation: float) -> float:
    alpha = (1.0 - CONFIDENCE) / len(MEASURES)  # so that all of an action's hold together
    rho2 = (-2.0 * log(alpha) + log(-2.0 * log(alpha) + 1.0)) / TIGHT_AT
    grown = seen * rho2 + 1.0
    return deviation * sqrt(2.0 * grown / (seen**2 * rho2) * log(sqrt(grown) / alpha))
