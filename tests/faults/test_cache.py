"""A cache that is away, full, read-only, slow or refuses us: scoring goes on, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from structlog.testing import capture_logs

from streams.embedded import RealKafka, Valkey
from tests.faults.harness import assert_exact, assert_stops, until_cached
from tests.silence import silent
from tests.streams.job import Process, Tail, job_settings, population, send, until, working

pytestmark = [pytest.mark.asyncio, pytest.mark.real]
NOUNS = ("events", "scores", "recommendations", "outcomes", "state")
HALF = 700  # events of the population before the trouble


async def command(valkey: Valkey, *arguments: object) -> Any:
    async with Redis.from_url(valkey.url) as client:
        return await client.execute_command(*arguments)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def full(valkey: Valkey) -> AsyncIterator[None]:
    """Have no memory left, and evict nothing."""
    await command(valkey, "CONFIG", "SET", "maxmemory", "1mb")
    try:
        yield
    finally:
        await command(valkey, "CONFIG", "SET", "maxmemory", "0")


@asynccontextmanager
async def failing_over(valkey: Valkey) -> AsyncIterator[None]:
    """Be the former master that follows another now, connections cut; then the master again."""
    await command(valkey, "REPLICAOF", "127.0.0.1", "1")
    await command(valkey, "CLIENT", "KILL", "TYPE", "normal")
    try:
        yield
    finally:
        await command(valkey, "REPLICAOF", "NO", "ONE")


TROUBLES: dict[str, Callable[[Valkey], AbstractAsyncContextManager[None]]] = {
    "silent": silent,
    "full": full,
    "failing-over": failing_over,
}


@pytest.mark.parametrize(
    "trouble", ["silent", pytest.param("full", marks=pytest.mark.long), "failing-over"]
)
async def test_all_is_scored_meanwhile_and_the_cache_catches_up(
    trouble: str, app: str, real_kafka: RealKafka, own_valkey: Valkey
) -> None:
    settings = job_settings(app, real_kafka, own_valkey)
    events = population()
    async with (
        Tail(settings, *NOUNS) as tail,
        working(settings, ["score", "cache"]) as worker,
    ):
        cache: Any = worker.apps["cache"].role
        await send(events[:HALF], settings, None)
        await tail.until_applied()
        await until_cached(settings, tail)
        written = cache.written
        with capture_logs() as said:
            async with TROUBLES[trouble](own_valkey):
                await send(events[HALF:], settings, None)
                await tail.until_applied()
                assert cache.written == written
                if trouble != "silent":  # there each try takes its five seconds
                    await until(lambda: any(e["event"] == "the cache is away" for e in said))
            await until_cached(settings, tail)
        away = [each for each in said if each["event"] == "the cache is away"]
        assert all("CRM_REDIS" in each["reason"] for each in away)
        assert_exact(settings, tail)


async def test_connections_that_break_all_the_time_lose_nothing(
    app: str, real_kafka: RealKafka, own_valkey: Valkey
) -> None:
    settings = job_settings(app, real_kafka, own_valkey, max_batch=50)

    async def cut() -> None:
        async with Redis.from_url(own_valkey.url) as client:
            while True:
                await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
                await asyncio.sleep(0.05)

    async with Tail(settings, *NOUNS) as tail, working(settings, ["score", "cache"]):
        cutting = asyncio.ensure_future(cut())
        try:
            await send(population(), settings, None)
            await tail.until_applied()
        finally:
            cutting.cancel()
            with suppress(asyncio.CancelledError):
                await cutting
        await until_cached(settings, tail)
        assert_exact(settings, tail)


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(("SETUSER", "crm", "-evalsha"), marks=pytest.mark.long, id="permission"),
        pytest.param(("SETUSER", "crm", "resetpass", ">other"), id="password"),
    ],
)
async def test_a_cache_that_refuses_us_ends_its_role_alone_and_loses_nothing(
    refusal: tuple[str, ...], app: str, real_kafka: RealKafka, own_valkey: Valkey, tmp_path: Path
) -> None:
    await command(own_valkey, "ACL", "SETUSER", "crm", "on", ">sesame", "~*", "&*", "+@all")
    address = own_valkey.url.replace("redis://", "redis://crm:sesame@")
    settings = job_settings(app, real_kafka, own_valkey, redis=SecretStr(address))
    async with Tail(settings, *NOUNS) as tail, working(settings, ["score"]):
        await command(own_valkey, "ACL", *refusal)
        with Process(settings, tmp_path, ["cache"]) as worker:
            await send(population(), settings, None)
            await tail.until_applied()
            await assert_stops(worker, 1, "Redis refused the user or password in CRM_REDIS")
            assert "sesame" not in worker.log.read_text()
        assert await command(own_valkey, "DBSIZE") == 0
        await command(own_valkey, "ACL", "SETUSER", "crm", "resetpass", ">sesame", "+evalsha")
        with Process(settings, tmp_path, ["cache"]) as worker:
            await until_cached(settings, tail)
            assert worker.stop() == 0
