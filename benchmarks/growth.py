"""Throughput, memory and restore as the work grows: customers, items, workers, a hot key.

    python benchmarks/growth.py
    python benchmarks/growth.py --customers 10000 --customers 100000 --repeats 5
    python benchmarks/growth.py --quick --json

Of each kind the sizes take turns, and their ratios are what counts. One core belongs to the broker;
several workers share the others, so that on two cores they can only show what sharing costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

from benchmarks import whole_job
from benchmarks.pinned import answer, broker, cores
from benchmarks.results import QUICK, Step, load, run_all, save, write_to
from benchmarks.worlds import World, lived

__all__ = ["Sizes", "main", "sizes", "steps"]

CUSTOMERS, ITEMS = 10_000, 1_000  # of what does not grow
RUN_SECONDS, WRITE_SECONDS, SECONDS_PER_CUSTOMER = 14.0, 5.0, 2e-5


class Sizes(NamedTuple):
    """What grows, and how many events each run has."""

    customers: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    items: tuple[int, ...] = (1_000, 10_000, 100_000)
    workers: tuple[int, ...] = (1, 2, 4)
    hot_shares: tuple[float, ...] = (0.0, 0.5)
    events: int = 60_000


def sizes(*, quick: bool) -> Sizes:
    """Return the sizes by default, or tiny ones."""
    return Sizes((1_000, 10_000), (1_000, 2_000), (1, 2), (0.0, 0.5), 4_000) if quick else Sizes()


def steps(kafka: str, wanted: Sizes, repeats: int) -> Iterator[Step]:
    """List the work: of each kind all sizes are written first, then they take turns."""
    rows = _Rows(kafka, wanted.events)
    kinds: dict[str, Sequence[float]] = {
        "customers": wanted.customers,
        "items": wanted.items,
        "workers": wanted.workers,
        "hot share": wanted.hot_shares,
    }
    for by, given in kinds.items():
        for size in given:
            customers = int(size) if by == "customers" else CUSTOMERS
            seconds = WRITE_SECONDS + SECONDS_PER_CUSTOMER * customers
            yield Step(f"{by} {size:,}, write", seconds, partial(rows.write, by, size))
        for repeat in range(repeats):
            for size in given:
                name = f"{by} {size:,}, {repeat + 1} of {repeats}"
                seconds = RUN_SECONDS + (SECONDS_PER_CUSTOMER * size if by == "customers" else 0)
                yield Step(name, seconds, partial(rows.run, by, size))


class _Rows:
    """Rows of ``growth.json``."""

    def __init__(self, kafka: str, events: int) -> None:
        self._kafka = kafka
        self._events = events
        self._worlds: dict[tuple[str, float], World] = {}
        self._runs: defaultdict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)

    def write(self, by: str, size: float) -> None:
        customers = int(size) if by == "customers" else CUSTOMERS
        items = int(size) if by == "items" else ITEMS
        hot = size if by == "hot share" else 0.0
        world = World(self._kafka, f"grow{len(self._worlds)}", customers, items, hot)
        self._worlds[by, size] = world
        asyncio.run(world.write())

    def run(self, by: str, size: float) -> None:
        world = self._worlds[by, size]
        found: dict[str, Any] = {}
        if by == "customers":
            found["restore"] = answer("benchmarks.restore", self._kafka, world.settings.app)
        events = list(world.events(self._events))
        workers = int(size) if by == "workers" else 1
        run = asyncio.run(whole_job.score(world.settings, events, workers=workers))
        found |= asdict(run) | {"events_per_second": run.events_per_second}
        self._runs[by, size].append(found)
        save("growth", self.rows())

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "by": by,
                "size": size,
                "events_per_second": statistics.median(r["events_per_second"] for r in runs),
                "cpu_microseconds": statistics.median(
                    r["cpu_seconds"] / r["events"] * 1e6 for r in runs
                ),
                "cores": max(len(cores()), 1),
                "repeats": len(runs),
                **(_restored(runs) if by == "customers" else {}),
            }
            for (by, size), runs in self._runs.items()
        ]


def _restored(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return speed and size; open predictions have an allowance of their own."""
    restores = [run["restore"] for run in runs]
    allowed = 100.0 * lived().open_predictions
    each = statistics.median(r["grown_bytes"] / r["customers"] for r in restores)
    return {
        "restored_per_second": statistics.median(r["customers"] / r["seconds"] for r in restores),
        "bytes_each": each - allowed,
        "bytes_each_with_predictions": each,
        "open_predictions": lived().open_predictions,
    }


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, action="append", help="may be given repeatedly")
    parser.add_argument("--items", type=int, action="append", help="may be given repeatedly")
    parser.add_argument("--workers", type=int, action="append", help="may be given repeatedly")
    parser.add_argument("--events", type=int, help="of each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny sizes; no figure means anything")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        write_to(QUICK)
    wanted = sizes(quick=options.quick)
    wanted = wanted._replace(
        customers=tuple(options.customers or wanted.customers),
        items=tuple(options.items or wanted.items),
        workers=tuple(options.workers or wanted.workers),
        events=options.events or wanted.events,
    )
    with broker() as kafka:
        run_all(list(steps(kafka, wanted, options.repeats)))
    show(as_json=options.json)


def show(*, as_json: bool) -> None:
    """Print the rows."""
    found = load("growth") or []
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for row in found:
        line = f"{row['by']:<10}{row['size']:>12,}{row['events_per_second']:>10,.0f} events/s"
        if "bytes_each" in row:
            line += f"{row['restored_per_second']:>12,.0f} restored/s"
            line += f"{row['bytes_each_with_predictions']:>9,.0f} bytes each"
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
