"""Follows ``crm.metrics`` from some way before its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.consumer import Consumer
from streams.followers import Follower

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_online.settings import Settings
    from streams.web.board import Board

__all__ = ["follow"]

LOOK_BACK: Final = 20_000  # records: an hour of five workers
RETRY_SECONDS: Final = 2.0

_log = structlog.get_logger(__name__)


async def follow(settings: Settings, board: Board, stop: Callable[[BaseException], None]) -> None:
    """Keep a board up to date, until cancelled.

    Parameters
    ----------
    settings
        Of the whole program.
    board
        Takes the records.
    stop
        Called with what went wrong for good.
    """
    topic = settings.topic("metrics")
    while True:
        try:
            start = await _start(settings, TopicPartition(topic, 0))
            break
        except KafkaError as error:
            _log.warning("the dashboard waits for Kafka", reason=repr(error))
            await asyncio.sleep(RETRY_SECONDS)
    await Follower(settings, topic, board.apply, stop, start=start).run()


async def _start(settings: Settings, place: TopicPartition) -> int | None:
    consumer = Consumer(settings)
    try:
        await consumer.start()
        if place.topic not in await consumer.topics():
            return None
        first = (await consumer.beginning_offsets([place]))[place]
        end = (await consumer.end_offsets([place]))[place]
        return max(int(first), int(end) - LOOK_BACK)
    finally:
        await consumer.stop()
