"""What came of a replay of dead letters, and how it is told."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from crm_online.errors import EventRejected
from streams.dead_letters.marks import Place
from streams.exits import counted, say

__all__ = ["Report", "print_json", "print_sentences"]

SHOWN: Final = 20


@dataclass(slots=True)
class Report:
    """What came of each letter.

    Parameters
    ----------
    put_back
        On the log now.
    recorded
        Put back before, by a run that ended before it could say so.
    refused
        Not put back, with the reason.
    late
        How many of those put back lie further back than the scorer may still apply.
    """

    put_back: list[Place] = field(default_factory=list)
    recorded: list[Place] = field(default_factory=list)
    refused: list[tuple[Place, EventRejected]] = field(default_factory=list)
    late: int = 0


def print_sentences(report: Report) -> None:
    """Print what was put back, and say on standard error what was not."""
    for text in _sentences(report):
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    for place, rejection in report.refused[:SHOWN]:
        say(f"{place} was not put back: {rejection.reason}: {rejection.message}")
    if len(report.refused) > SHOWN:
        counts = Counter(rejection.reason for _, rejection in report.refused)
        by_reason = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        say(f"… {len(report.refused):,} were not put back: {by_reason}")


def _sentences(report: Report) -> Iterator[str]:
    yield f"{counted(len(report.put_back), 'event')} put back{_named(report.put_back)}"
    if report.recorded:
        yield (
            f"{counted(len(report.recorded), 'event')} stood on the log already, from a run that "
            f"ended early; recorded now{_named(report.recorded)}"
        )


def _named(places: Collection[Place]) -> str:
    return f": {', '.join(map(str, places))}" if 0 < len(places) <= SHOWN else ""


def print_json(report: Report) -> None:
    """Print one JSON object."""
    found = {
        "put_back": [str(place) for place in report.put_back],
        "recorded": [str(place) for place in report.recorded],
        "refused": [
            {"place": str(place), "reason": rejection.reason, "message": rejection.message}
            for place, rejection in report.refused
        ],
    }
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()
