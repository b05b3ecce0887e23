"""What `crm-online score` does: a file in, score updates or settled outcomes out."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO

from crm_online.simulation.offline import score_history
from streams.exits import say
from streams.progress import progress_bar

if TYPE_CHECKING:
    from crm_online.log import Effects
    from crm_online.settings import Settings
    from streams.steps import History

__all__ = ["score_file"]


def score_file(
    settings: Settings,
    history: History,
    *,
    outcomes: bool,
    max_ahead_seconds: float | None,
    out: BinaryIO | None = None,
) -> int:
    """Score a history; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    history
        From `open_history`.
    outcomes
        Print settled outcomes in place of score updates.
    max_ahead_seconds
        Event time between barriers; None for none.
    out
        Where JSON lines go; standard output by default.
    """
    stream = sys.stdout.buffer if out is None else out
    counts: Counter[str] = Counter()
    began = time.monotonic()
    with progress_bar(lambda: history.stage("scoring"), beside_output=True):
        for effects in score_history(history.steps(max_ahead_seconds), settings):
            _write(effects, stream, outcomes=outcomes)
            counts["events"] += effects.events
            counts.update({noun: len(found) for noun, found in effects.outputs.items()})
        stream.flush()
    seconds = time.monotonic() - began
    summary = ", ".join(f"{count:,} {noun}" for noun, count in counts.items())
    say(f"{summary} in {seconds:.1f} s ({counts['events'] / max(seconds, 1e-9):,.0f} events/s)")
    return history.end()


def _write(effects: Effects, stream: BinaryIO, *, outcomes: bool) -> None:
    wanted = b"crm.prediction.settled" if outcomes else b"crm.score.updated"
    for message in effects.outputs.get("outcomes" if outcomes else "scores", ()):
        if message.value is not None and dict(message.headers).get("ce_type") == wanted:
            stream.write(message.value + b"\n")
