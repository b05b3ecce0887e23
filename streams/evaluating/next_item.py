"""What `crm-online evaluate next-item` does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crm_online.evaluation.next_item import evaluate_next_item
from crm_online.evaluation.next_item_files import read_clicks
from crm_online.evaluation.next_item_plots import draw_next_item
from streams.evaluating.tables import print_json, print_models
from streams.exits import counted, say
from streams.progress import Stage, progress_bar

if TYPE_CHECKING:
    from crm_online.scores import Interaction

__all__ = ["rate_next_item"]

_HEADS: Final = {
    "hr_1": "HR@1",
    "hr_5": "HR@5",
    "hr_10": "HR@10",
    "hr_20": "HR@20",
    "mrr_20": "MRR@20",
    "ndcg_20": "NDCG@20",
    "coverage_20": "coverage",
    "popularity_20": "popularity",
    "microseconds_per_query": "µs/query",
    "microseconds_per_interaction": "µs/click",
    "megabytes": "MB held",
}
TRAIN, TEST = "train", "test"
_TITLES: Final = {
    "frozen": "Nothing learned from TEST:",
    "prequential": "Each click of TEST predicted, then learned:",
}


def rate_next_item(train: Path, test: Path, *, seed: int, plot: Path | None, json: bool) -> int:
    """Read, rate and report; returns the exit code.

    Parameters
    ----------
    train, test
        The two files.
    seed
        Of the model.
    plot
        Where to draw, if anywhere.
    json
        Print one JSON object in place of tables.
    """
    with _telling() as tell:
        tell("reading", 0.0)
        learned, asked = read_clicks(train, TRAIN), read_clicks(test, TEST)
        _warn_of_repeats(learned, asked)
        found = evaluate_next_item(learned, asked, seed=seed, progress=tell)
    report = asdict(found)
    if json:
        print_json(report)
    else:
        _print(report)
    if plot is not None:  # last: a picture that fails costs no figure
        draw_next_item(found, plot)
    return 0


def _warn_of_repeats(learned: Sequence[Interaction], asked: Sequence[Interaction]) -> None:
    """Say where sessions of TEST stand in TRAIN, too: their figures are of what was learned."""
    known, wanted = _sessions(learned, TRAIN), _sessions(asked, TEST)
    repeats = sum(known.get(name) == items for name, items in wanted.items())
    if repeats:
        say(
            f"{counted(repeats, 'session')} of {len(wanted):,} in TEST stand in TRAIN, too: what "
            "was learned from them is no prediction; split the file by time",
            style="yellow",
        )


def _sessions(clicks: Sequence[Interaction], part: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for click in clicks:
        found.setdefault(click.customer.removeprefix(f"{part}-"), []).append(click.item)
    return found


@contextmanager
def _telling() -> Iterator[Callable[[str, float], None]]:
    told = Stage("", None)

    def tell(word: str, share: float) -> None:
        nonlocal told
        told = Stage(word, share)

    with progress_bar(lambda: told):
        yield tell


def _print(report: dict[str, Any]) -> None:
    sys.stdout.write(
        f"{report['queries']:,} queries: every click of TEST but the first of its session, "
        f"{report['items']:,} items of TRAIN.\n"
    )
    for protocol, title in _TITLES.items():
        sys.stdout.write(f"\n{title}\n\n")
        sys.stdout.flush()
        models = {name: _row(model, protocol) for name, model in report["baselines"].items()}
        print_models({"scorer": _row(report["scorer"], protocol), "baselines": models}, _HEADS)


def _row(model: dict[str, Any], protocol: str) -> dict[str, Any]:
    return {**model[protocol], "megabytes": model["memory_bytes"] / 1e6}
