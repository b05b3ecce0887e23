"""A progress bar with an ETA on terminals, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import NamedTuple

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

__all__ = ["Stage", "progress_bar"]

PLAIN_SECONDS = 5.0
PLAIN_SHARE = 0.1  # of the time so far: a run of hours needs no line every few seconds


class Stage(NamedTuple):
    """What is being done, and which share of it is: 0 to 1, or None where nobody knows."""

    word: str
    share: float | None


@contextmanager
def progress_bar(stage: Callable[[], Stage], *, beside_output: bool = False) -> Iterator[None]:
    """Show how much is done for as long as the block runs.

    Parameters
    ----------
    stage
        Asked now and then, from another thread.
    beside_output
        Results go to standard output meanwhile: no bar where that is the same terminal.
    """
    console = Console(stderr=True)
    if console.is_terminal and not (beside_output and sys.stdout.isatty()):
        with _Bar(stage, console):
            yield
    else:
        with _lines(stage):
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
        began, last, pause, said = time.monotonic(), "", PLAIN_SECONDS, ""
        while not ended.wait(pause):
            word, share = stage()
            began = time.monotonic() if last and word != last else began
            last = word
            seconds = time.monotonic() - began
            pause = max(PLAIN_SECONDS, seconds * PLAIN_SHARE)
            line = _line(word, share, seconds)
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


def _line(word: str, share: float | None, seconds: float) -> str:
    if share is None:
        return f"{word} …"
    if not share or not seconds:
        return f"{word}: {share:.0%}"
    return f"{word}: {share:.0%}, about {seconds * (1.0 - share) / share:,.0f} s left"
