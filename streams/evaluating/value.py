"""What `crm-online evaluate value` does."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

from crm_online.evaluation.plots import draw_value
from crm_online.evaluation.value import evaluate_value
from streams.evaluating.replaying import one_thread, replay, telling
from streams.evaluating.request import Request
from streams.evaluating.tables import print_json, print_models
from streams.exits import counted

__all__ = ["rate_value"]

_HEADS: Final = {
    "mae": "MAE",
    "spearman": "Spearman",
    "top_decile_share": "top decile",
    "sum_ratio": "sum ratio",
    "seconds": "seconds",
}


def rate_value(request: Request, *, baselines: bool, json: bool) -> int:
    """Replay, rate and report; returns the exit code. Parameters are those of `rate_churn`."""
    replayed = replay(request)
    if replayed.empty:
        return replayed.code
    with one_thread(), telling() as tell:
        rated = evaluate_value(
            replayed.gathering,
            request.settings,
            baselines=baselines,
            clock=time.process_time,
            tell=tell,
        )
    report = {**replayed.about(request), **rated.report()}
    if json:
        print_json(report)
    else:
        _print(report, request.settings.currency)
    if request.plot is not None:  # last: a picture that fails costs no figure
        draw_value(rated, request.plot)
    return replayed.code


def _print(report: dict[str, Any], currency: str) -> None:
    sys.stdout.write(
        f"{counted(report['predictions'], 'prediction')} of "
        f"{counted(report['customers'], 'customer')} settled after "
        f"{report['horizon_days']:g} days, {report['spenders']:,} with spend, "
        f"{report['spent'] / report['predictions']:,.2f} {currency} on average.\n"
        f"Not rated: {report['late']:,} made too late to be predictions, {report['unscored']:,} "
        "made before any outcome was known.\n\n"
    )
    print_models(report, _HEADS)
