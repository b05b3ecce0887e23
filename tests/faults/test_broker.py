"""A broker that is away, whose leaders move, whose disk is full: the job comes through exact."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from streams.embedded import RealKafka, Valkey, kafka_available
from streams.topics import plan
from tests.conftest import CI
from tests.faults.brokers import TwoBrokers, small_disk
from tests.faults.harness import Kept, assert_exact
from tests.streams.job import Tail, job_settings, population, send, until

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.real,
    pytest.mark.long,
    pytest.mark.timeout(300),
]
NOUNS = ("events", "scores", "outcomes", "models", "state")
SLOW = {"max_batch": 10, "max_in_flight_events": 40}  # so that the fault comes in between


def scored(tail: Tail, count: int) -> bool:
    return len(tail.records["scores"]) > count


async def until_done(tail: Tail) -> None:
    await tail.until_applied()
    await tail.until_learned()
    await tail.read_all()


@pytest.mark.parametrize("seconds", [12.0, 70.0])
async def test_a_broker_that_is_away_longer_than_the_session_leaves_it_exact(
    seconds: float, app: str, own_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(app, own_kafka, valkey, signing_key=SecretStr("ours"), **SLOW)
    events = population()
    async with Tail(settings, *NOUNS) as tail:
        await send(events, settings, None)
        async with Kept(settings, tmp_path) as worker:
            await tail.until(partial(scored, tail, 200))
            own_kafka.kill()
            await asyncio.sleep(seconds)  # what is waited for is that nothing happens
            await asyncio.to_thread(own_kafka.start)
            await until_done(tail)
            worker.assert_ended_with_reasons()
    assert_exact(settings, tail)


@pytest.fixture(scope="module")
def two_brokers() -> Iterator[TwoBrokers]:
    reason = kafka_available()
    if reason is not None:
        (pytest.fail if CI else pytest.skip)(reason)
    with TwoBrokers() as brokers:
        yield brokers


async def test_partitions_whose_leader_dies_go_on_at_the_other_broker(
    app: str, two_brokers: TwoBrokers, valkey: Valkey, tmp_path: Path
) -> None:
    given = {"kafka": two_brokers.address, "replication_factor": 2, "signing_key": "ours"}
    settings = job_settings(app, two_brokers.first, valkey, **given, **SLOW)
    two_brokers.create_topics(plan(settings))
    log, events = settings.topic("events"), population()
    await until(lambda: two_brokers.in_sync(log))
    assert set(two_brokers.leaders(log).values()) == {1, 2}
    async with Tail(settings, *NOUNS) as tail:
        await send(events, settings, None)
        async with Kept(settings, tmp_path) as worker:
            await tail.until(partial(scored, tail, 200))
            two_brokers.second.kill()
            await until(lambda: set(two_brokers.leaders(log).values()) == {1})
            await until_done(tail)
            worker.assert_ended_with_reasons()
    assert_exact(settings, tail)


def fill(file: Path) -> None:
    """Take all room there is."""
    with suppress(OSError), file.open("wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        with small_disk(folder, 64) as mounted:
            yield mounted
    except PermissionError as error:
        pytest.skip(f"a full disk takes the right to mount one: {error}")


async def test_a_full_disk_at_the_broker_loses_nothing_once_there_is_room_again(
    app: str, disk: Path, valkey: Valkey, tmp_path: Path
) -> None:
    reason = kafka_available()
    if reason is not None:
        (pytest.fail if CI else pytest.skip)(reason)
    with RealKafka(config={"log.dirs": str(disk)}) as kafka:
        settings = job_settings(app, kafka, valkey, signing_key=SecretStr("ours"), **SLOW)
        async with Tail(settings, *NOUNS) as tail:
            await send(population(), settings, None)
            async with Kept(settings, tmp_path) as worker:
                await tail.until(partial(scored, tail, 200))
                fill(disk / "filler")
                await until(lambda: not kafka.answers())
                kafka.kill()
                (disk / "filler").unlink()
                await asyncio.to_thread(kafka.start)
                await until_done(tail)
                worker.assert_ended_with_reasons()
        assert_exact(settings, tail)
