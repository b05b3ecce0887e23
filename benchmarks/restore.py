"""How fast a worker reads customers back: all partitions of a compacted topic, on one core.

    python benchmarks/restore.py [--customers N] [--repeats N] [--json]

The very restore of a worker, `streams.checkpoint.restore` into a `Scorer`, from a real Kafka. The
broker has one core and the restore another where there are two; Linux and taskset pin them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from benchmarks.parts import batches, on_log
from crm_online import InProcess, Settings
from crm_online.customers.store import decode_state, encode_state
from crm_online.log import Message
from crm_online.scoring import Scorer
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from streams import checkpoint
from streams.embedded import RealKafka, kafka_available
from streams.producer import OutputProducer
from streams.topics import create_missing

__all__ = ["Run", "main"]

BROKER_CORE, WORKER_CORE = 0, 1
WANTED = 250_000
SAMPLES = 1000  # customers who have lived; all others are their copies under other names
SAMPLE_EVENTS = 40_000
AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Run:
    """One restore of all customers.

    Parameters
    ----------
    customers
        Restored.
    seconds, cpu_seconds
        From the first request until the timers are built: by the clock, and of this process.
    megabytes
        Of their snapshots.
    """

    customers: int
    seconds: float
    cpu_seconds: float
    megabytes: float

    @property
    def customers_per_second(self) -> float:
        """Customers ready to be scored, per second."""
        return self.customers / self.seconds


def lived(settings: Settings) -> list[bytes]:
    """Return the snapshots of customers in the middle of their lives."""
    events = list(islice(Population(PopulationSettings(customers=SAMPLES)).events(), SAMPLE_EVENTS))
    both = InProcess(settings)
    for batch in batches(on_log(events), settings.max_batch):
        for _ in both.process(0, batch):
            pass
    found = both.scorer.partitions[0].store.packed.values()
    return [encode_state(_at_zero(packed)) for packed in found]


def _at_zero(packed: bytes) -> Any:
    state = decode_state(packed)
    state.as_of = 1.0
    return state


async def write(settings: Settings, snapshots: Sequence[bytes], customers: int) -> None:
    """Put so many customers on the state topic, and the events that they are as of."""

    def fail(error: BaseException) -> None:
        raise error

    producer = OutputProducer(settings, fail)
    await producer.start()
    for partition in range(settings.partitions):
        names = range(partition, customers, settings.partitions)
        for first in range(0, len(names), AT_ONCE):
            messages = [
                Message(b"c%08d" % number, snapshots[number % len(snapshots)])
                for number in names[first : first + AT_ONCE]
            ]
            await producer.deliver(settings.topic("state"), partition, messages)
        await producer.deliver(settings.topic("events"), partition, [Message(b"c", b"{}")])
    await producer.stop()


async def restore(settings: Settings) -> Run:
    """Restore all partitions once, into a new scorer."""
    scorer = Scorer(settings)
    began, cpu = time.perf_counter(), _cpu_seconds()
    done = await checkpoint.restore(
        range(settings.partitions),
        scorer,
        settings,
        source=settings.topic("events"),
        state=settings.topic("state"),
    )
    seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
    if done is None:
        raise SystemExit("the restore was given up")
    packed = [v for held in scorer.partitions.values() for v in held.store.packed.values()]
    return Run(len(packed), seconds, cpu, sum(map(len, packed)) / 1e6)


async def measure(customers: int, repeats: int) -> list[Run]:
    """Write the customers, then restore them as often as asked for."""
    pinned = len(os.sched_getaffinity(0)) > 1 and shutil.which("taskset") is not None
    with RealKafka(cores=[BROKER_CORE] if pinned else []) as kafka:
        settings = Settings(kafka=kafka.address)
        await asyncio.to_thread(create_missing, settings)
        await write(settings, lived(settings), customers)
        if pinned:
            os.sched_setaffinity(0, {WORKER_CORE})
        gc.set_threshold(50_000, 10, 10)  # as a worker does
        return [await restore(settings) for _ in range(repeats)]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    missing = kafka_available()
    if missing is not None:
        raise SystemExit(missing)
    runs = asyncio.run(measure(options.customers, options.repeats))
    speed = statistics.median(run.customers_per_second for run in runs)
    cost = statistics.median(run.cpu_seconds / run.customers * 1e6 for run in runs)
    if options.json:
        shown = [asdict(run) | {"customers_per_second": run.customers_per_second} for run in runs]
        print(
            json.dumps(
                {
                    "customers_per_second": speed,
                    "cpu_microseconds": cost,
                    "wanted": WANTED,
                    "runs": shown,
                },
                indent=2,
            )
        )
        return
    size = runs[0].megabytes * 1e6 / runs[0].customers
    speeds = ", ".join(f"{run.customers_per_second:,.0f}" for run in runs)
    print(f"{runs[0].customers:,} customers of {size:,.0f} bytes, one core, on a real Kafka:")
    print(f"  {speed:,.0f} customers/s, median of {speeds}; wanted {WANTED:,}")
    print(f"  {cost:.2f} µs of CPU time per customer")


if __name__ == "__main__":
    main(sys.argv[1:])
