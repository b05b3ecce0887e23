"""Puts the stream on the log, no faster than a rate and never far ahead of those who read it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from crm_online.customers.state import DAY
from crm_online.simulation.raw import RawEvent
from streams.feeding import Feeder
from streams.producer import OutputProducer
from streams.verify.stream import stream

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Feed"]

STEP_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 600.0  # with a broker that is away, and with workers that stand still
HEAD: Final = 0.02  # of the stream stands on the log before any worker reads
AHEAD: Final = 0.2  # of the stream, or so many events: else most is applied undisturbed
AHEAD_EVENTS: Final = 10_000


class Feed:
    """Sends from when it is entered on; `share` says how much is sent.

    Parameters
    ----------
    settings
        Of the run.
    events, seed
        Of the stream.
    rate
        Events a second at most; what was held up is not made up for.
    applied
        How many events the workers have applied: the stream waits for them.
    """

    def __init__(
        self, settings: Settings, events: int, seed: int, rate: float, applied: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._events = events
        self._rate = rate
        self._applied = applied
        self._ahead = max(int(AHEAD * events), AHEAD_EVENTS)
        self._stream = stream(events, seed)
        self._failed: BaseException | None = None
        self._producer = OutputProducer(settings, self._fail, patience_seconds=PATIENCE_SECONDS)
        self._feeder = Feeder(self._producer, settings, settings.partitions)
        self._last = 0.0
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._producer.start()
        self._sending = asyncio.ensure_future(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, whether or not all is sent."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._producer.stop()

    @property
    def share(self) -> float:
        """Share of the stream that is sent: 0 to 1."""
        return self._feeder.sent / self._events

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._failed is not None:
            raise self._failed
        if self._sending is not None and self._sending.done():
            self._sending.result()

    async def finish(self) -> None:
        """Move event time on in all partitions, so that every prediction that is open settles."""
        if self._sending is not None:
            await self._sending
        await self._feeder.tick(self._last + (self._settings.horizon_days + 1.0) * DAY)

    def _fail(self, error: BaseException) -> None:
        self._failed = error

    async def _send(self) -> None:
        head = int(HEAD * self._events)
        for event in islice(self._stream, head):
            await self._append(event)
        await self._feeder.flush()
        await self._wait(lambda: self._applied() > 0)
        step = max(int(self._rate * STEP_SECONDS), 1)
        due = time.monotonic()
        while chunk := list(islice(self._stream, step)):
            for event in chunk:
                await self._append(event)
            await self._feeder.flush()
            due = max(due + STEP_SECONDS, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            await self._wait(lambda: self._feeder.sent - self._applied() <= self._ahead)

    async def _wait(self, gone_on: Callable[[], bool]) -> None:
        """Wait for the workers: the broker is asked, so there is nothing to wait on but a clock."""
        began = time.monotonic()
        while not gone_on() and time.monotonic() - began < PATIENCE_SECONDS:  # noqa: ASYNC110
            await asyncio.sleep(STEP_SECONDS)

    async def _append(self, event: RawEvent) -> None:
        await self._feeder.send(event.customer, event.value)
        self._last = max(self._last, event.at)
