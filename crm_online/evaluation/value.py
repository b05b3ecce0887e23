"""Value: the scorer's published spend over settled predictions, beside what else could be said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from crm_online.errors import ConfigurationError
from crm_online.evaluation.gathering import TOO_SHORT, Flags, Gathering, Numbers, Predictions
from crm_online.evaluation.metrics import value_figures
from crm_online.evaluation.purchases import DAY, Purchases
from crm_online.evaluation.relearning import relearn_value
from crm_online.evaluation.repeat_buying import fit_bg_nbd, fit_gamma_gamma
from crm_online.evaluation.sweeps import Ask, Clock, Rated, Rows, Sweep, mean_so_far, refitted
from crm_online.settings import Settings

__all__ = ["ValueEvaluation", "evaluate_value"]

REFIT_DAYS: Final = 28.0


class ValueEvaluation(NamedTuple):
    """What there is to report; as of `ChurnEvaluation`."""

    predictions: Predictions
    counted: Flags
    scorer: Rated
    reproduced: int
    baselines: dict[str, Rated]

    def figures(self, rated: Rated) -> dict[str, float | None]:
        """Return the figures of one model, over the counted predictions."""
        spent, said = self.predictions.spend[self.counted], rated.said[self.counted]
        return value_figures(spent, said) | {"seconds": rated.seconds}

    def report(self) -> dict[str, Any]:
        """Return counts, and the figures of all models."""
        known = self.predictions
        return {
            "predictions": int(self.counted.sum()),
            "spent": float(known.spend[self.counted].sum()),
            "spenders": int((known.spend[self.counted] > 0.0).sum()),
            "customers": len(set(known.customers[self.counted])),
            "settled": len(known),
            "late": int(known.late.sum()),
            "unscored": int((~self.counted & ~known.late).sum()),
            "reproduced": self.reproduced,
            "scorer": self.figures(self.scorer),
            "baselines": {name: self.figures(rated) for name, rated in self.baselines.items()},
        }


def evaluate_value(
    gathering: Gathering,
    settings: Settings,
    *,
    baselines: bool,
    clock: Clock,
    tell: Callable[[str, float], None],
) -> ValueEvaluation:
    """Rate the scorer, and others on the same rows.

    Parameters
    ----------
    gathering
        Of a replay with these settings.
    settings
        Of the whole program.
    baselines
        Whether to fit others at all.
    clock
        Returns seconds that only rise.
    tell
        Told the name of a model, and the share that is done.

    Raises
    ------
    ConfigurationError
        Where there is nothing to rate.
    """
    predictions = gathering.predictions()
    counted = ~predictions.late & np.isfinite(predictions.value)
    _require_spend(predictions.spend[counted])
    relearned = relearn_value(predictions, settings, clock, lambda done: tell("scorer", done))
    scorer = Rated(predictions.value, relearned.seconds)
    same = int(np.isclose(relearned.said, predictions.value, 1e-5, 2e-6)[counted].sum())
    others: dict[str, Rated] = {}
    if baselines:
        others = _others(predictions, Purchases(gathering.moments()), settings, clock, tell)
    return ValueEvaluation(predictions, counted, scorer, same, others)


def _others(
    predictions: Predictions,
    purchases: Purchases,
    settings: Settings,
    clock: Clock,
    tell: Callable[[str, float], None],
) -> dict[str, Rated]:
    horizon, rows = settings.horizon_days * DAY, purchases.rows_of(predictions)

    def timed(say: Callable[[], Numbers]) -> Rated:
        began = clock()
        return Rated(say(), clock() - began)

    rated = {
        "mean_so_far": timed(lambda: mean_so_far(predictions, predictions.spend, 0.0, 0.0)),
        "last_period": timed(lambda: purchases.spend_of_last(rows, horizon)),
        "average_rate": timed(
            lambda: purchases.rate_so_far(rows, settings.prediction_interval_days * DAY) * horizon
        ),
    }
    bg_nbd = _BgNbd(purchases, rows, rated["mean_so_far"].said, settings)
    rated["bg_nbd_gamma_gamma"] = refitted(
        predictions,
        REFIT_DAYS * DAY,
        bg_nbd.fit,
        rated["mean_so_far"].said,
        clock,
        lambda done: tell("bg_nbd_gamma_gamma", done),
    )
    return rated


class _BgNbd:
    """BG/NBD times Gamma-Gamma; where they say nothing, the mean so far."""

    def __init__(
        self, purchases: Purchases, rows: Rows, stand_in: Numbers, settings: Settings
    ) -> None:
        self._purchases = purchases
        self._rows = rows
        self._stand_in = stand_in
        self._days = settings.horizon_days
        self._least = settings.min_outcomes

    def fit(self, sweep: Sweep) -> Ask | None:
        """Fit on the purchases so far, unless too few customers came back."""
        buyers = self._purchases.buyers_at(sweep.at)
        if (buyers.repeats > 0.0).sum() < self._least:
            return None
        bg_nbd, gamma_gamma = fit_bg_nbd(buyers), fit_gamma_gamma(buyers)

        def ask(asked: Rows) -> Numbers:
            said = self._stand_in[asked]
            them = self._purchases.buyers(self._rows[asked])
            have = them.repeats >= 0.0
            some = them.only(have)
            worth = bg_nbd.expected_purchases(some, self._days) * gamma_gamma.expected_value(some)
            usable = np.isfinite(worth) & (worth >= 0.0)
            said[have] = np.where(usable, worth, said[have])
            return said

        return ask


def _require_spend(spend: Numbers) -> None:
    if not spend.size:
        raise ConfigurationError(TOO_SHORT)
    if not spend.any():
        raise ConfigurationError(
            "nobody spent anything, so there is no value to rate: the file holds no orders with "
            "an amount (of --format csv, name its column by --amount)"
        )
