"""What `crm-online evaluate churn` does."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

from crm_online.evaluation.churn import evaluate_churn
from crm_online.evaluation.extras import require
from crm_online.evaluation.plots import draw_churn
from streams.evaluating.replaying import one_thread, replay, telling
from streams.evaluating.request import Request
from streams.evaluating.tables import print_json, print_models
from streams.exits import counted

__all__ = ["rate_churn"]

_HEADS: Final = {
    "auc": "AUC",
    "pr_auc": "PR-AUC",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
    "lift_10": "lift 10 %",
    "auc_after_1000": "AUC*",
    "log_loss_after_1000": "log loss*",
    "ece_after_1000": "ECE*",
    "seconds": "seconds",
}


def rate_churn(request: Request, *, baselines: bool, json: bool) -> int:
    """Replay, rate and report; returns the exit code.

    Parameters
    ----------
    request
        What to replay, and how.
    baselines
        Rate batch models on the same predictions.
    json
        End with one object in place of a table.
    """
    if baselines:
        require("lightgbm", purpose="--baselines")
    replayed = replay(request)
    if replayed.empty:
        return replayed.code
    with one_thread(), telling() as tell:
        rated = evaluate_churn(
            replayed.gathering.predictions(),
            request.settings,
            sweep_seconds=request.sweep_seconds,
            baselines=baselines,
            clock=time.process_time,
            tell=tell,
        )
    report = {**replayed.about(request), **rated.report()}
    if json:
        print_json(report)
    else:
        _print(report)
    if request.plot is not None:  # last: a picture that fails costs no figure
        draw_churn(rated, request.plot)
    return replayed.code


def _print(report: dict[str, Any]) -> None:
    sys.stdout.write(
        f"{counted(report['predictions'], 'prediction')} of "
        f"{counted(report['customers'], 'customer')} settled after "
        f"{report['horizon_days']:g} days, {report['churned']:,} churned "
        f"({report['churned'] / report['predictions']:.1%}).\n"
        f"Not rated: {report['late']:,} made too late to be predictions, {report['unscored']:,} "
        "made before any outcome was known.\n\n"
    )
    print_models(report, _HEADS)
    sys.stdout.write("\n* of predictions made when at least 1,000 labels were known.\n")
