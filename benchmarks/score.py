"""What scoring costs: by part in this process, and the whole job on a real Kafka.

    python benchmarks/score.py [--events N] [--customers N] [--repeats N] [--json] [--no-kafka]

Everything is on: all scores with reasons, lists of next items, outcomes, snapshots, each durable
before it is acknowledged. Customers, models and the session index are warm. Cores are pinned by
taskset, and CPU time is read from /proc: the part on Kafka needs Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from benchmarks import parts, whole_job
from crm_online import Settings
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent
from streams.embedded import kafka_available

__all__ = ["main"]

WARM_DAYS = 45  # the first predictions open after 7 days and settle 30 days later


def history(customers: int, events: int) -> tuple[list[RawEvent], list[RawEvent]]:
    """Return the events that warm everything up, and so many that follow."""
    settings = PopulationSettings(customers=customers)
    lived = Population(settings).events()
    warm = []
    for event in lived:
        warm.append(event)
        if event.at > settings.start + WARM_DAYS * 86_400:
            break
    following = list(islice(lived, events))
    if len(following) < events:
        raise SystemExit("the population has not so many events: raise --customers")
    return warm, following


def measure_parts(
    warm: Sequence[RawEvent], events: Sequence[RawEvent], repeats: int
) -> dict[str, Any]:
    """Measure by part, in this process; the repeat whose total is the median."""
    settings = Settings()
    start = parts.warm_up(settings, parts.on_log(warm))
    log = parts.on_log(events, len(warm))
    found = sorted(
        (parts.measure(settings, start, log) for _ in range(repeats)), key=lambda run: run.total
    )[repeats // 2]
    return asdict(found) | {"total": found.total}


def measure_whole_job(
    warm: Sequence[RawEvent], events: Sequence[RawEvent], repeats: int
) -> dict[str, Any]:
    """Measure workers on a real Kafka, each with an equal share of the events."""
    size = len(events) // repeats
    shares = [events[n * size : (n + 1) * size] for n in range(repeats)]
    runs = asyncio.run(whole_job.measure(warm, shares))
    return {
        "events_per_second": statistics.median(run.events_per_second for run in runs),
        "cpu_microseconds": statistics.median(run.cpu_seconds / run.events * 1e6 for run in runs),
        "lists": statistics.median(run.lists for run in runs),
        "runs": [asdict(run) | {"events_per_second": run.events_per_second} for run in runs],
    }


def show(results: dict[str, Any]) -> None:
    """Print all figures for a reader."""
    found = results["parts"]
    print(f"In one process, {results['events']:,} events, µs of CPU time per event:")
    for part, cost in found["microseconds"].items():
        print(f"  {part:<22}{cost:6.1f}")
    print(f"  {'all':<22}{found['total']:6.1f}")
    print(
        f"  per event: {found['lists']:.2f} lists, {found['scores']:.2f} scores, "
        f"{found['outcomes']:.2f} outcomes"
    )
    job = results.get("whole_job")
    if job is None:
        print(results["no_kafka"])
        return
    speeds = ", ".join(f"{run['events_per_second']:,.0f}" for run in job["runs"])
    print("On a real Kafka, one core for the broker, one for a worker with the role score:")
    print(f"  {job['events_per_second']:,.0f} events/s, median of {speeds}")
    print(f"  {job['cpu_microseconds']:.1f} µs of CPU time and {job['lists']:.2f} lists per event")


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=80_000, help="events of each run")
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-kafka", action="store_true", help="parts only")
    options = parser.parse_args(arguments)
    warm, events = history(options.customers, options.events * options.repeats)
    first = events[: options.events]
    results: dict[str, Any] = {"events": options.events, "customers": options.customers}
    results["parts"] = measure_parts(warm, first, options.repeats)
    missing = "Not measured on Kafka, as asked." if options.no_kafka else kafka_available()
    if missing is None:
        results["whole_job"] = measure_whole_job(warm, events, options.repeats)
    else:
        results["no_kafka"] = missing
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)


if __name__ == "__main__":
    main(sys.argv[1:])
