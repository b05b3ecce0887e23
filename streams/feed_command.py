"""What `crm-online replay` and `crm-online simulate` do: a history onto the events topic."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from crm_online.customers.state import DAY
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.replay import Pace, RateLimit, Step, parse_speed, plan_replay
from streams.feeding import feed
from streams.progress import progress_bar
from streams.steps import parse_max_ahead

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from crm_online.simulation.datasets import Dataset

__all__ = ["replay_file", "simulate_population"]


def replay_file(
    settings: Settings, dataset: Dataset, *, speed: str, max_ahead: str, json: bool
) -> int:
    """Replay a file; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    dataset
        The history.
    speed
        ``"max"``, or a multiple of real time such as ``"60x"``.
    max_ahead
        Days between barriers, or ``"none"``.
    json
        End with one JSON object.
    """
    pace = Pace(parse_speed(speed), time.monotonic)
    steps = plan_replay(dataset, parse_max_ahead(max_ahead))
    sent, seconds = _run(settings, steps, lambda: dataset.progress, pace=pace)
    report = dataset.report
    _end(sent, seconds, {"rows": report.rows, "skipped": dict(report.skipped)}, json=json)
    return 0


def simulate_population(
    settings: Settings,
    customers: int,
    days: float,
    seed: int,
    *,
    rate: float | None,
    max_ahead: str,
    output: Path | None,
    json: bool,
) -> int:
    """Generate a population onto the events topic, or into a file; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    customers, days, seed
        Of the population.
    rate
        Events per second at the most.
    max_ahead
        Days between barriers, or ``"none"``.
    output
        JSON lines go here in place of Kafka; ``-`` is standard output.
    json
        End with one JSON object.
    """
    population = Population(PopulationSettings(customers=customers, days=days, seed=seed))
    if output is not None:
        return _write(population, output)
    start = population.settings.start
    reached = start

    def watched(steps: Iterable[Step]) -> Iterable[Step]:
        nonlocal reached
        for step in steps:
            reached = step.event.at if hasattr(step, "event") else reached
            yield step

    steps = watched(plan_replay(population.events(), parse_max_ahead(max_ahead)))
    limit = RateLimit(rate, time.monotonic)
    sent, seconds = _run(settings, steps, lambda: (reached - start) / (days * DAY), rate=limit)
    _end(sent, seconds, {"customers": customers, "seed": seed}, json=json)
    return 0


def _run(
    settings: Settings,
    steps: Iterable[Step],
    share: Callable[[], float],
    *,
    pace: Pace | None = None,
    rate: RateLimit | None = None,
) -> tuple[int, float]:
    began = time.monotonic()
    with progress_bar("replaying", share) as advance:
        sent = asyncio.run(
            feed(steps, settings, pace=pace, rate=rate, advance=lambda _: advance())
        )
    return sent, time.monotonic() - began


def _end(sent: int, seconds: float, more: dict[str, object], *, json: bool) -> None:
    if json:
        found = {"events": sent, "seconds": round(seconds, 3), **more}
        sys.stdout.write(json_module.dumps(found) + "\n")
        return
    notes = "".join(f"; {name}: {value}" for name, value in more.items() if value)
    sys.stdout.write(f"{sent:,} events in {seconds:.1f} s ({sent / seconds:,.0f}/s){notes}\n")


def _write(population: Population, output: Path) -> int:
    with ExitStack() as files:
        stream = sys.stdout.buffer if str(output) == "-" else files.enter_context(output.open("wb"))
        for event in population.events():
            stream.write(event.value + b"\n")
        stream.flush()
    return 0
