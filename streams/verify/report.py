"""What a run came to, as a table for people and as one object for programs."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streams.verify.run import Figures
from streams.verify.schedule import Kind

__all__ = ["as_json", "as_table"]

DEATHS: Final = 5


def as_json(figures: Figures) -> dict[str, Any]:
    """Return the figures as one object; `deaths` are what workers said that ended by themselves."""
    checks, done = figures.outcome.checks, figures.done
    return {
        "exact": figures.exact,
        "events": figures.outcome.events,
        "missing": sum(check.missing for check in checks),
        "repeated": figures.outcome.repeated,
        "kills": done[Kind.KILL],
        "pauses": done[Kind.PAUSE],
        "broker_restarts": done[Kind.BROKER],
        "cache_outages": done[Kind.CACHE],
        "leaves": done[Kind.LEAVE],
        "joins": done[Kind.JOIN],
        "deaths": figures.deaths,
        "longest_stall_seconds": round(figures.longest_stall_seconds, 2),
        "scored_while_disturbed": figures.scored_while_disturbed,
        "seconds": round(figures.seconds, 1),
        "differences": [sentence for check in checks for sentence in check.differences],
    }


def as_table(figures: Figures) -> RenderableType:
    """Return what was compared, what was done to the job, and the first differences."""
    table = Table("compared", title="[bold]with an undisturbed run[/]", title_justify="left")
    for name in ("expected", "found", "repeated", "missing", "wrong"):
        table.add_column(name, justify="right")
    for check in figures.outcome.checks:
        numbers = (check.expected, check.found, check.repeated, check.missing, check.wrong)
        style = "" if check.exact else "red"
        table.add_row(check.name, *(f"{number:,}" for number in numbers), style=style)
    done = ", ".join(f"{count} × {kind.value}" for kind, count in figures.done.items() if count)
    lines = [
        f"{figures.outcome.events:,} events in {figures.seconds:,.0f} s; {done or 'undisturbed'}",
        f"{figures.outcome.repeated:,} events were scored again; their outputs have the same ce_id",
        f"{figures.longest_stall_seconds:.1f} s was the longest time without progress",
        f"{figures.scored_while_disturbed:,} scores were there when the last disturbance was over",
        *(f"a worker ended by itself: {death}" for death in figures.deaths[:DEATHS]),
        *(each for check in figures.outcome.checks for each in check.differences),
        "exact" if figures.exact else "NOT exact",
    ]
    return Group(table, *(Text(line) for line in lines))
