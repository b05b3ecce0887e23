"""A worker for several times the customers' time to live: it stays as large as it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from crm_online.settings import Settings
from crm_online.sinks.redis.keys import Keys
from streams.embedded import RealKafka, Valkey
from tests.faults.harness import until_cached
from tests.lifetimes import STAY_DAYS, lifetimes
from tests.streams.job import Process, Tail, cached, job_settings, send

TTL_DAYS, CYCLES, WARM, NEWCOMERS = 40, 12, 6, 16
NOUNS = ("state", "scores", "recommendations")


@pytest.mark.real
@pytest.mark.long
@pytest.mark.asyncio
@pytest.mark.timeout(600)
async def test_memory_stays_flat_and_who_left_is_gone_from_everywhere(
    app: str, real_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(
        app,
        real_kafka,
        valkey,
        active_days=20.0,
        state_ttl_days=float(TTL_DAYS),
        max_items=200,
        max_sessions=256,
    )
    resident = []
    async with Tail(settings, "events", *NOUNS) as tail:
        with Process(settings, tmp_path) as worker:
            for cycle in range(CYCLES):
                events = lifetimes(cycle * TTL_DAYS, TTL_DAYS, NEWCOMERS)
                await send(events, settings, None)
                await tail.until_applied()
                await asyncio.to_thread(worker.alive)
                resident.append(resident_mb(worker.process.pid))
            await until_cached(settings, tail)
            assert worker.stop() == 0
        await tail.read_all()
    # Batches in hand and the allocator's arenas fill up first, the faster the slower we are.
    assert max(resident[WARM:]) < 1.05 * resident[WARM - 1], resident
    days = TTL_DAYS * CYCLES
    gone = names(0, days - TTL_DAYS - STAY_DAYS - 2)
    living = names(days - TTL_DAYS - STAY_DAYS + 2, days)
    for noun in NOUNS:
        removed = {r.key.decode() for r in tail.records[noun] if r.value is None}
        assert removed >= gone, noun
        assert not removed & living, noun
    assert await cached(settings, "scores", gone) == {}
    assert await cached(settings, "recommendations", gone) == {}
    assert (await cached(settings, "scores", living)).keys() == living
    assert await all_expire(settings, living)


def names(first: int, end: int) -> set[str]:
    return {f"c{day}-{number}" for day in range(first, end) for number in range(NEWCOMERS)}


def resident_mb(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return int(found) / 1024


async def all_expire(settings: Settings, customers: set[str]) -> bool:
    keys, longest = Keys(settings.app), settings.cache_ttl_days * 86_400_000
    async with Redis.from_url(settings.redis.get_secret_value()) as client:
        left = [await client.pttl(keys.scores(customer)) for customer in customers]
    return all(0 < each <= longest for each in left)
