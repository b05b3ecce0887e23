"""Makes the effects of batches durable in the order that keeps them exact."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from crm_online.log import Effects, Message
from streams.lease import LeaseLost

__all__ = ["SLICES_UNDER_WAY", "Finisher"]

# Of a partition: the outputs of one, the snapshots of the one before, the record of the one before
# that. The producer has one request under way, with one batch of each partition: more slices would
# only queue there, in batches that stay as small as they are, where records yet to be read would
# come together in large ones.
SLICES_UNDER_WAY: Final = 3

Deliver = Callable[[int, Sequence[Message]], Awaitable[None]]
Step = Callable[[], Awaitable[None]]


class Finisher:
    """Delivers snapshots once the outputs are there, and the progress record once those are.

    Partitions go on side by side; within one, every step waits for the one before it.

    Parameters
    ----------
    deliver
        Writes to a partition of the state topic, and returns when it is delivered.
    capacity
        Events whose effects may be under way before `add` waits; a fired timer counts as one.
        A slice heavier than that goes alone. Nor are there ever more than three slices of a
        partition under way.
    stop
        Called once, with the first failure; nothing is finished or acknowledged behind it.
    lost
        Called where all was dropped because a write had no lease: what was applied is not durable.
    """

    def __init__(
        self,
        deliver: Deliver,
        capacity: int,
        stop: Callable[[BaseException], None],
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.progress: dict[int, int] = {}
        self._deliver = deliver
        self._capacity = capacity
        self._stop = stop
        self._lost = lost
        self._under_way: dict[asyncio.Task[None], tuple[int, int]] = {}  # partition, weight
        self._slices: Counter[int] = Counter()
        self._weight = 0
        self._changed = asyncio.Event()
        self._last: dict[int, asyncio.Task[None]] = {}
        self._dropped = 0
        self._failed = False

    async def add(
        self, partition: int, effects: Effects, outputs: Sequence[Awaitable[Any]]
    ) -> None:
        """Take over one slice whose outputs are on their way; waits while too many are.

        Raises
        ------
        LeaseLost
            Where all was dropped while it waited.
        """
        weight = max(effects.events, len(effects.snapshots), 1)
        dropped = self._dropped
        while self._is_full(partition, weight):
            self._changed.clear()
            await self._changed.wait()
            if dropped != self._dropped:
                raise LeaseLost
        self._begin(partition, partial(self._finish, partition, effects, outputs), weight)

    def acknowledge(self, partition: int, ack: Callable[[], object]) -> None:
        """Call `ack` once everything added for this partition so far is durable."""

        async def step() -> None:
            ack()

        self._begin(partition, step, 0)

    async def idle(self) -> None:
        """Return when nothing is under way any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def drop(self) -> None:
        """Finish, acknowledge and report nothing of what is under way, and forget all progress."""
        under_way, self._under_way = self._under_way, {}
        for task in under_way:
            task.cancel()
        self._weight = 0
        self._slices.clear()
        self._dropped += 1
        self._changed.set()
        self._last.clear()
        self.progress.clear()

    def forget(self, partition: int) -> None:
        """Drop what is known of a partition of which nothing is under way."""
        self.progress.pop(partition, None)
        self._last.pop(partition, None)

    def _is_full(self, partition: int, weight: int) -> bool:
        heavy = self._weight > 0 and self._weight + weight > self._capacity
        return heavy or self._slices[partition] >= SLICES_UNDER_WAY

    def _begin(self, partition: int, step: Step, weight: int) -> None:
        task = asyncio.create_task(self._after(self._last.get(partition), step))
        self._last[partition] = task
        self._under_way[task] = partition, weight
        self._count(partition, weight)
        task.add_done_callback(self._end)

    def _count(self, partition: int, weight: int) -> None:
        self._weight += weight
        self._slices[partition] += (weight > 0) - (weight < 0)  # an acknowledgement weighs nothing

    async def _after(self, previous: asyncio.Task[None] | None, step: Step) -> None:
        if previous is not None:
            await asyncio.wait([previous])
        if not self._failed:
            await step()

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
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        counted = self._under_way.pop(task, None)
        if counted is None:
            return  # dropped
        partition, weight = counted
        self._count(partition, -weight)
        self._changed.set()
        if isinstance(error, LeaseLost):
            self.drop()
            self._lost()
        elif error is not None and not self._failed:
            self._failed = True
            if not task.cancelled():
                self._stop(error)
