"""Work side by side, but for each customer one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from streams.roles.tasks import Stop

__all__ = ["Lanes"]

Thing = TypeVar("Thing")


class Lanes(Generic[Thing]):
    """Runs work in order within a lane; an exception in it ends the process.

    Parameters
    ----------
    work
        Called with each thing.
    stop
        Ends the process with a reason.
    """

    def __init__(self, work: Callable[[Thing], Awaitable[None]], stop: Stop) -> None:
        self._work = work
        self._stop = stop
        self._last: dict[str, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def add(self, lane: str, thing: Thing) -> None:
        """Begin as soon as all that was added to this lane before has ended."""
        task = asyncio.ensure_future(self._run(self._last.get(lane), thing))
        self._last[lane] = task
        self._running.add(task)

        def end(_: object) -> None:
            self._running.discard(task)
            if self._last.get(lane) is task:
                del self._last[lane]

        task.add_done_callback(end)

    async def cancel(self) -> None:
        """Return when nothing runs any more; what had not ended was cancelled."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, previous: asyncio.Task[None] | None, thing: Thing) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        try:
            await self._work(thing)
        except Exception as error:  # nothing may end silently  # noqa: BLE001
            self._stop(error)
