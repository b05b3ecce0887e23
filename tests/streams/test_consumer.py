"""The consumer outside of any group."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaConnectionError

from crm_online.settings import Settings
from streams.consumer import Consumer
from streams.embedded import MockBroker

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
