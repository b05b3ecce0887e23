"""How long after its event is appended a score can be read: in Kafka, and in Redis.

    python benchmarks/latency.py
    python benchmarks/latency.py --seconds 60 --load .5
    python benchmarks/latency.py --quick --json

A worker with the roles `score` and `cache` runs on one core; broker, cache, load and readers share
another. First the load is raised to all that the worker can take, then events come evenly at shares
of that. Beside it, under the same load, a bare aiokafka program that copies each record. Times are
this machine's: from the broker's timestamp of the event (milliseconds) to the arrival at a reader.
Into Redis, events of customers of their own are followed by the cache's notifications.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from pydantic import SecretStr

from benchmarks import whole_job
from benchmarks.arrivals import Arrivals, append_evenly, cached_at, read_along
from benchmarks.pinned import broker, program, ready_worker
from benchmarks.results import QUICK, Step, load, run_all, save, write_to
from benchmarks.small.systems import OURS
from benchmarks.worlds import World
from crm_online import Settings
from streams.embedded import Valkey
from streams.topics import create_missing

__all__ = ["Sizes", "main", "sizes", "steps"]

ECHO: Final = "bare echo"
QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
START_SECONDS: Final = 8.0
ECHO_SECONDS: Final = 4.0  # until it has joined its group
CUSTOMERS, ITEMS = 10_000, 1_000
PROBES_PER_SECOND: Final = 100
WARM_SECONDS: Final = 3.0  # what a process does for the first time is no latency of its work


class Sizes(NamedTuple):
    """Shares of the most that the worker takes, how long each lasts, and how that is found."""

    loads: tuple[float, ...] = (0.1, 0.5, 0.8)
    seconds: float = 15.0
    events: int = 60_000


def sizes(*, quick: bool) -> Sizes:
    """Return the sizes by default, or tiny ones."""
    return Sizes((0.5,), 4.0, 4_000) if quick else Sizes()


def steps(kafka: str, wanted: Sizes) -> Iterator[Step]:
    """List the work."""
    rows = _Rows(kafka, wanted)
    yield Step("latency, the most it can take", START_SECONDS + 15.0, rows.find_most)
    for share in wanted.loads:
        for system in (OURS, ECHO):
            name = f"latency at {share:.0%}, {system}"
            yield Step(name, START_SECONDS + wanted.seconds, partial(rows.measure, share, system))


class _Rows:
    """Rows of ``latency.json``."""

    def __init__(self, kafka: str, wanted: Sizes) -> None:
        self._wanted = wanted
        self._world = World(kafka, "latency", CUSTOMERS, ITEMS)
        self._most = 0.0
        self._rows: list[dict[str, Any]] = []

    def find_most(self) -> None:
        """Write the job, and see how fast a worker with both roles goes."""
        asyncio.run(self._world.write())
        events = list(self._world.events(self._wanted.events))
        with Valkey() as cache:
            run = asyncio.run(
                whole_job.score(_cached(self._world.settings, cache), events, roles="score,cache")
            )
        self._most = run.events_per_second

    def measure(self, share: float, system: str) -> None:
        """Load a system with a share of that."""
        rate = share * self._most
        echoes = system == ECHO
        with ExitStack() as running:
            cache = running.enter_context(Valkey())
            settings = _cached(self._world.settings, cache)
            if echoes:
                settings = settings.model_copy(update={"app": f"echo{share * 100:.0f}"})
                create_missing(settings)
                environment = {
                    "BENCH_KAFKA": settings.kafka,
                    "BENCH_SOURCE": settings.topic("events"),
                    "BENCH_OUTPUT": settings.topic("scores"),
                }
                command = [sys.executable, "-m", "benchmarks.echo"]
                running.enter_context(program(command, environment))
                time.sleep(ECHO_SECONDS)
            else:
                running.enter_context(ready_worker(settings, "score,cache"))
            found = asyncio.run(self._load(settings, rate, probes=not echoes))
        self._rows.append(
            {"system": system, "load": share, "events_per_second": rate}
            | _quantiles("kafka", found.kafka)
            | (_quantiles("redis", found.redis) if not echoes else {})
            | {"events": len(found.kafka), "missing": found.missing}
        )
        save("latency", self._rows)

    async def _load(self, settings: Settings, rate: float, *, probes: bool) -> Arrivals:
        every = max(int(rate / PROBES_PER_SECOND), 1) if probes else 0
        async with read_along(settings) as reader, cached_at(settings) as cached:
            for seconds in (WARM_SECONDS, self._wanted.seconds):  # the last one counts
                events = list(self._world.events(int(rate * seconds)))
                appended = await append_evenly(settings, events, rate, every)
                found = await reader.arrivals(appended, cached)
            return found


def _cached(settings: Settings, cache: Valkey) -> Settings:
    return settings.model_copy(update={"redis": SecretStr(cache.url)})


def _quantiles(into: str, seconds: Sequence[float]) -> dict[str, float]:
    if not len(seconds):
        return {}
    return {
        f"{into}_{name}_ms": round(float(np.quantile(seconds, share)) * 1000.0, 2)
        for name, share in QUANTILES.items()
    }


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--load", type=float, action="append", help="may be given repeatedly")
    parser.add_argument("--seconds", type=float, help="of each load")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; no figure means anything")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        write_to(QUICK)
    wanted = sizes(quick=options.quick)
    wanted = wanted._replace(
        loads=tuple(options.load or wanted.loads), seconds=options.seconds or wanted.seconds
    )
    with broker() as kafka:
        run_all(list(steps(kafka, wanted)))
    found = load("latency") or []
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for row in found:
        times = "  ".join(f"{k} {v:,.1f}" for k, v in row.items() if k.endswith("_ms"))
        print(f"{row['system']:<12}{row['load']:>5.0%}{row['events_per_second']:>9,.0f}/s  {times}")


if __name__ == "__main__":
    main(sys.argv[1:])
