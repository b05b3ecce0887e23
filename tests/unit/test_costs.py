"""What must not grow: records, round trips and memory per batch. Counted, never timed."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from crm_online import InProcess, Scorer, Settings
from crm_online.internal import PROGRESS_KEY
from crm_online.log import Effects, LogRecord, Message
from crm_online.sinks.redis.writer import CacheWriter
from streams.batches import Batch
from streams.deliveries import Deliveries
from streams.processor import Processor
from streams.producer import BATCH_BYTES, OutputProducer
from tests.builders import START, product_viewed

SETTINGS = Settings(max_batch=5000, max_in_flight_events=5000)


def _views(events: int, customers: int, first: int = 0) -> list[LogRecord]:
    """Views a second apart, the customers in turn."""
    return [
        LogRecord(
            offset,
            int((START + offset) * 1000),
            f"c{offset % customers}".encode(),
            product_viewed(
                f"p{offset % 7}",
                f"c{offset % customers}",
                at=START + offset,
                message_id=f"m{offset}",
            ),
        )
        for offset in range(first, first + events)
    ]


def _effects(events: int, customers: int) -> Effects:
    both = InProcess(SETTINGS)
    (effects,) = both.process(0, _views(events, customers))
    return effects


@pytest.mark.parametrize("customers", [1, 10, 100])
def test_a_batch_writes_a_score_per_event_and_all_else_per_customer_or_once(customers: int) -> None:
    effects = _effects(1000, customers)
    counts = Counter({noun: len(messages) for noun, messages in effects.outputs.items()})
    assert counts["scores"] == 1000
    assert counts["recommendations"] <= customers
    assert counts["interactions"] <= 1 + 1000 // 500  # several hundred travel in one record
    assert counts["dead-letters"] == 0
    assert len(effects.snapshots) == customers
    assert effects.progress is not None
    assert effects.progress.key == PROGRESS_KEY


def test_a_hot_customer_grows_no_snapshot() -> None:
    sizes = [len(_effects(events, 1).snapshots[0].value or b"") for events in (500, 4000)]
    assert sizes[1] <= sizes[0] + 32  # numbers with more digits


class _Writes:
    """A producer that counts what the processor asks of it."""

    def __init__(self) -> None:
        self.deliveries = Deliveries()
        self.asked: list[str] = []

    async def start(self) -> None:
        pass

    async def send(self, topic: str, partition: int, messages: Sequence[Message]) -> list[Any]:
        del partition
        self.asked += [topic] if messages else []
        return []

    async def send_outputs(
        self, partition: int, outputs: Mapping[str, Sequence[Message]]
    ) -> list[Any]:
        for noun, messages in outputs.items():
            await self.send(SETTINGS.topic(noun), partition, messages)
        return []

    async def deliver(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        await self.send(topic, partition, messages)


async def _round_trips(events: int) -> list[str]:
    scorer, writes = Scorer(SETTINGS), _Writes()
    scorer.restore(0).finish()

    def stop(error: BaseException) -> None:
        raise error

    processor = Processor(scorer, writes, SETTINGS, stop)  # type: ignore[arg-type]
    processor._positions.begin({0: 0}, 0)
    await processor._apply(Batch("crm.events", 0, _views(events, 10), events))
    await processor._finisher.idle()
    return writes.asked


def test_writes_of_a_batch_are_as_many_however_large_it_is() -> None:
    small, large = (asyncio.run(_round_trips(events)) for events in (100, 4000))
    assert Counter(small) == Counter(large)
    assert Counter(large)["crm.state"] == 2  # snapshots, then the progress record
    assert max(Counter({t: n for t, n in Counter(large).items() if t != "crm.state"}).values()) == 1


class _Sends:
    """aiokafka's producer as far as batches go."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0)

    async def send_batch(self, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        del topic, partition
        self.sizes.append(batch.record_count())
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        return future


async def _batches(messages: int, size: int) -> list[int]:
    producer, sends = OutputProducer(SETTINGS, lambda _: None), _Sends()
    producer._producer = sends
    await producer.send("t", 0, [Message(b"key", b"v" * size)] * messages)
    return sends.sizes


def test_messages_travel_in_full_record_batches() -> None:
    sizes = asyncio.run(_batches(4000, 300))
    assert sum(sizes) == 4000
    assert len(sizes) <= 4000 * 340 // BATCH_BYTES + 1


class _Link:
    """Takes commands for Redis, and counts the round trips."""

    def __init__(self) -> None:
        self.trips = 0

    async def send(self, commands: Sequence[Any]) -> list[Any]:
        self.trips += 1
        return [1] * len(commands)


@pytest.mark.parametrize("customers", [1, 100])
def test_a_batch_goes_to_redis_in_two_round_trips(customers: int) -> None:
    writer, link = CacheWriter(SETTINGS, None), _Link()  # type: ignore[arg-type]
    writer._link = link  # type: ignore[assignment]
    asyncio.run(writer.write(_effects(1000, customers).outputs["scores"]))
    assert link.trips == 2


def test_memory_does_not_grow_with_the_events_of_the_same_customers() -> None:
    both, size = InProcess(SETTINGS), 500
    held = []
    for number in range(8):
        for _ in both.process(0, _views(size, 20, number * size)):
            pass
        gc.collect()
        held.append(sys.getallocatedblocks())
    # The first batches fill rings and tables; afterwards an event leaves nothing behind.
    assert held[-1] - held[3] < 0.1 * 4 * size
