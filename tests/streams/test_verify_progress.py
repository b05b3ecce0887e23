"""How far the job is, and its longest time without progress: from its first score to its last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import TopicPartition

from crm_online import Settings
from crm_online.log import Message
from streams.consumer import Consumer
from streams.embedded import MockBroker, RealKafka
from streams.verify.progress import POLL_SECONDS, Progress
from tests.streams.workers import PARTITIONS, append, counting_settings

pytestmark = pytest.mark.asyncio


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30.0):
        while not condition():  # noqa: ASYNC110 - the broker decides
            await asyncio.sleep(POLL_SECONDS / 5)


async def commit(settings: Settings, offset: int) -> None:
    consumer: Any = Consumer(settings, group_id=f"{settings.app}-score")
    await consumer.start()
    place = TopicPartition(settings.topic("events"), 0)
    consumer.assign([place])
    await consumer.commit({place: offset})
    await consumer.stop()


async def test_workers_that_start_are_no_stall_and_workers_that_stop_are(
    app: str, broker: MockBroker | RealKafka
) -> None:
    broker.create_topics({f"{app}.{noun}": PARTITIONS for noun in ("events", "scores")})
    settings = counting_settings(app, broker.address)
    progress = Progress(settings)
    watching = asyncio.create_task(progress.watch())
    await append(settings, "events", 0, Message(b"c-1", b"{}"))
    await commit(settings, 1)
    await until(lambda: progress.applied == 1)
    await asyncio.sleep(4 * POLL_SECONDS)
    assert progress.longest_stall_seconds == 0.0
    await append(settings, "scores", 0, Message(b"c-1", b"{}"))
    await until(lambda: progress.scored == 1)
    await until(lambda: progress.longest_stall_seconds > 2 * POLL_SECONDS)
    progress.all_applied = True
    ended = progress.longest_stall_seconds
    await asyncio.sleep(4 * POLL_SECONDS)
    assert progress.longest_stall_seconds == ended
    watching.cancel()
    await asyncio.wait([watching])  # else the loop ends before its consumer has stopped
