"""Where tasks wait: what a role that stands still leaves behind for whoever looks into it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import structlog

__all__ = ["stacks", "tell"]

DEEPEST: Final = 30
LAST_PARTS: Final = 2  # of a file's path

_log = structlog.get_logger(__name__)


def stacks(tasks: Iterable[asyncio.Task[Any]]) -> list[str]:
    """Return a line for each task that is not done: where it waits, the outermost call first.

    Parameters
    ----------
    tasks
        Of any loop; one that goes on meanwhile may be told wrongly.

    Examples
    --------
    >>> async def main():
    ...     waiting = asyncio.create_task(asyncio.sleep(9.0), name="waiting")
    ...     await asyncio.sleep(0)
    ...     return stacks([waiting])
    >>> asyncio.run(main())
    ['waiting: asyncio/tasks.py:... sleep']
    """
    return sorted(
        f"{task.get_name()}: {' > '.join(_calls(task.get_coro()))}"
        for task in tasks
        if not task.done()
    )


def tell(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Write a line into the log for each task that is not done."""
    for waiting in stacks(tasks):
        _log.error("a task waits", where=waiting)


def _calls(waiting: Any) -> Iterator[str]:
    for _ in range(DEEPEST):
        if type(waiting).__name__ == "coroutine_wrapper":  # of whoever awaits by `__await__`
            waiting = next(iter(gc.get_referents(waiting)), None)
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "ag_frame", None)
        if frame is not None:
            code = frame.f_code
            file = "/".join(Path(code.co_filename).parts[-LAST_PARTS:])
            yield f"{file}:{frame.f_lineno} {code.co_name}"
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
        if waiting is None:
            return
