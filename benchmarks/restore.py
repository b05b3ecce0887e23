"""Restore all customers once, as a worker does, and say how fast and what they take.

    python -m benchmarks.restore KAFKA APP

Reads the topics that `benchmarks.growth` wrote; the restore is `streams.checkpoint.restore` into a
`Scorer`. Prints JSON: customers, seconds, cpu_seconds, megabytes on the topic, and by how many
bytes the process grew.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from crm_online import Settings
from crm_online.scoring import Scorer
from streams import checkpoint
from streams.memory import share_one_heap

__all__ = ["main", "restore"]


async def restore(settings: Settings) -> dict[str, Any]:
    """Restore all partitions into a new scorer."""
    scorer = Scorer(settings)
    gc.collect()
    before, began, cpu = _resident_bytes(), time.perf_counter(), _cpu_seconds()
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
    gc.collect()
    packed = [v for held in scorer.partitions.values() for v in held.store.packed.values()]
    return {
        "customers": len(packed),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "megabytes": sum(map(len, packed)) / 1e6,
        "grown_bytes": _resident_bytes() - before,
    }


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(kafka: str, app: str) -> None:
    """Restore and print."""
    share_one_heap()  # as a worker does, and so is the next
    gc.set_threshold(50_000, 10, 10)
    print(json.dumps(asyncio.run(restore(Settings(kafka=kafka, app=app)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
