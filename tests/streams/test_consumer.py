"""The consumer outside of any group."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from crm_online.settings import Settings
from streams.consumer import Consumer
from streams.embedded import MockBroker, RealKafka

pytestmark = pytest.mark.asyncio


async def test_one_that_is_stopped_right_after_its_start_cancels_nobody(
    mock_broker: MockBroker,
) -> None:
    consumer = Consumer(Settings(kafka=mock_broker.address))
    await consumer.start()
    await consumer.stop()


async def test_one_that_never_got_through_can_be_stopped() -> None:
    consumer = Consumer(Settings(kafka="127.0.0.1:1"))
    with pytest.raises(KafkaConnectionError):
        await consumer.start()
    await consumer.stop()


async def test_one_whose_fetcher_takes_our_cancelling_for_another_stops_all_the_same(
    broker: MockBroker | RealKafka, app: str
) -> None:
    broker.create_topics({f"{app}.events": 1})
    consumer = Consumer(Settings(app=app, kafka=broker.address))
    await consumer.start()
    consumer.assign([TopicPartition(f"{app}.events", 0)])
    await consumer.getmany(timeout_ms=200)
    ending = asyncio.Event()

    async def fetch() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ending.set()
            await asyncio.sleep(0.2)  # as one does that had just failed
            raise

    consumer._fetcher._pending_tasks.add(asyncio.ensure_future(fetch()))
    await asyncio.sleep(0)
    consumer.unsubscribe()
    await ending.wait()
    await asyncio.wait_for(consumer.stop(), 15.0)
