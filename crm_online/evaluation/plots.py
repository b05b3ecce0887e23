"""Pictures of evaluations, PNG or SVG by the name of the file; no window, no display."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from crm_online.evaluation.churn import ChurnEvaluation
from crm_online.evaluation.gathering import Flags, Numbers
from crm_online.evaluation.metrics import calibration_curve
from crm_online.evaluation.segments import SegmentEvaluation
from crm_online.evaluation.sweeps import Rated
from crm_online.evaluation.value import ValueEvaluation
from crm_online.models.segments import SEGMENTS
from crm_online.monitoring.figures import auc, log_loss

__all__ = ["draw_churn", "draw_segments", "draw_value"]

DAY: Final = 86_400.0
WINDOW_DAYS: Final = 28.0
EIGHT: Final = 8.0
OURS: Final = "crm-online"
Figure = Callable[[Numbers, Numbers], float | None]


def draw_churn(evaluation: ChurnEvaluation, path: Path) -> None:
    """Draw calibration, and AUC and log loss over time.

    Parameters
    ----------
    evaluation
        What to draw.
    path
        Ends in ``.png`` or ``.svg``.
    """
    known, rows = evaluation.predictions, evaluation.counted
    labels, opened = known.churned[rows].astype(float), known.opened[rows]
    with _figure(path, 3) as (calibration, ranking, loss):
        calibration.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for name, said in _models(evaluation.scorer, evaluation.baselines, rows):
            calibration.plot(*calibration_curve(labels, said), marker=".", label=name)
            ranking.plot(*_over_time(opened, labels, said, auc), marker=".", label=name)
            loss.plot(*_over_time(opened, labels, said, log_loss), label=name)
        calibration.set(xlabel="predicted chance of churn", ylabel="share that churned")
        calibration.legend()
        ranking.set(ylabel="AUC")
        loss.set(ylabel="log loss")


def draw_value(evaluation: ValueEvaluation, path: Path) -> None:
    """Draw predicted and true spend by tenth, and the error over time; as of `draw_churn`."""
    known, rows = evaluation.predictions, evaluation.counted
    spent, opened = known.spend[rows], known.opened[rows]
    with _figure(path, 2) as (calibration, error):
        top = 0.0
        for name, said in _models(evaluation.scorer, evaluation.baselines, rows):
            means, truth = calibration_curve(spent, said)
            top = max(top, float(truth.max()))
            calibration.plot(means, truth, marker=".", label=name)
            error.plot(*_over_time(opened, spent, said, _mean_error), label=name)
        calibration.plot([0, top], [0, top], color="0.7", linewidth=1)
        calibration.set(xlabel="predicted spend, mean of a tenth", ylabel="spend")
        calibration.legend()
        error.set(ylabel="mean absolute error")


def draw_segments(evaluation: SegmentEvaluation, path: Path) -> None:
    """Draw the share of each segment over time; as of `draw_churn`."""
    from matplotlib import colormaps  # noqa: PLC0415 - an extra

    days = [datetime.fromtimestamp(at, UTC) for at in evaluation.weeks.tolist()]
    with _figure(path, 1, width=9.0) as (sizes,):
        labels = [name.replace("_", " ") for name in SEGMENTS]
        colors = colormaps["Spectral_r"](np.linspace(0.0, 1.0, len(SEGMENTS)))
        sizes.stackplot(days, evaluation.shares.T, labels=labels, colors=colors)
        sizes.set(ylabel="share of customers", ylim=(0, 1))
        sizes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)


@contextmanager
def _figure(path: Path, panels: int, width: float = 5.0) -> Iterator[Any]:
    # Not pyplot: it looks for a display and keeps every figure.
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    figure = Canvas(figsize=(width * panels, 4.0), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[panels > 1 :]:
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_formatter(formatter)
        axis.set(xlabel="predictions made in")
    yield axes
    # The date would make every drawing of the same figures another file.
    undated = {"Date": None} if path.suffix.lower() == ".svg" else {}
    figure.savefig(path, dpi=150, metadata=undated)


def _models(
    scorer: Rated, baselines: Mapping[str, Rated], rows: Flags
) -> Iterator[tuple[str, Numbers]]:
    yield OURS, scorer.said[rows]
    for name, rated in baselines.items():
        yield name.replace("_", " "), rated.said[rows]


def _over_time(
    opened: Numbers, truth: Numbers, said: Numbers, figure: Figure
) -> tuple[list[datetime], list[float]]:
    """Return a figure of every four weeks of predictions, or of each eighth of a short history."""
    first, span = float(opened.min()), float(np.ptp(opened))
    width = min(WINDOW_DAYS * DAY, span / EIGHT) or DAY
    windows = ((opened - first) // width).astype(int)
    days, figures = [], []
    for window in np.unique(windows):
        here = windows == window
        found = figure(truth[here], said[here])
        if found is not None:
            days.append(datetime.fromtimestamp(first + (float(window) + 0.5) * width, UTC))
            figures.append(found)
    return days, figures


def _mean_error(truth: Numbers, said: Numbers) -> float:
    return float(np.abs(said - truth).mean())
