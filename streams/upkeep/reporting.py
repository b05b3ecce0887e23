"""What a command has done, in a sentence or as JSON."""

from __future__ import annotations

import json as json_module
import sys
from dataclasses import dataclass, field
from typing import Any

from streams.exits import EXIT_FAILED

__all__ = ["Report", "print_report"]


@dataclass(slots=True)
class Report:
    """What was done.

    Parameters
    ----------
    action
        Name of the command.
    sentence
        For people.
    counts
        Name to number, for people and programs.
    topics
        Those that were given more partitions.
    then
        What is to be done next; may be empty.
    """

    action: str
    sentence: str
    counts: dict[str, int] = field(default_factory=dict)
    topics: list[str] = field(default_factory=list)
    then: str = ""


def print_report(report: Report, *, json: bool, done: bool = True) -> int:
    """Print it on standard output; returns the exit code.

    Parameters
    ----------
    report
        What was done.
    json
        One object in place of sentences.
    done
        Whether it was: without it, the exit code says so.
    """
    if json:
        about: dict[str, Any] = {"action": report.action, "done": done, **report.counts}
        about |= {"grown": report.topics, "summary": report.sentence, "next": report.then}
        sys.stdout.write(json_module.dumps(about, indent=2) + "\n")
    else:
        counts = ", ".join(f"{n:,} {name}" for name, n in report.counts.items() if n)
        sys.stdout.write(f"{report.sentence}{': ' if counts else ''}{counts}\n")
        if report.then:
            sys.stdout.write(f"{report.then}\n")
    return 0 if done else EXIT_FAILED
