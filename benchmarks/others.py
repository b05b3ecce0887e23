"""What is measured beside throughput: starting, learning, listing items."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.pinned import answer, ready_worker
from benchmarks.results import Step, load, save, say
from crm_online import Settings
from streams.topics import create_missing

__all__ = ["steps"]

DATASET: Final = "diginetica"


def steps(kafka: str, data: Path, repeats: int) -> Iterator[Step]:
    """List the work."""
    yield Step("worker start, --help", 10.0 * repeats, partial(_starting, kafka, repeats))
    yield Step("learner", 40.0, partial(_add, "benchmarks.learn", "--json"))
    if (data / DATASET).is_dir():
        yield Step("next item", 60.0, partial(_add, "benchmarks.clicks", str(data)))
    else:
        say(f"next item is left out: there is no {data / DATASET}")


def _add(module: str, *arguments: str) -> None:
    save("others", (load("others") or {}) | answer(module, *arguments))


def _starting(kafka: str, repeats: int) -> None:
    settings = Settings(kafka=kafka, app="start")
    create_missing(settings)
    found = {
        "start_seconds": statistics.median(_start(settings) for _ in range(repeats)),
        "help_seconds": statistics.median(_help() for _ in range(repeats)),
    }
    save("others", (load("others") or {}) | found)


def _start(settings: Settings) -> float:
    """Seconds until a worker without any state is ready for events."""
    with ready_worker(settings, "score") as seconds:
        return seconds


def _help() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "streams", "--help"], check=True, capture_output=True)
    return time.monotonic() - began
