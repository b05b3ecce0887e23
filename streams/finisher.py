"""Makes the effects of batches durable in the order that keeps them exact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from crm_online.log import Effects, Message

__all__ = ["Finisher"]

Deliver = Callable[[int, Sequence[Message]], Awaitable[None]]


class Finisher:
    """Delivers snapshots once the outputs are there, and the progress record once those are.

    Partitions go on side by side; within one, every step waits for the one before it.

    Parameters
    ----------
    deliver
        Writes to a partition of the state topic, and returns when it is delivered.
    depth
        Steps that may be under way before `add` waits.
    stop
        Called once, with the first failure; nothing is finished or acknowledged behind it.
    """

    def __init__(self, deliver: Deliver, depth: int, stop: Callable[[BaseException], None]) -> None:
        self.progress: dict[int, int] = {}
        self._deliver = deliver
        self._stop = stop
        self._slots = asyncio.Semaphore(depth)
        self._last: dict[int, asyncio.Task[None]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._failed = False

    async def add(
        self, partition: int, effects: Effects, outputs: Sequence[Awaitable[Any]]
    ) -> None:
        """Take over one slice whose outputs are on their way; waits while too many are."""
        await self._begin(partition, self._finish(partition, effects, outputs))

    async def acknowledge(self, partition: int, ack: Callable[[], object]) -> None:
        """Call `ack` once everything added for this partition so far is durable."""

        async def step() -> None:
            ack()

        await self._begin(partition, step())

    async def idle(self) -> None:
        """Return when nothing is under way any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def forget(self, partition: int) -> None:
        """Drop what is known of a partition of which nothing is under way."""
        self.progress.pop(partition, None)
        self._last.pop(partition, None)

    async def _begin(self, partition: int, step: Coroutine[Any, Any, None]) -> None:
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            step.close()
            raise
        task = asyncio.create_task(self._after(self._last.get(partition), step))
        self._last[partition] = task
        self._under_way.add(task)
        task.add_done_callback(self._end)

    async def _after(
        self, previous: asyncio.Task[None] | None, step: Coroutine[Any, Any, None]
    ) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        if self._failed:
            step.close()
        else:
            await step

    async def _finish(
        self, partition: int, effects: Effects, outputs: Sequence[Awaitable[Any]]
    ) -> None:
        await asyncio.gather(*outputs)
        if effects.snapshots:
            await self._deliver(partition, effects.snapshots)
        if effects.progress is not None:
            await self._deliver(partition, [effects.progress])
            self.progress[partition] = effects.as_of

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._slots.release()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not self._failed:
            self._failed = True
            if not task.cancelled():
                self._stop(error)
