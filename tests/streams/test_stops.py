"""Workers whose broker fails them: none hangs, and none stops without a word."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from crm_online.settings import Settings
from streams.connection import admin_options
from streams.embedded import RealKafka, Valkey
from streams.topics import create_missing
from tests.streams.job import Process, Tail, job_settings, population, send, until

pytestmark = [pytest.mark.asyncio, pytest.mark.real]


def said(worker: Process, text: str) -> bool:
    return text in worker.log.read_text(errors="replace")


async def rebalances(settings: Settings, role: str) -> bool:
    """Say whether the group of a role waits for a member."""
    admin = AdminClient({**admin_options(settings), "log_level": 2})
    group = f"{settings.app}-{role}"
    found = admin.describe_consumer_groups([group], request_timeout=10.0)[group]
    state = (await asyncio.to_thread(found.result)).state
    return bool(state == ConsumerGroupState.PREPARING_REBALANCING)


async def until_scored(settings: Settings, worker: Process) -> None:
    """Wait until a worker has written scores, and leave its broker alone."""
    async with Tail(settings, "scores") as tail:
        await tail.until(lambda: worker.alive() and len(tail.records["scores"]) > 100)


@pytest.mark.parametrize("when", ["starting", "ready"])
async def test_told_to_stop_while_the_broker_is_gone_it_ends_in_bounded_time(
    app: str, own_kafka: RealKafka, valkey: Valkey, tmp_path: Path, when: str
) -> None:
    settings = job_settings(app, own_kafka, valkey, stop_seconds=5.0, max_batch=20)
    await asyncio.to_thread(create_missing, settings)
    await send(population(), settings, None)
    with Process(settings, tmp_path, ["score"]) as worker:
        await until(partial(said, worker, f'"{when}"'))
        if when == "ready":
            await until_scored(settings, worker)
        own_kafka.kill()
        worker.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(worker.process.wait, 15)
        assert code == 0 or (said(worker, "CRM_STOP_SECONDS") and said(worker, "a task waits"))


async def test_told_to_stop_before_its_groups_let_it_in_it_ends_at_once(
    app: str, real_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(app, real_kafka, valkey, session_timeout_seconds=45.0)
    await asyncio.to_thread(create_missing, settings)
    with Process(settings, tmp_path) as member:
        await until(partial(said, member, '"ready"'))
        member.process.send_signal(signal.SIGSTOP)  # the groups wait for it
        with Process(settings, tmp_path) as worker:
            await until(partial(rebalances, settings, "score"))
            worker.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(worker.process.wait, 15) == 0
            assert not said(worker, '"ready"')


async def test_told_twice_to_stop_it_ends_at_once(
    app: str, own_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(app, own_kafka, valkey, stop_seconds=600.0, max_batch=20)
    await asyncio.to_thread(create_missing, settings)
    await send(population(), settings, None)
    with Process(settings, tmp_path, ["score"]) as worker:
        await until_scored(settings, worker)
        own_kafka.kill()
        worker.process.send_signal(signal.SIGTERM)
        await until(partial(said, worker, "stopping"))
        worker.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.process.wait, 10) == 1
        assert said(worker, "told to stop a second time")


@pytest.mark.long
async def test_a_topic_deleted_under_the_worker_ends_it_with_a_sentence(
    app: str, own_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(app, own_kafka, valkey, stall_seconds=30.0)
    async with Tail(settings, "scores") as tail:
        await send(population(), settings, None)
        with Process(settings, tmp_path, ["score"]) as worker:
            await tail.until(lambda: worker.alive() and len(tail.records["scores"]) > 500)
            # Two looks: what the watchdog never saw it cannot miss.
            await asyncio.sleep(2 * settings.stall_seconds / 10)
            events = settings.topic("events")
            admin = AdminClient({**admin_options(settings), "log_level": 2})
            admin.delete_topics([events])[events].result(30)
            assert await asyncio.to_thread(worker.process.wait, 60) == 1
            assert said(worker, f"{events} was deleted under the worker")
            assert said(worker, "`crm-online topics`")
