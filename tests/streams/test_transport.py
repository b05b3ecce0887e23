"""Whole workers on every broker: nothing lost, nothing counted twice, whatever happens to them."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka
from tests.streams.workers import (
    PARTITIONS,
    Worker,
    counting_settings,
    read_keys,
    until_counted,
    write_events,
)

pytestmark = pytest.mark.asyncio
EVENTS = 8_000


def make_topics(broker: MockBroker | RealKafka, app: str) -> Settings:
    broker.create_topics({f"{app}.{noun}": PARTITIONS for noun in ("events", "scores", "state")})
    return counting_settings(app, broker.address)


def every_event(count: int) -> set[bytes]:
    return {b"%d:%d" % (p, o) for p in range(PARTITIONS) for o in range(count // PARTITIONS)}


def expected_counts(count: int, keys: int = 50) -> dict[bytes, int]:
    return dict(
        Counter(b"%d-%d" % (p, i % keys) for p in range(PARTITIONS) for i in range(count // 4))
    )


async def test_counts_every_event_once(
    broker: MockBroker | RealKafka, app: str, tmp_path: Path
) -> None:
    settings = make_topics(broker, app)
    await write_events(settings, EVENTS)
    with Worker(settings, tmp_path) as worker:
        assert await until_counted(settings, EVENTS, worker) == expected_counts(EVENTS)
        assert await read_keys(settings, "scores") == Counter(every_event(EVENTS))


async def test_follows_what_is_written_while_it_runs(
    broker: MockBroker | RealKafka, app: str, tmp_path: Path
) -> None:
    settings = make_topics(broker, app)
    await write_events(settings, PARTITIONS)
    with Worker(settings, tmp_path) as worker:
        await worker.until(lambda w: w.figure("events") == PARTITIONS)
        for round_ in range(2, 5):
            await write_events(settings, PARTITIONS)
            await worker.until(lambda w, n=round_: w.figure("events") == n * PARTITIONS)  # type: ignore[misc]
        assert sum((await until_counted(settings, 4 * PARTITIONS)).values()) == 4 * PARTITIONS


@pytest.mark.real
async def test_commits_are_contiguous_and_reach_the_end(
    real_kafka: RealKafka, app: str, tmp_path: Path
) -> None:
    settings = make_topics(real_kafka, app)
    await write_events(settings, EVENTS)
    with Worker(settings, tmp_path) as worker:
        await until_counted(settings, EVENTS, worker)
        assert worker.stop() == 0
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, group_id=f"{app}-score")
    await consumer.start()
    every = [TopicPartition(f"{app}.events", p) for p in range(PARTITIONS)]
    committed = [await consumer.committed(tp) for tp in every]
    await consumer.stop()
    assert committed == [EVENTS // PARTITIONS] * PARTITIONS


@pytest.mark.real
async def test_next_worker_goes_on_behind_the_progress_record(
    real_kafka: RealKafka, app: str, tmp_path: Path
) -> None:
    settings = make_topics(real_kafka, app)
    await write_events(settings, EVENTS)
    with Worker(settings, tmp_path) as first:
        await until_counted(settings, EVENTS, first)
    await write_events(settings, 400)
    with Worker(settings, tmp_path) as second:
        await second.until(lambda w: w.figure("events") >= 400)
        counts = await until_counted(settings, EVENTS + 400, second)
        assert sum(counts.values()) == EVENTS + 400
        assert second.figure("events") == 400


@pytest.mark.real
async def test_two_workers_share_the_partitions_and_count_exactly(
    real_kafka: RealKafka, app: str, tmp_path: Path
) -> None:
    settings = make_topics(real_kafka, app).model_copy(update={"max_batch": 100})
    total = 60_000
    await write_events(settings, total // 2)
    with Worker(settings, tmp_path, 0.02) as first:
        await first.until(lambda w: w.figure("events") > 0)
        with Worker(settings, tmp_path, 0.02) as second:
            await second.until(lambda w: w.owned() == 2)
            await first.until(lambda w: w.owned() == 2)
            await write_events(settings, total // 2)
            await second.until(lambda w: w.figure("events") > 0)
            assert second.stop() == 0
        await first.until(lambda w: w.owned() == PARTITIONS)
        assert await until_counted(settings, total, first) == expected_counts(total)
    assert set(await read_keys(settings, "scores")) == every_event(total)


@pytest.mark.real
@pytest.mark.long
async def test_counts_are_exact_under_kills(
    real_kafka: RealKafka, app: str, tmp_path: Path
) -> None:
    settings = make_topics(real_kafka, app).model_copy(update={"max_batch": 200})
    total, chance = 60_000, random.Random(3)
    await write_events(settings, total)
    for _ in range(4):
        with Worker(settings, tmp_path, 0.01) as worker:
            await worker.until(lambda w: w.figure("events") > 0)
            await asyncio.sleep(chance.random())
            worker.process.kill()
    with Worker(settings, tmp_path) as last:
        assert await until_counted(settings, total, last) == expected_counts(total)
    assert set(await read_keys(settings, "scores")) == every_event(total)


@pytest.mark.real
async def test_a_refused_output_ends_the_process_and_nothing_is_acknowledged(
    real_kafka: RealKafka, app: str, tmp_path: Path
) -> None:
    real_kafka.create_topics({f"{app}.events": PARTITIONS, f"{app}.state": PARTITIONS})
    real_kafka.create_topics({f"{app}.scores": PARTITIONS}, {"max.message.bytes": "100"})
    settings = counting_settings(app, real_kafka.address)
    await write_events(settings, EVENTS)
    with Worker(settings, tmp_path) as worker:
        assert worker.process.wait(60) == 70
        assert "raise max.message.bytes of the topic" in worker.said()
    assert not await read_keys(settings, "state")


@pytest.mark.real
@pytest.mark.long
async def test_counts_are_exact_when_a_paused_worker_wakes_up_beside_its_successor(
    real_kafka: RealKafka, app: str, tmp_path: Path
) -> None:
    settings = make_topics(real_kafka, app).model_copy(update={"max_batch": 100})
    total = 60_000
    await write_events(settings, total)
    with Worker(settings, tmp_path, 0.02) as paused:
        await paused.until(lambda w: w.figure("events") > 1_000)
        paused.process.send_signal(signal.SIGSTOP)
        with Worker(settings, tmp_path, 0.02) as successor:
            await successor.until(lambda w: w.owned() == PARTITIONS and w.figure("events") > 1_000)
            paused.process.send_signal(signal.SIGCONT)
            await successor.until(lambda w: w.owned() == 2)
            await until_counted(settings, total, paused, successor)
        with Worker(settings, tmp_path) as last:
            await last.until(lambda w: w.owned() > 0)
            assert await until_counted(settings, total, last) == expected_counts(total)
    assert set(await read_keys(settings, "scores")) == every_event(total)


@pytest.mark.real
@pytest.mark.long
async def test_a_worker_outlives_a_restart_of_the_broker(
    own_kafka: RealKafka, app: str, tmp_path: Path
) -> None:
    settings = make_topics(own_kafka, app).model_copy(update={"max_batch": 100})
    total = 20_000
    await write_events(settings, total)
    with Worker(settings, tmp_path, 0.02) as worker:
        await worker.until(lambda w: w.figure("events") > 1_000)
        own_kafka.kill()
        await asyncio.to_thread(own_kafka.start)
        assert await until_counted(settings, total, worker) == expected_counts(total)
        assert worker.process.poll() is None
    assert set(await read_keys(settings, "scores")) == every_event(total)
