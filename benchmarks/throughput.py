"""Events per second: the small job on every system, the whole job on this one."""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Any, Final

from benchmarks import parts, whole_job
from benchmarks.results import Step, load, save, say
from benchmarks.small.running import SmallRuns
from benchmarks.small.systems import OURS, SYSTEMS, System, install
from crm_online import Settings
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent
from streams.topics import create_missing

__all__ = ["Throughput", "history"]

WARM_DAYS: Final = 45  # the first predictions open after 7 days and settle 30 days later
INSTALL_SECONDS, START_SECONDS = 40.0, 5.0


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


class Throughput:
    """Rows of ``bench.json``, and ``parts.json``.

    Parameters
    ----------
    kafka
        Address of the broker.
    events, customers
        Of each run of the small job.
    whole_events, whole_customers
        Of each run of the whole job.
    seconds
        After which a run of the small job ends.
    repeats
        Runs of each row; the systems take turns.
    """

    def __init__(
        self,
        kafka: str,
        *,
        events: int,
        customers: int,
        whole_events: int,
        whole_customers: int,
        seconds: float,
        repeats: int,
    ) -> None:
        self._kafka = kafka
        self._small = events, customers, seconds
        self._whole = whole_events, whole_customers
        self._repeats = repeats
        self._settings = Settings(app="whole", kafka=kafka)
        self._runs: SmallRuns | None = None
        self._found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._left_out: dict[str, str] = {}
        self._lived: tuple[list[RawEvent], list[RawEvent]] | None = None

    def small(self, systems: Sequence[System] = SYSTEMS) -> Iterator[Step]:
        """Install the peers, then run all in turn."""
        for system in systems:
            if system.script:
                yield Step(
                    f"install {system.name}", INSTALL_SECONDS, partial(self._install, system)
                )
        for repeat in range(self._repeats):
            for system in systems:
                name = f"small job, {system.name}, {repeat + 1} of {self._repeats}"
                yield Step(name, START_SECONDS + self._small[2], partial(self._run, system))

    def whole(self) -> Iterator[Step]:
        """Warm up, then run as often as asked for."""
        yield Step("whole job, warm up", 60.0, self._warm_up)
        for repeat in range(self._repeats):
            name = f"whole job, {repeat + 1} of {self._repeats}"
            yield Step(name, 2.0 * START_SECONDS + 10.0, partial(self._score, repeat))

    def parts(self) -> Iterator[Step]:
        """Measure the whole job by part, in this process, without Kafka."""
        yield Step("parts of the whole job", 60.0, self._measure_parts)

    def rows(self) -> list[dict[str, Any]]:
        """Return what ``bench.json`` holds: medians, and every run behind them."""
        return [
            {
                "job": job,
                "system": system,
                "events_per_second": round(_median(runs, "events_per_second"), 1),
                "repeats": len(runs),
                "runs": runs,
            }
            for (job, system), runs in self._found.items()
        ]

    def _install(self, system: System) -> None:
        reason = install(system)
        if reason:
            self._leave_out(system, f"its packages do not install: {reason}")

    def _run(self, system: System) -> None:
        if system.name in self._left_out:
            return
        self._runs = self._runs or SmallRuns(self._kafka, *self._small)
        try:
            found = self._runs.run(system)
        except RuntimeError as error:
            if system.name == OURS:
                raise
            self._leave_out(system, str(error))
            return
        if found.wrong:
            self._leave_out(system, f"{found.wrong:,} outputs say what the log does not")
            return
        self._found["small", system.name].append(asdict(found))
        self._save()

    def _leave_out(self, system: System, reason: str) -> None:
        say(f"{system.name} is left out: {reason}")
        self._left_out[system.name] = reason
        self._found.pop(("small", system.name), None)
        self._save()

    def _live(self) -> tuple[list[RawEvent], list[RawEvent]]:
        if self._lived is None:
            events, customers = self._whole
            self._lived = history(customers, events * self._repeats)
        return self._lived

    def _warm_up(self) -> None:
        create_missing(self._settings)
        asyncio.run(whole_job.warm_up(self._settings, self._live()[0]))

    def _score(self, repeat: int) -> None:
        size = self._whole[0]
        share = self._live()[1][repeat * size : (repeat + 1) * size]
        run = asyncio.run(whole_job.score(self._settings, share))
        self._found["whole", OURS].append(
            asdict(run)
            | {
                "events_per_second": run.events_per_second,
                "cpu_microseconds": run.cpu_seconds / run.events * 1e6,
            }
        )
        self._save()

    def _measure_parts(self) -> None:
        warm, following = self._live()
        settings = Settings()
        start = parts.warm_up(settings, parts.on_log(warm))
        log = parts.on_log(following[: self._whole[0]], len(warm))
        runs = [parts.measure(settings, start, log) for _ in range(self._repeats)]
        found = sorted(runs, key=lambda run: run.total)[len(runs) // 2]
        save("parts", asdict(found) | {"total": found.total, "repeats": len(runs)})

    def _save(self) -> None:
        measured = {job for job, _ in self._found}
        kept = [row for row in load("bench") or [] if row["job"] not in measured]
        save("bench", sorted(kept + self.rows(), key=lambda row: str(row["job"])))
        save("left_out", self._left_out)


def _median(runs: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(float(run[name]) for run in runs)
