"""How far a run has come, and the longest time in which it did not get any further."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError

from crm_online.errors import CrmOnlineError
from streams.consumer import Consumer
from streams.verify.reading import Reader, places
from streams.verify.relearning import Models
from streams.verify.states import States

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Progress", "settle"]

POLL_SECONDS: Final = 0.25
GIVE_UP_SECONDS: Final = 150.0
CACHED: Final = ("scores", "recommendations")


class Progress:
    """Polls how many events the scorers have applied and how many records they have written.

    Parameters
    ----------
    settings
        Of the run.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.applied = self.scored = 0
        self.longest_stall_seconds = 0.0
        self._moved = time.monotonic()
        self.all_applied = False

    async def watch(self) -> None:
        """Poll for ever; a broker that is away counts as no progress."""
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError):
                self._measure()
            await asyncio.sleep(POLL_SECONDS)

    async def _follow(self) -> None:
        consumer: Any = Consumer(self._settings, group_id=f"{self._settings.app}-score")
        try:
            await consumer.start()
            consumer.assign(self._places("events"))
            while True:
                scored = sum((await consumer.end_offsets(self._places("scores"))).values())
                committed = [await consumer.committed(tp) for tp in self._places("events")]
                self.applied = sum(filter(None, committed))
                if scored != self.scored:
                    self._measure()
                    self.scored, self._moved = scored, time.monotonic()
                await asyncio.sleep(POLL_SECONDS)
                self._measure()
        finally:
            with suppress(KafkaError):
                await consumer.stop()

    def _places(self, noun: str) -> Any:
        return places(self._settings, noun)

    def _measure(self) -> None:
        if self.scored and not self.all_applied:  # until then workers start, which is no stall
            waited = time.monotonic() - self._moved
            self.longest_stall_seconds = max(self.longest_stall_seconds, waited)


class _Waiting:
    """Waits for conditions, one after the other; gives up where nothing moves any more."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick

    async def until(self, what: str, left: Callable[[], Awaitable[int]]) -> None:
        """Wait until nothing is left; `left` says how much, by its own look."""
        least: int | None = None
        moved = time.monotonic()
        while (now := await left()) > 0:
            self._tick()
            if least is None or now < least:
                least, moved = now, time.monotonic()
            elif time.monotonic() - moved > GIVE_UP_SECONDS:
                raise CrmOnlineError(
                    f"{now:,} {what}, and nothing moved for {GIVE_UP_SECONDS:.0f} s"
                )
            await asyncio.sleep(POLL_SECONDS)


async def settle(settings: Settings, progress: Progress, tick: Callable[[], None]) -> str:
    """Wait until all that was sent is applied, learned and cached.

    Parameters
    ----------
    settings
        Of the run.
    progress
        Told once all is applied.
    tick
        Called now and then: keeps the workers running.

    Returns
    -------
    str
        Empty, or what did not get done.
    """
    waiting, states, models = _Waiting(tick), States(), Models(settings)
    async with (
        Reader(settings, "events") as events,
        Reader(settings, "state") as state,
        Reader(settings, "outcomes") as outcomes,
        Reader(settings, "interactions") as interactions,
        Reader(settings, "models") as published,
    ):

        async def unapplied() -> int:
            async for partition, records in state.read():
                states.apply(partition, records)
            ends = await events.ends()
            return sum(end - 1 - states.applied.get(p, -1) for p, end in ends.items() if end)

        async def unlearned() -> int:
            async for _, records in published.read():
                models.apply(records)
            pairs = ((outcomes, "quality"), (interactions, "next_item"))
            ends = [((await topic.ends())[0], models.offset(name)) for topic, name in pairs]
            return sum(end - 1 - offset for end, offset in ends)

        try:
            await waiting.until("events are not applied", unapplied)
            progress.all_applied = True
            await waiting.until("outcomes and interactions are not learned", unlearned)
            await waiting.until("records are not cached", lambda: _uncached(settings))
        except CrmOnlineError as error:
            return str(error)
    return ""


async def _uncached(settings: Settings) -> int:
    group = f"{settings.app}-cache"
    consumer: Any = Consumer(settings, group_id=group)
    await consumer.start()
    try:
        every = [place for noun in CACHED for place in places(settings, noun)]
        consumer.assign(every)
        ends = await consumer.end_offsets(every)
        return sum([end - (await consumer.committed(tp) or 0) for tp, end in ends.items()])
    finally:
        await consumer.stop()
