"""aiokafka's consumer, outside of any group unless it is told one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer

from streams.connection import consumer_options

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Consumer"]


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
        """Disconnect; a fetch that ends by being cancelled does not cancel us."""
        try:
            await super().stop()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
