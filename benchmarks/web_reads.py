"""What the role `web` takes and answers: events of batches per core, and reads at a set rate.

One core serves where cores can be pinned; broker, cache and clients have the other. Events per core
are events by the CPU time of the serving process, so that a busy machine changes them little; times
of reads are what a client waits, and are what a busy machine spoils.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import time
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import msgspec
import numpy as np

from benchmarks.pinned import broker, cpu_seconds, worker
from crm_online.log import Message
from crm_online.scores import (
    ItemReason,
    Reason,
    Recommendations,
    RecommendedItem,
    ScoreUpdate,
    Source,
)
from crm_online.settings import Settings
from crm_online.sinks.redis import CacheWriter, connect
from streams.embedded import Valkey
from streams.embedded.server import HOST, free_ports
from streams.topics import create_missing

KEY: Final = "benchmark"
BATCH: Final = 500
CLIENTS: Final = 4
CUSTOMERS: Final = 2_000
RATE: Final = 500.0


def batch(first: int) -> bytes:
    """Return one batch of events, as a shop's server sends them."""
    events = [
        {
            "type": "track",
            "event": "Product Viewed",
            "userId": f"c-{number % CUSTOMERS}",
            "messageId": f"m-{number}",
            "timestamp": datetime.now(UTC).isoformat(),
            "context": {"library": {"name": "analytics-python", "version": "2.3.4"}},
            "properties": {"product_id": f"p-{number % 500}", "price": 19.95, "category": "Home"},
        }
        for number in range(first, first + BATCH)
    ]
    return json.dumps({"batch": events}).encode()


async def fill(settings: Settings) -> None:
    """Put customers with full histories into the cache."""
    at, client = datetime.now(UTC), connect(settings)
    writer = CacheWriter(settings, client)
    reasons = [Reason("recency", 1.0, 0.5, "last active 1 day ago")] * 3
    item = RecommendedItem("p-1", 1.5, ItemReason("covisitation", ["p-2"], "bought with p-2"))
    for round_ in range(50):
        scores, lists = [], []
        for number in range(CUSTOMERS):
            name, source = f"c-{number}", Source(0, 0, round_ * CUSTOMERS + number)
            update = ScoreUpdate(
                "s", name, "m", at, "event", source, "champions", 1, 0.3, True, reasons, 20.0,  # noqa: FBT003
                "EUR", 3, 99.0, 0.0, at, {"churn": "churn@1", "value": "value@1"},
            )  # fmt: skip
            scores.append(Message(name.encode(), msgspec.json.encode(update)))
            listed = Recommendations("l", name, at, source, [item] * 10, "next_item@1")
            lists.append(Message(name.encode(), msgspec.json.encode(listed)))
        await writer.write(scores, lists)
    await client.aclose()


async def intake(base: str, process: int, events: int) -> dict[str, float]:
    """Send batches from a few clients at once."""
    login = {"authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()}
    bodies = [batch(first) for first in range(0, events, BATCH)]
    waiting = iter(bodies)
    async with aiohttp.ClientSession(headers=login) as session:

        async def send() -> None:
            for body in waiting:
                async with session.post(f"{base}/v1/batch", data=body) as said:
                    assert said.status == 200, await said.text()

        await send_one(session, base, bodies[0])
        began, used = time.perf_counter(), cpu_seconds(process)
        await asyncio.gather(*[send() for _ in range(CLIENTS)])
        seconds, used = time.perf_counter() - began, cpu_seconds(process) - used
    return {"events": events, "per_second": events / seconds, "per_cpu_second": events / used}


async def send_one(session: aiohttp.ClientSession, base: str, body: bytes) -> None:
    """Warm up."""
    async with session.post(f"{base}/v1/batch", data=body) as said:
        assert said.status == 200, await said.text()


async def reads(base: str, process: int, seconds: float, path: str) -> dict[str, float]:
    """Ask at a set rate, whatever the answers take, and time each."""
    times: list[float] = []
    async with aiohttp.ClientSession() as session:

        async def ask(number: int) -> None:
            began = time.perf_counter()
            async with session.get(base + path.format(number % CUSTOMERS)) as said:
                await said.read()
                assert said.status == 200
            times.append(time.perf_counter() - began)

        asked, began, used = [], time.perf_counter(), cpu_seconds(process)
        for number in range(int(RATE * seconds)):
            await asyncio.sleep(max(began + number / RATE - time.perf_counter(), 0.0))
            asked.append(asyncio.ensure_future(ask(number)))
        await asyncio.gather(*asked)
        cpu = (cpu_seconds(process) - used) / len(times)
    p50, p99 = np.percentile(times, [50, 99]) * 1000.0
    return {"reads": len(times), "p50_ms": p50, "p99_ms": p99, "cpu_ms": cpu * 1000.0}


async def dashboards(base: str, process: int, count: int, seconds: float) -> dict[str, float]:
    """Open many dashboards, and see what share of a core the server takes for them."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=2**20) as session:

        async def look() -> None:
            async with session.get(f"{base}/v1/figures/stream") as said:
                async for _ in said.content.iter_any():
                    pass

        looking = [asyncio.ensure_future(look()) for _ in range(count)]
        await asyncio.sleep(seconds / 2)  # until all are open
        began, used = time.perf_counter(), cpu_seconds(process)
        await asyncio.sleep(seconds)
        share = (cpu_seconds(process) - used) / (time.perf_counter() - began)
        for each in looking:
            each.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
    return {"open": count, "share_of_a_core": share}


async def measure(settings: Settings, process: int, events: int, seconds: float) -> dict[str, Any]:
    """Measure all of it on one server."""
    base = f"http://{HOST}:{settings.web_port}"
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{base}/health/ready") as said:
                    if said.status == 200:
                        break
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    await fill(settings)
    return {
        "intake": await intake(base, process, events),
        "customer": await reads(base, process, seconds, "/v1/customers/c-{}"),
        "history": await reads(base, process, seconds, "/v1/customers/c-{}?history=true"),
        "recommendations": await reads(base, process, seconds, "/v1/recommendations/c-{}"),
        "dashboards": await dashboards(base, process, 1_000, seconds),
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    (port,) = free_ports(1)
    with broker() as kafka, Valkey() as cache:
        settings = Settings(
            kafka=kafka, redis=cache.url, web_port=port, write_keys=(KEY,),
            intake_events_per_second=1e9,
        )  # fmt: skip
        create_missing(settings)
        with worker(settings, "web") as running:
            found = asyncio.run(measure(settings, running.pid, given.events, given.seconds))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
