"""The replay of a history, and what comes after it, with progress on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crm_online.customers.state import DAY
from crm_online.evaluation.replaying import replayed
from streams.evaluating.request import Request
from streams.exits import say
from streams.progress import Stage, progress_bar
from streams.steps import date_of

if TYPE_CHECKING:
    from crm_online.evaluation.gathering import Gathering
    from crm_online.simulation.silence import Silence

__all__ = ["Replayed", "one_thread", "replay", "telling"]


class Replayed:
    """What was published, and how long it took.

    Parameters
    ----------
    gathering
        From `replayed`.
    seconds
        Of the whole replay.
    code
        Exit code that the file asks for.
    empty
        Whether it held nothing to rate.
    """

    def __init__(self, gathering: Gathering, seconds: float, code: int, *, empty: bool) -> None:
        self.gathering = gathering
        self.seconds = seconds
        self.code = code
        self.empty = empty

    def about(self, request: Request) -> dict[str, Any]:
        """Return what every report begins with."""
        return {
            "horizon_days": request.settings.horizon_days,
            "sweep_days": request.settings.prediction_interval_days,
            "events": request.history.passed,
            "refused": self.gathering.refused,
            "replay_seconds": self.seconds,
        }


def replay(request: Request) -> Replayed:
    """Replay the history; says what was left out of it."""
    began = time.perf_counter()
    history, settings = request.history, request.settings
    with progress_bar(lambda: history.stage("replaying")):
        gathering = replayed(history.steps(request.max_ahead_seconds, settings), settings)
    seconds = time.perf_counter() - began
    code = history.end()
    _warn_of_silence(history.silence, settings.horizon_days)
    gathering.require_activity(settings.prediction_interval_days * DAY)
    return Replayed(gathering, seconds, code, empty=history.empty)


def _warn_of_silence(silence: Silence, horizon_days: float) -> None:
    """Say where all that was open settled while nobody did anything."""
    begin, end = silence.widest
    days = (end - begin) / DAY
    if days > horizon_days:
        say(
            f"nobody did anything from {date_of(begin)} to {date_of(end)}, which is {days:.0f} "
            f"days: all that was predicted before counts as churned after {horizon_days:g} days. "
            "Is the later date right, and does the file hold what came between?",
            style="yellow",
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let arithmetic run on one thread for as long as the block runs.

    Seconds are those of the processor: with threads that wait in a loop for work, these would
    count waiting, and a busy machine would decide who is fast.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

    with threadpool_limits(limits=1):
        yield


class _Telling:
    def __init__(self) -> None:
        self.stage = Stage("rating", None)

    def __call__(self, word: str, share: float) -> None:
        self.stage = Stage(word.replace("_", " "), share)


@contextmanager
def telling() -> Iterator[_Telling]:
    """Show how far the rating is, for as long as the block runs."""
    tell = _Telling()
    with progress_bar(lambda: tell.stage):
        yield tell
