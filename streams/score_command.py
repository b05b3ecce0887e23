"""What `crm-online score` does: a file in, score updates or settled outcomes out."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO

from crm_online.simulation.offline import score_history
from crm_online.simulation.replay import plan_replay
from streams.progress import progress_bar
from streams.steps import parse_max_ahead

if TYPE_CHECKING:
    from crm_online.log import Effects
    from crm_online.settings import Settings
    from crm_online.simulation.datasets import Dataset

__all__ = ["score_file"]


def score_file(
    settings: Settings,
    dataset: Dataset,
    *,
    outcomes: bool,
    max_ahead: str,
    out: BinaryIO | None = None,
) -> int:
    """Score a history; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    dataset
        The history.
    outcomes
        Print settled outcomes in place of score updates.
    max_ahead
        Days between barriers, or ``"none"``.
    out
        Where JSON lines go; standard output by default.
    """
    stream = sys.stdout.buffer if out is None else out
    steps = plan_replay(dataset, parse_max_ahead(max_ahead))
    counts: Counter[str] = Counter()
    began = time.monotonic()
    with progress_bar("scoring", lambda: dataset.progress) as advance:
        for effects in score_history(steps, settings):
            _write(effects, stream, outcomes=outcomes)
            counts["events"] += effects.events
            counts.update({noun: len(found) for noun, found in effects.outputs.items()})
            advance()
    stream.flush()
    seconds = time.monotonic() - began
    summary = ", ".join(f"{count:,} {noun}" for noun, count in counts.items())
    sys.stderr.write(f"{summary}; {counts['events'] / max(seconds, 1e-9):,.0f} events/s\n")
    for reason, count in dataset.report.skipped.items():
        sys.stderr.write(f"skipped {count:,} rows: {reason}\n")
    return 0


def _write(effects: Effects, stream: BinaryIO, *, outcomes: bool) -> None:
    for message in effects.outputs.get("outcomes" if outcomes else "scores", ()):
        value, headers = message.value, dict(message.headers)
        wanted = b"crm.prediction.settled" if outcomes else b"crm.score.updated"
        if value is not None and headers.get("ce_type") == wanted:
            stream.write(value + b"\n")
