"""A progress bar with an ETA on terminals, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["progress_bar"]

PLAIN_SECONDS = 5.0


@contextmanager
def progress_bar(what: str, share: Callable[[], float]) -> Iterator[Callable[[], None]]:
    """Show how much is done, on standard error.

    Parameters
    ----------
    what
        A word for the work.
    share
        Returns how much is done, 0 to 1.

    Yields
    ------
    Callable
        To be called now and then.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(what, share)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda: progress.update(task, completed=share())


def _plain(what: str, share: Callable[[], float]) -> Callable[[], None]:
    began = last = time.monotonic()

    def advance() -> None:
        nonlocal last
        now, done = time.monotonic(), share()
        if now - last >= PLAIN_SECONDS and done > 0.0:
            last = now
            left = (now - began) * (1.0 - done) / done
            sys.stderr.write(f"{what}: {done:.0%}, about {left:.0f} s left\n")

    return advance
