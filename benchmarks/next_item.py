"""Quality and speed of next-item lists on public click data, and what the model's state takes.

    python benchmarks/next_item.py DATA_FOLDER [diginetica] [yoochoose_100k]

As `crm-online evaluate next-item`, for three seeds.
"""

from __future__ import annotations

import csv
import gzip
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from crm_online.evaluation.next_item import Judged, evaluate_next_item
from crm_online.evaluation.next_item_baselines import BASELINES
from crm_online.evaluation.next_item_files import read_clicks
from crm_online.models.next_item import NextItem
from crm_online.scores import Interaction

__all__ = ["main", "read_parts"]

BATCH = 500
SEEDS = (1, 2, 3)
DATASETS = ("diginetica", "yoochoose_100k")
SHOWN = ("hr_20", "mrr_20", "microseconds_per_query", "microseconds_per_interaction")
Result = TypeVar("Result")


def read_parts(folder: Path, dataset: str) -> tuple[list[Interaction], list[Interaction]]:
    """Read the two parts of a data set, as published."""
    if dataset == "diginetica":
        train, test = (folder / dataset / f"{part}.tsv.gz" for part in ("train", "test"))
        return read_clicks(train, "train"), read_clicks(test, "test")
    with tempfile.TemporaryDirectory() as scratch:
        train, test = (Path(scratch) / f"{part}.tsv" for part in ("train", "test"))
        _split(folder / dataset / "clicks_by_time.tsv.gz", train, test)
        return read_clicks(train, "train"), read_clicks(test, "test")


def _split(path: Path, train: Path, test: Path) -> None:
    """Write the rows of a file with a column ``split`` into two."""
    with (
        gzip.open(path, "rt") as lines,
        train.open("w") as to_train,
        test.open("w") as to_test,
    ):
        rows = csv.DictReader(lines, delimiter="\t")
        names = rows.fieldnames or ()
        writers = [csv.DictWriter(to, names, delimiter="\t") for to in (to_train, to_test)]
        for writer in writers:
            writer.writeheader()
        for row in rows:
            writers[row["split"] == "test"].writerow(row)


def timed(step: Callable[[], Result]) -> tuple[Result, float]:
    """Run a step; return its result and how many seconds of CPU it took."""
    begin = time.process_time()
    result = step()
    return result, time.process_time() - begin


def measure(folder: Path, dataset: str) -> None:
    """Print all figures of one data set."""
    train, test = read_parts(folder, dataset)
    for seed in SEEDS:
        baselines = tuple(BASELINES) if seed == SEEDS[0] else ()
        found = evaluate_next_item(train, test, seed=seed, baselines=baselines)
        _show(f"{dataset}, seed {seed}", found.scorer)
        for name, judged in found.baselines.items():
            _show(f"{dataset}, {name}", judged)
    model = NextItem()
    _, seconds = timed(lambda: _follow(model, train))
    print(f"  following: {seconds / len(train) * 1e6:.1f} µs/click  {model.counters}")
    data, writing = timed(model.state_bytes)
    _, reading = timed(lambda: NextItem.from_bytes(data))
    print(f"  state {len(data) / 1e6:.1f} MB, written in {writing:.2f} s, read in {reading:.2f} s")


def _show(name: str, judged: Judged) -> None:
    for protocol in ("frozen", "prequential"):
        figures = getattr(judged, protocol)
        shown = "  ".join(f"{key} {figures[key]:.4g}" for key in SHOWN)
        print(f"{name:28s} {protocol:12s} {shown}", flush=True)


def _follow(model: NextItem, clicks: Sequence[Interaction]) -> None:
    for first in range(0, len(clicks), BATCH):
        model.follow_many(clicks[first : first + BATCH])


def main(arguments: Sequence[str]) -> None:
    """Measure the named data sets, or both."""
    if not arguments:
        raise SystemExit(__doc__)
    _, compiling = timed(lambda: NextItem().warm_up())
    print(f"ready after {compiling:.2f} s")
    for dataset in arguments[1:] or DATASETS:
        measure(Path(arguments[0]), dataset)


if __name__ == "__main__":
    main(sys.argv[1:])
