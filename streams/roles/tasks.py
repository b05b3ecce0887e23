"""Background work of a role: nothing in it may end silently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Stop", "Tasks"]

Stop = Callable[[BaseException], None]


class Tasks:
    """Coroutines that run beside an agent; an exception in one ends the process.

    Parameters
    ----------
    stop
        Ends the process with a reason.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._running: list[asyncio.Task[None]] = []

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until `end`."""
        self._running.append(asyncio.ensure_future(self._guard(work)))

    async def end(self) -> None:
        """Cancel all, and wait until they are gone."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # nothing may end silently  # noqa: BLE001
            self._stop(error)
