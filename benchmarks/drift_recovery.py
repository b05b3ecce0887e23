"""Churn after a drift: outcomes until live AUC is within .01 of a model without a past.

    python benchmarks/drift_recovery.py [SEEDS]

Generated shops are replayed through scorer and learner, labels delayed; the same rows and features
train LightGBM and logistic regression anew every week, on all labels known by then. What can be
reached is said by each of the two trained on predictions after the drift only, of other customers.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from crm_online.evaluation.recovery import Stretch, averaged, follow_drift, outcomes_needed
from crm_online.settings import Settings
from crm_online.simulation.population_settings import PopulationSettings

__all__ = ["main"]

DAYS = 240.0
CUSTOMERS = 1_000
SEEDS = 5
SHOPS: dict[str, dict[str, Any]] = {
    "as generated: the odds to leave double": {},
    "a turn: few leave after an order, then 40 in 100": {
        "dropout_b": 30.0,
        "drift_dropout_odds": 20.0,
    },
}


def show(found: Sequence[Stretch]) -> None:
    """Print the weeks as a table, and what each model needed."""
    names = list(found[0].auc)
    print("| outcomes | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for each in found:
        print(f"| {each.outcomes:,.0f} | " + " | ".join(f"{each.auc[n]:.3f}" for n in names) + " |")
    print()
    for reference in (name for name in names if name.endswith("new data only")):
        needed = [
            f"{name} {'none of these' if n is None else format(n, ',.0f')}"
            for name in names
            if not name.endswith("new data only")
            for n in [outcomes_needed(found, name, reference)]
        ]
        print(f"- Within .01 of {reference}, after outcomes: " + "; ".join(needed))
    print(flush=True)


def main(arguments: Sequence[str]) -> None:
    """Follow every kind of shop for as many seeds as were asked for."""
    seeds = int(arguments[0]) if arguments else SEEDS
    for name, parameters in SHOPS.items():
        runs = [
            follow_drift(
                PopulationSettings(customers=CUSTOMERS, days=DAYS, seed=seed, **parameters),
                Settings(),
                time.process_time,
            )
            for seed in range(1, seeds + 1)
        ]
        print(f"{name[0].upper()}{name[1:]}; means of {seeds} seeds:\n")
        show(averaged(runs))


if __name__ == "__main__":
    main(sys.argv[1:])
