"""A progress bar with an ETA on terminals, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final, NamedTuple

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from crm_online.models.compiling import is_compiling

__all__ = ["Stage", "progress_bar"]

PLAIN_SECONDS = 5.0
PLAIN_SHARE = 0.1  # of the time so far: a run of hours needs no line every few seconds


class Stage(NamedTuple):
    """What is being done, and which share of it is: 0 to 1, or None where nobody knows."""

    word: str
    share: float | None


COMPILING: Final = Stage("compiling, once per machine", None)


@contextmanager
def progress_bar(stage: Callable[[], Stage], *, beside_output: bool = False) -> Iterator[None]:
    """Show how much is done for as long as the block runs, and when kernels are being compiled.

    Parameters
    ----------
    stage
        Asked now and then, from another thread.
    beside_output
        Results go to standard output meanwhile: no bar where that is the same terminal.
    """

    def now() -> Stage:
        return COMPILING if is_compiling() else stage()

    console = Console(stderr=True)
    if console.is_terminal and not (beside_output and sys.stdout.isatty()):
        with _Bar(now, console):
            yield
    else:
        with _lines(now):
            yield


class _Bar(Progress):
    """A bar that asks for the state of the work whenever it is drawn."""

    def __init__(self, stage: Callable[[], Stage], console: Console) -> None:
        self._stage = stage
        self._word = ""
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,  # results are no part of the picture
        )
        self.add_task("", total=None)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Draw the present state."""
        for task in self.task_ids:  # none yet while the base class is made
            word, share = self._stage()
            if word != self._word:
                self._word = word  # first, as a reset draws
                self.reset(task, description=word)
            self.update(task, total=None if share is None else 1.0, completed=share or 0.0)
        yield from super().get_renderables()


@contextmanager
def _lines(stage: Callable[[], Stage]) -> Iterator[None]:
    ended = Event()

    def report() -> None:
        began, first, pause, said = time.monotonic(), Stage("", None), PLAIN_SECONDS, ""
        while not ended.wait(pause):
            now = stage()
            if now.word != first.word:
                # What was done under another word says nothing of how fast this one goes.
                began, first = (
                    (time.monotonic(), now) if first.word else (began, Stage(now.word, 0.0))
                )
            seconds = time.monotonic() - began
            pause = max(PLAIN_SECONDS, seconds * PLAIN_SHARE)
            line = _line(now, seconds, first.share or 0.0)
            if line != said:
                said = line
                sys.stderr.write(line + "\n")
                sys.stderr.flush()

    reporter = Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        ended.set()
        reporter.join()


def _line(stage: Stage, seconds: float, before: float) -> str:
    """Say how far it is, and where anything was done since `before`, how long the rest takes."""
    word, share = stage
    if share is None:
        return f"{word} …"
    if share <= before or not seconds:
        return f"{word}: {share:.0%}"
    left = seconds * (1.0 - share) / (share - before)
    return f"{word}: {share:.0%}, about {left:,.0f} s left"
