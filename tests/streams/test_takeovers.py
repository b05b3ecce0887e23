"""Workers that lose their partitions without being told: nothing of theirs goes out behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka.admin import AdminClient

from crm_online.customers.store import peek
from crm_online.internal import PROGRESS_KEY
from crm_online.settings import Settings
from streams.apps import RoleApp
from streams.connection import admin_options
from streams.embedded import RealKafka, Valkey
from streams.lease import Lease
from streams.worker import Worker
from tests.streams.job import (
    Process,
    Tail,
    in_turn,
    job_settings,
    population,
    send,
    until,
    working,
)
from tests.streams.test_job_restarts import NOUNS, assert_exact, assert_learned_once

pytestmark = pytest.mark.asyncio
SILENT = "heard nothing from its group"


def lease_of(worker: Worker, role: str) -> Lease:
    app = worker.apps[role]
    assert isinstance(app, RoleApp)
    return app.lease


def assert_nothing_stale(records: Iterable[Any]) -> None:
    """Check that no snapshot stands behind a newer one of the same key."""
    for found in in_turn(records).values():
        newest: dict[bytes, float] = {}
        for record in found:
            at = _as_of(record)
            assert at >= newest.get(record.key, -1), (record.partition, record.offset)
            newest[record.key] = at


def _as_of(record: Any) -> float:
    if record.key == PROGRESS_KEY:
        return float(orjson.loads(record.value)["as_of"])
    return peek(record.value)[1]


def members(settings: Settings) -> int:
    """Return how many workers have partitions of the scorers' group."""
    group = f"{settings.app}-score"
    admin = AdminClient({**admin_options(settings), "log_level": 2})
    found = admin.describe_consumer_groups([group])[group].result(10)
    return sum(bool(member.assignment.topic_partitions) for member in found.members)


def seconds_of_work(process: int) -> float:
    """Return the CPU time that a process took so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def until_idle(process: int) -> None:
    """Wait until a process has nothing left to do."""
    before = -1.0
    while (now := seconds_of_work(process)) - before > 0.05:
        before = now
        await asyncio.sleep(0.5)


@pytest.mark.real
async def test_a_worker_stopped_beyond_its_session_writes_nothing_from_before(
    app: str, own_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(app, own_kafka, valkey, max_batch=20, max_in_flight_events=400)
    events = population(60, 70.0)
    broker = own_kafka.process_id
    assert broker is not None
    async with Tail(settings, *NOUNS) as tail:
        await send(events[:-400], settings, None)
        with Process(settings, tmp_path, ["score"]) as paused:
            await tail.until(lambda: paused.alive() and len(tail.records["scores"]) > 100)
            # A broker that stands still leaves it with as much in hand as it may have.
            os.kill(broker, signal.SIGSTOP)
            await until_idle(paused.process.pid)
            paused.process.send_signal(signal.SIGSTOP)
            os.kill(broker, signal.SIGCONT)
            await tail.read_all()
            assert sum(tail.applied(p) + 1 for p in range(settings.partitions)) < len(events) - 800
            with Process(settings, tmp_path, ["score", "learn"]) as successor:
                await tail.until_applied()
                paused.process.send_signal(signal.SIGCONT)
                await until(lambda: paused.alive() and SILENT in paused.log.read_text())
                await until(lambda: members(settings) == 2, 30)
                await send(events[-400:], settings, None)
                await tail.until_applied()
                await tail.until_learned()
                assert paused.alive()
                assert successor.alive()
        await tail.read_all()
    assert_nothing_stale(tail.records["state"])
    assert_exact(settings, tail, repeats=True)
    assert_learned_once(settings, tail)


@pytest.mark.real
@pytest.mark.long
async def test_a_worker_goes_on_after_the_broker_was_away_beyond_its_session(
    app: str, own_kafka: RealKafka, valkey: Valkey
) -> None:
    settings = job_settings(app, own_kafka, valkey, max_batch=20, max_in_flight_events=100)
    events = population()
    async with Tail(settings, *NOUNS) as tail, working(settings, ["score", "learn"]) as worker:
        figures = worker.apps["score"].role.processor.figures  # type: ignore[union-attr]
        await send(events[:-400], settings, None)
        await tail.until(lambda: len(tail.records["scores"]) > 100)
        own_kafka.kill()
        await until(lambda: all(lease_of(worker, role).lost for role in ("score", "learn")))
        await asyncio.to_thread(own_kafka.start)
        await send(events[-400:], settings, None)
        await tail.until_applied()
        await tail.until_learned()
        await tail.read_all()
        assert figures.lease_losses == 1
    assert_nothing_stale(tail.records["state"])
    assert_exact(settings, tail, repeats=True)
    assert_learned_once(settings, tail)


@pytest.mark.real
async def test_a_lost_lease_is_won_back_though_the_group_still_counts_us_in(
    app: str, real_kafka: RealKafka, valkey: Valkey
) -> None:
    settings = job_settings(app, real_kafka, valkey, max_batch=20, max_in_flight_events=100)
    events = population()
    async with Tail(settings, *NOUNS) as tail, working(settings, ["score", "learn"]) as worker:
        figures = worker.apps["score"].role.processor.figures  # type: ignore[union-attr]
        for part in (events[:700], events[700:900], events[900:]):
            await send(part, settings, None)
            before = figures.lease_losses
            for name in ("score", "learn"):
                lease = lease_of(worker, name)
                # A heartbeat on its way may renew it before anyone looks.
                while not lease.lost:
                    lease._since = lease.clock() - 2 * settings.session_timeout_seconds
                    await asyncio.sleep(0.01)
            await tail.until_applied()
            assert figures.lease_losses == before + 1
        await tail.until_learned()
        await tail.read_all()
    assert_nothing_stale(tail.records["state"])
    assert_exact(settings, tail, repeats=True)
    assert_learned_once(settings, tail)


@pytest.mark.real
@pytest.mark.long
async def test_a_worker_that_stood_still_for_too_long_ends_unsent(
    app: str, own_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(
        app, own_kafka, valkey, max_batch=20, max_in_flight_events=400, max_pause_seconds=8.0
    )
    broker = own_kafka.process_id
    assert broker is not None
    async with Tail(settings, *NOUNS) as tail:
        await send(population(60, 70.0), settings, None)
        with Process(settings, tmp_path, ["score"]) as worker:
            await tail.until(lambda: worker.alive() and len(tail.records["scores"]) > 100)
            os.kill(broker, signal.SIGSTOP)
            await until_idle(worker.process.pid)
            worker.process.send_signal(signal.SIGSTOP)
            os.kill(broker, signal.SIGCONT)
            await asyncio.sleep(settings.max_pause_seconds + 1.0)
            await tail.read_all()  # with what the kernel had, which nobody can call back
            before = {noun: len(found) for noun, found in tail.records.items()}
            worker.process.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(worker.process.wait, 30) == 1
            assert "longer than CRM_MAX_PAUSE_SECONDS (8)" in worker.log.read_text()
        await tail.read_all()
        assert {noun: len(found) for noun, found in tail.records.items()} == before
