"""Write the tables of docs/performance.md and docs/scaling.md from benchmarks/results/.

    python benchmarks/performance_page.py

No figure of these pages is typed by hand: they stand between comments that name a table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.pinned import ROOT
from benchmarks.reaching import table
from benchmarks.results import FOLDER, load
from benchmarks.small.systems import OURS, SYSTEMS

__all__ = ["TABLES", "main", "renewed"]

PAGES: Final = (ROOT / "docs" / "performance.md", ROOT / "docs" / "scaling.md")
EUROS_PER_CORE_HOUR: Final = 0.04
NOT_YET: Final = "Not measured yet."
Cells = Sequence[str]


def renewed(page: str, folder: Path = FOLDER) -> str:
    """Return a page with its tables made anew; those without results say so.

    Parameters
    ----------
    page
        Markdown, with places such as ``<!-- jobs -->``, lines, ``<!-- end of jobs -->``.
    folder
        Of results.
    """
    for name, write in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        text = "\n".join(write(folder)) or NOT_YET
        page = place.sub(lambda _, text=text, b=begin, e=end: b + text + e, page)  # type: ignore[misc]
    return page


def _rows(head: Cells, rows: Sequence[Cells]) -> Iterator[str]:
    if rows:
        yield "| " + " | ".join(head) + " |"
        yield "|---" * len(head) + "|"
        for row in rows:
            yield "| " + " | ".join(row) + " |"


def _machine(folder: Path) -> Iterator[str]:
    found = load("machine", folder)
    if found:
        pinned = "one core for the broker, the others for what is measured"
        yield (
            f"{found['processor']}, {found['cores']} cores, Python {found['python']}, "
            f"{found['system']}; {pinned if found['pinned'] else 'nothing pinned'}. Load before: "
            f"{found['busy']:g}."
        )


def _jobs(folder: Path) -> Iterator[str]:
    survives = {system.name: system.survives for system in SYSTEMS}
    ours = {row["job"]: row for row in load("bench", folder) or [] if row["system"] == OURS}
    rows = [
        [
            row["job"],
            f"**{row['system']}**" if row["system"] == OURS else row["system"],
            f"{row['events_per_second']:,.0f}",
            f"{ours[row['job']]['events_per_second'] / row['events_per_second']:.2f}"
            if row["job"] in ours and row["events_per_second"]
            else "",
            survives[row["system"]],
            str(row["repeats"]),
        ]
        for row in load("bench", folder) or []
    ]
    head = ["job", "system", "events/s", "ours ÷ it", "state survives a crash", "runs"]
    yield from _rows(head, rows)
    for name, reason in (load("left_out", folder) or {}).items():
        yield ""
        yield f"{name} is left out: {reason}."


def _parts(folder: Path) -> Iterator[str]:
    found = load("parts", folder)
    if found:
        rows = [[part, f"{cost:.1f}"] for part, cost in found["microseconds"].items()]
        yield from _rows(["part", "µs/event"], [*rows, ["all", f"{found['total']:.1f}"]])
        yield ""
        yield (
            f"Per event: {found['lists']:.2f} lists of next items, {found['scores']:.2f} scores, "
            f"{found['outcomes']:.2f} outcomes."
        )


def _latency(folder: Path) -> Iterator[str]:
    rows = [
        [
            row["system"],
            f"{row['load']:.0%}",
            f"{row['events_per_second']:,.0f}",
            *[_milliseconds(row, "kafka", name) for name in ("p50", "p99", "p999")],
            *[_milliseconds(row, "redis", name) for name in ("p50", "p99", "p999")],
        ]
        for row in load("latency", folder) or []
    ]
    head = ["", "load", "events/s", "p50", "p99", "p99.9", "Redis p50", "p99", "p99.9"]
    yield from _rows(head, rows)


def _milliseconds(row: dict[str, Any], into: str, name: str) -> str:
    found = row.get(f"{into}_{name}_ms")
    return "–" if found is None else f"{found:,.1f}"


def _growth(folder: Path) -> Iterator[str]:
    rows = [
        [
            row["by"],
            f"{row['size']:,}",
            f"{row['events_per_second']:,.0f}",
            f"{row['cpu_microseconds']:.1f}",
            f"{row['restored_per_second']:,.0f}" if "restored_per_second" in row else "",
            f"{row['bytes_each_with_predictions']:,.0f}" if "bytes_each" in row else "",
        ]
        for row in load("growth", folder) or []
    ]
    head = ["what grows", "to", "events/s", "µs of CPU/event", "restored/s", "bytes per customer"]
    yield from _rows(head, rows)


def _cost(folder: Path) -> Iterator[str]:
    found = {(r["job"], r["system"]): r for r in load("bench", folder) or []}
    whole = found.get(("whole", OURS))
    if whole:
        hours = 1e6 / whole["events_per_second"] / 3600.0
        yield (
            f"A million events through the whole job take {hours * 60:.1f} minutes of one core; at "
            f"{EUROS_PER_CORE_HOUR:.2f} € per core and hour that is "
            f"{hours * EUROS_PER_CORE_HOUR:.4f} €, broker and cache not counted."
        )


def _thinning(folder: Path) -> Iterator[str]:
    rows = [
        [
            "none" if row["most"] is None else f"{row['most']:,} a window",
            f"{row['kept']:.1%}",
            f"{row['hr_20']:.4f}",
            f"{row['mrr_20']:.4f}",
            f"{row['hr_20'] - row['hr_20_whole']:+.4f}",
        ]
        for row in load("thinning", folder) or []
    ]
    yield from _rows(["thinned to", "clicks kept", "HR@20", "MRR@20", "HR@20, change"], rows)


TABLES: Final[dict[str, Callable[[Path], Iterator[str]]]] = {
    "machine": _machine,
    "reach": lambda folder: iter(table(folder)) if (folder / "bench.json").exists() else iter(()),
    "jobs": _jobs,
    "parts": _parts,
    "latency": _latency,
    "growth": _growth,
    "cost": _cost,
    "thinning": _thinning,
}


def main() -> None:
    """Renew both pages."""
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        page.write_text(renewed(before), encoding="utf-8")
        sys.stdout.write(f"{page.relative_to(ROOT)} is made from {FOLDER.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
