"""What `crm-online replay` and `crm-online simulate` do: a history onto the events topic."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crm_online.customers.state import DAY
from crm_online.simulation.population import Population
from crm_online.simulation.replay import Pace, RateLimit, plan_replay
from streams.exits import EXIT_FAILED, counted, say
from streams.feeding import Fed, feed
from streams.progress import Stage, progress_bar

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from crm_online.simulation.raw import RawEvent
    from streams.steps import History

__all__ = ["replay_file", "simulate_population", "write_population"]

_STANDARD_OUTPUT: Final = "-"


def replay_file(
    settings: Settings,
    history: History,
    *,
    factor: float | None,
    max_ahead_seconds: float | None,
    json: bool,
) -> int:
    """Replay a file; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    history
        From `open_history`.
    factor
        How many seconds of event time pass in one; None for as fast as it goes.
    max_ahead_seconds
        Event time between barriers; None for none.
    json
        End with one JSON object.
    """
    pace = Pace(factor, time.monotonic)
    steps = history.steps(max_ahead_seconds, settings)
    settle = max_ahead_seconds is not None
    began = time.monotonic()
    with progress_bar(lambda: history.stage("replaying")):
        fed = asyncio.run(feed(steps, settings, pace=pace, settle=settle))
    seconds = time.monotonic() - began
    report = history.dataset.report
    about = {
        "rows": report.rows,
        "skipped": dict(report.skipped),
        "first_lines": {reason: list(lines) for reason, lines in report.examples.items()},
    }
    late = _end_feed(settings, fed, seconds, about, json=json)
    return history.end() or late


def simulate_population(
    settings: Settings,
    population: Population,
    *,
    rate: float | None,
    max_ahead_seconds: float | None,
    json: bool,
) -> int:
    """Generate a population onto the events topic; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    population
        Whose events to send.
    rate
        Events per second at the most.
    max_ahead_seconds
        Event time between barriers; None for none.
    json
        End with one JSON object.
    """
    watched = _Watched(population)
    # In order of time already: a window would fill up before the first event.
    steps = plan_replay(watched.events(), max_ahead_seconds, "arrival")
    limit = RateLimit(rate, time.monotonic)
    settle, began = max_ahead_seconds is not None, time.monotonic()
    with progress_bar(watched.stage):
        fed = asyncio.run(feed(steps, settings, rate=limit, settle=settle))
    return _end_feed(settings, fed, time.monotonic() - began, _about(population), json=json)


def write_population(
    population: Population, output: Path, *, rate: float | None, json: bool
) -> int:
    """Generate a population into a file of JSON lines; returns the exit code.

    Parameters
    ----------
    population
        Whose events to write.
    output
        The file; ``-`` is standard output.
    rate
        Events per second at the most.
    json
        End with one JSON object.
    """
    watched, limit, written = _Watched(population), RateLimit(rate, time.monotonic), 0
    piped, began = str(output) == _STANDARD_OUTPUT, time.monotonic()
    with ExitStack() as files:
        stream = sys.stdout.buffer if piped else files.enter_context(output.open("wb"))
        with progress_bar(watched.stage, beside_output=piped):
            for event in watched.events():
                wait = limit.delay()
                if wait > 0.0:
                    stream.flush()
                    time.sleep(wait)
                stream.write(event.value + b"\n")
                written += 1
            stream.flush()
    seconds = time.monotonic() - began
    if piped:
        say(f"{counted(written, 'event')} in {seconds:.1f} s")
    else:
        _end(f"{written:,} events to {output}", written, seconds, _about(population), json=json)
    return 0


class _Watched:
    """A population's events, and how far its calendar has come."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self._reached = population.settings.start

    def events(self) -> Iterator[RawEvent]:
        for event in self._population.events():
            self._reached = event.at
            yield event

    def stage(self) -> Stage:
        about = self._population.settings
        return Stage("simulating", min(1.0, (self._reached - about.start) / (about.days * DAY)))


def _end_feed(
    settings: Settings, fed: Fed, seconds: float, about: dict[str, object], *, json: bool
) -> int:
    """Tell what came of a feed; fails where the scorers used none of it."""
    about = {"too_late": fed.too_late, **about}
    _end(f"{counted(fed.sent, 'event')} sent", fed.sent, seconds, about, json=json)
    if fed.too_late:
        say(
            f"{fed.too_late:,} of {counted(fed.sent, 'event')} were more than "
            f"{settings.allowed_lateness_days:g} days behind what {settings.topic('events')} held "
            "and only counted (CRM_ALLOWED_LATENESS_DAYS): use another CRM_APP for another history",
            style="yellow",
        )
    return EXIT_FAILED if fed.too_late == fed.sent > 0 else 0


def _about(population: Population) -> dict[str, object]:
    about = population.settings
    return {"customers": about.customers, "days": about.days, "seed": about.seed}


def _end(what: str, count: int, seconds: float, more: dict[str, object], *, json: bool) -> None:
    if json:
        found = {"events": count, "seconds": round(seconds, 3), **more}
        sys.stdout.write(json_module.dumps(found) + "\n")
    else:
        sys.stdout.write(f"{what} in {seconds:.1f} s ({count / max(seconds, 1e-9):,.0f}/s)\n")
    sys.stdout.flush()
