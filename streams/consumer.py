"""aiokafka's consumer, outside of any group unless it is told one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer

from streams.connection import consumer_options

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Consumer", "stop_in_time"]

STOPPING_SECONDS: Final = 2.0


class Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # it has no types
    """A consumer that connects as the settings say, and may be stopped right after its start.

    Parameters
    ----------
    settings
        Of the whole program.
    **options
        More of aiokafka's.
    """

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**consumer_options(settings), **options)

    async def start(self) -> None:
        """Connect."""
        await super().start()
        # A task that is cancelled before its first step cancels who awaits it: aiokafka's `stop`
        # awaits such tasks, and would cancel us. So let them take that step.
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Disconnect."""
        await stop_in_time(self, super().stop())


async def stop_in_time(consumer: Any, stop: Coroutine[Any, Any, None]) -> None:
    """Wait until a consumer of aiokafka has stopped.

    It cancels its fetcher and waits for it. But a fetcher that loses its partitions waits for what
    it cancels itself, takes our cancelling for that, and goes on: so it is cancelled until it ends.
    A fetch that had just failed passes its cancelling on to us.

    Parameters
    ----------
    consumer
        Of aiokafka.
    stop
        What stops it, not yet begun.
    """
    stopping = asyncio.ensure_future(stop)
    while not stopping.done():
        await asyncio.wait([stopping], timeout=STOPPING_SECONDS)
        fetcher = getattr(consumer, "_fetcher", None)
        if not stopping.done() and fetcher is not None:
            fetcher._fetch_task.cancel()  # noqa: SLF001 - has no other way
    if stopping.cancelled():
        await consumer._client.close()  # noqa: SLF001 - what it did not come to
    else:
        stopping.result()
