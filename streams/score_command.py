"""What `crm-online score` does: a file in, score updates or settled outcomes out."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from crm_online.simulation.offline import score_history
from streams.exits import counted, say
from streams.progress import progress_bar

if TYPE_CHECKING:
    from crm_online.log import Effects
    from crm_online.settings import Settings
    from streams.steps import History

__all__ = ["score_file"]

# Topic, type of record (ticks pass through topics, too) and what people call it.
_RESULTS: Final = (
    ("scores", b"crm.score.updated", "score update"),
    ("outcomes", b"crm.prediction.settled", "settled outcome"),
    ("recommendations", None, "list"),
    ("dead-letters", None, "dead letter"),
)


def score_file(
    settings: Settings,
    history: History,
    *,
    outcomes: bool,
    max_ahead_seconds: float | None,
    out: BinaryIO | None = None,
) -> int:
    """Score a history; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    history
        From `open_history`.
    outcomes
        Print settled outcomes in place of score updates.
    max_ahead_seconds
        Event time between barriers; None for none.
    out
        Where JSON lines go; standard output by default.
    """
    stream = sys.stdout.buffer if out is None else out
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    examples: dict[str, str] = {}
    began = time.monotonic()
    with progress_bar(lambda: history.stage("scoring"), beside_output=True):
        for effects in score_history(history.steps(max_ahead_seconds, settings), settings):
            for reason, message in _refusals(effects):
                refused[reason] += 1
                examples.setdefault(reason, message)
            for noun, values in _results(effects):
                counts[noun] += len(values)
                if noun == ("settled outcome" if outcomes else "score update"):
                    stream.writelines(value + b"\n" for value in values)
        stream.flush()
    seconds = time.monotonic() - began
    done = ", ".join(counted(count, noun) for noun, count in counts.items() if count)
    rate = f"{history.passed / max(seconds, 1e-9):,.0f} events/s"
    for reason, count in refused.items():
        say(f"refused {counted(count, 'event')}: {reason}, such as: {examples[reason]}")
    say(f"{counted(history.passed, 'event')} in {seconds:.1f} s ({rate}); {done or 'no result'}")
    return history.end()


def _refusals(effects: Effects) -> Iterator[tuple[str, str]]:
    """Return the reason and the sentence of each dead letter."""
    for message in effects.outputs.get("dead-letters", ()):
        headers = dict(message.headers)
        reason = headers["__streams.errors.exception"].decode().partition(":")[2]
        yield reason, headers["__streams.errors.message"].decode()


def _results(effects: Effects) -> Iterator[tuple[str, list[bytes]]]:
    for topic, kind, noun in _RESULTS:
        found = (
            message.value
            for message in effects.outputs.get(topic, ())
            if kind is None or dict(message.headers).get("ce_type") == kind
        )
        yield noun, [value for value in found if value is not None]
