"""Measure everything on a real Kafka, and print the figures to reach beside those reached.

    python benchmarks/bench.py                     # all of it, under half an hour
    python benchmarks/bench.py --only small        # every system on the small job
    python benchmarks/bench.py --only whole --repeats 5
    python benchmarks/bench.py --only parts        # without Kafka
    python benchmarks/bench.py --quick             # a minute or two, to see that it runs
    python benchmarks/bench.py --table             # what stands under benchmarks/results/

One core for the broker, another for what is measured (`taskset`, Linux). All rows come from the
same run, the systems take turns, and each figure is the median of its repeats. What was measured
is written to benchmarks/results/ as it comes; what is not measured this time stays there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from benchmarks import growth, latency, others
from benchmarks.pinned import broker, cores
from benchmarks.reaching import figures, table
from benchmarks.results import QUICK, Step, load, run_all, save, write_to
from benchmarks.throughput import Throughput

__all__ = ["main"]

FILES: Final = ("machine", "bench", "left_out", "parts", "others", "latency", "growth")
SECTIONS: Final = ("small", "whole", "parts", "latency", "growth", "others")
TINY: Final[dict[str, Any]] = {
    "events": 20_000,
    "customers": 2_000,
    "whole_events": 4_000,
    "whole_customers": 500,
    "seconds": 5.0,
    "repeats": 1,
}


def steps(kafka: str, options: argparse.Namespace) -> Iterator[Step]:
    """List the work asked for."""
    wanted = options.only or SECTIONS
    throughput = Throughput(
        kafka,
        events=options.events,
        customers=options.customers,
        whole_events=options.whole_events,
        whole_customers=options.whole_customers,
        seconds=options.seconds,
        repeats=options.repeats,
    )
    if "small" in wanted:
        yield from throughput.small()
    if "whole" in wanted:
        yield from throughput.whole()
    if "parts" in wanted:
        yield from throughput.parts()
    if "others" in wanted:
        yield from others.steps(kafka, options.data, options.repeats)
    if "latency" in wanted:
        yield from latency.steps(kafka, latency.sizes(quick=options.quick))
    if "growth" in wanted:
        yield from growth.steps(kafka, growth.sizes(quick=options.quick), options.repeats)


def machine() -> dict[str, Any]:
    """Say what this machine is."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "pinned": bool(cores()),
        "python": platform.python_version(),
        "system": platform.system(),
        "busy": round(os.getloadavg()[0], 1),
    }


def main(arguments: Sequence[str]) -> None:
    """Measure, save and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=SECTIONS, help="may be given repeatedly")
    parser.add_argument("--repeats", type=int, default=3, help="runs behind each median")
    parser.add_argument("--events", type=int, default=400_000, help="of the small job")
    parser.add_argument("--customers", type=int, default=20_000, help="of the small job")
    parser.add_argument("--seconds", type=float, default=10.0, help="a run of the small job ends")
    parser.add_argument("--whole-events", type=int, default=80_000, help="of the whole job")
    parser.add_argument("--whole-customers", type=int, default=10_000, help="of the whole job")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="public data")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; no figure means anything")
    parser.add_argument("--table", action="store_true", help="print what was measured before")
    parser.add_argument("--json", action="store_true", help="print results as JSON")
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(TINY)
        write_to(QUICK)
    if not options.table:
        alone = options.only == ["parts"]  # the one that takes no broker
        with nullcontext("") if alone else broker() as kafka:
            save("machine", machine())
            run_all(list(steps(kafka, options)))
    show(as_json=options.json)


def show(*, as_json: bool) -> None:
    """Print all results that there are."""
    if as_json:
        found = {name: load(name) for name in FILES}
        found["figures"] = [figure._asdict() | {"met": figure.met} for figure in figures()]
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for row in load("bench") or []:
        print(f"{row['job']:<6}{row['system']:<22}{row['events_per_second']:>10,.0f} events/s")
    for name, reason in (load("left_out") or {}).items():
        print(f"{name} is left out: {reason}")
    print()
    print("\n".join(table()))


if __name__ == "__main__":
    main(sys.argv[1:])
