"""The figures to reach, beside those that were reached."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results import load
from benchmarks.small.systems import OURS

__all__ = ["Figure", "figures", "table"]


class Figure(NamedTuple):
    """One line of the table.

    Parameters
    ----------
    what
        Is measured.
    wanted
        With its sense: ``≥`` or ``≤``.
    reached
        ``None`` where it was not measured.
    """

    what: str
    wanted: str
    reached: float | None

    @property
    def met(self) -> bool | None:
        """Whether it is reached."""
        if self.reached is None:
            return None
        sign, number = self.wanted[0], float(self.wanted[1:].replace(",", ""))
        return self.reached >= number if sign == "≥" else self.reached <= number


def figures(folder: Path | None = None) -> Iterator[Figure]:
    """Compare what the files of results say with what is wanted."""
    yield from _throughput(load("bench", folder) or [])
    yield from _latency(load("latency", folder) or [])
    yield from _growth(load("growth", folder) or [])
    others = load("others", folder) or {}
    for what, wanted, name in (
        ("learner, churn champion alone, outcomes/s", "≥20,000", "learner_outcomes_per_second"),
        ("next item, prediction and learning, µs per click", "≤50", "next_item_microseconds"),
        ("next item, index and embedding alone, µs", "≤5", "next_item_follow_microseconds"),
        ("worker start to ready, empty state, s", "≤4", "start_seconds"),
        ("crm-online --help, s", "≤.5", "help_seconds"),
    ):
        yield Figure(what, wanted, others.get(name))


def _throughput(rows: list[dict[str, Any]]) -> Iterator[Figure]:
    found = {(row["job"], row["system"]): row for row in rows}
    speed = {place: row["events_per_second"] for place, row in found.items()}
    ours = speed.get(("small", OURS))
    whole = found.get(("whole", OURS), {})
    yield Figure(
        "whole job ÷ Quix Streams doing the small job",
        "≥1",
        _ratio(whole.get("events_per_second"), speed.get(("small", "Quix Streams"))),
    )
    for peer, wanted in (
        ("Faust, stock agent", "≥10"),
        ("Quix Streams", "≥2"),
        ("Bytewax", "≥1.5"),
    ):
        yield Figure(f"small job ÷ {peer}", wanted, _ratio(ours, speed.get(("small", peer))))
    runs = whole.get("runs")
    cost = statistics.median(run["cpu_microseconds"] for run in runs) if runs else None
    yield Figure("whole job, µs of CPU time per event", "≤42", cost)


def _latency(rows: list[dict[str, Any]]) -> Iterator[Figure]:
    half = {row["system"]: row for row in rows if row["load"] == 0.5}
    ours, echo = half.get(OURS, {}), half.get("bare echo", {})
    yield Figure(
        "latency p99 at 50 % load, into Kafka ÷ bare echo",
        "≤4",
        _ratio(ours.get("kafka_p99_ms"), echo.get("kafka_p99_ms")),
    )
    yield Figure("latency p99 at 50 % load into Redis, ms", "≤100", ours.get("redis_p99_ms"))


def _growth(rows: list[dict[str, Any]]) -> Iterator[Figure]:
    found = {(row["by"], row["size"]): row for row in rows}
    speed = {place: row.get("events_per_second") for place, row in found.items()}
    most = found.get(("customers", 1_000_000), {})
    yield Figure(
        "bytes per customer at 1M, less 100 per open prediction", "≤1,000", most.get("bytes_each")
    )
    yield Figure("restore, customers/s", "≥250,000", most.get("restored_per_second"))
    for what, wanted, more, less in (
        ("throughput at 1M customers ÷ at 10k", "≥.8", ("customers", 10**6), ("customers", 10**4)),
        ("throughput at 100k items ÷ at 1k", "≥.7", ("items", 10**5), ("items", 10**3)),
        ("hot key with 50 % of events ÷ uniform", "≥.8", ("hot share", 0.5), ("hot share", 0.0)),
    ):
        yield Figure(what, wanted, _ratio(speed.get(more), speed.get(less)))


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def table(folder: Path | None = None) -> Iterator[str]:
    """Write the table in Markdown, which reads well in a terminal, too."""
    lines = [("what", "to reach", "reached", "")]
    for figure in figures(folder):
        said = {True: "yes", False: "**no**", None: "not measured"}[figure.met]
        reached = "" if figure.reached is None else _shown(figure.reached)
        wanted = f"{figure.wanted[0]} {figure.wanted[1:]}"
        lines.append((figure.what, wanted, reached, said))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    for number, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        yield "| " + " | ".join(cells) + " |"
        if not number:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
