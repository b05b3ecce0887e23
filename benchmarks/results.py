"""Results as JSON files, which the table and the docs are made from; and the progress of a run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.pinned import ROOT

__all__ = ["FOLDER", "QUICK", "Step", "load", "run_all", "save", "say", "write_to"]

FOLDER: Final = ROOT / "benchmarks" / "results"
QUICK: Final = FOLDER / "quick"  # what tiny sizes gave stands apart, and is not kept

TRUSTED_SECONDS: Final = 60.0  # one slow step says little about all others

_written: list[Path] = [FOLDER]


class Step(NamedTuple):
    """One piece of work.

    Parameters
    ----------
    name
        Said when it begins.
    seconds
        That it takes, roughly: what the time left is made from.
    run
        Does it.
    """

    name: str
    seconds: float
    run: Callable[[], None]


def run_all(steps: Sequence[Step], clock: Callable[[], float] = time.monotonic) -> None:
    """Run steps in order; say on standard error which one, and how long the rest may take."""
    began, planned = clock(), sum(step.seconds for step in steps)
    done = 0.0
    for number, step in enumerate(steps, 1):
        spent = clock() - began
        pace = (spent + TRUSTED_SECONDS) / (done + TRUSTED_SECONDS)
        left = (planned - done) * pace / 60.0
        say(f"[{number}/{len(steps)}] {step.name}; about {left:.0f} min left")
        step.run()
        done += step.seconds


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def write_to(folder: Path) -> None:
    """Write and read results there from now on."""
    _written[:] = [folder]


def save(name: str, found: Any, folder: Path | None = None) -> None:
    """Write one file of results."""
    folder = folder or _written[0]
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=2, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def load(name: str, folder: Path | None = None) -> Any:
    """Read one file of results; ``None`` where it is not there."""
    path = (folder or _written[0]) / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
