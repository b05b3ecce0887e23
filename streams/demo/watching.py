"""One consumer over all that the demo shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from streams.consumer import Consumer

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_online.settings import Settings
    from streams.demo.board import Board

__all__ = ["watching"]


@asynccontextmanager
async def watching(
    settings: Settings, board: Board, stop: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """Keep a board up to date from the output topics.

    Parameters
    ----------
    settings
        Of the whole program.
    board
        Takes the records.
    stop
        Called with what went wrong.
    """
    watch = asyncio.ensure_future(_watch(settings, board, stop))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _watch(settings: Settings, board: Board, stop: Callable[[BaseException], None]) -> None:
    takers = {
        settings.topic("scores"): board.take_scores,
        settings.topic("recommendations"): board.take_recommendations,
        settings.topic("outcomes"): board.take_outcomes,
        settings.topic("actions"): board.take_actions,
        settings.topic("dead-letters"): board.take_dead_letters,
    }
    consumer = Consumer(settings, auto_offset_reset="earliest")
    try:
        await consumer.start()
        places = [TopicPartition(t, p) for t in takers for p in range(settings.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while True:
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                takers[place.topic](records)
    except Exception as error:  # the demo must not show half of the truth  # noqa: BLE001
        stop(error)
    finally:
        await consumer.stop()
