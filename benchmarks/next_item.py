"""Quality and speed of the next-item model's first stage on public click data.

    python benchmarks/next_item.py DATA_FOLDER [diginetica] [yoochoose_100k]

Every prefix of a test session is a query over the whole catalogue; repeats count as targets.
*Frozen*: nothing is learned from the test part. *Learning on*: each click is predicted, then
learned, in stream order.
"""

from __future__ import annotations

import csv
import gc
import gzip
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from crm_online.models.next_item import Candidate, NextItem, Query
from crm_online.scores import Interaction

__all__ = ["main"]

TOP = 20
BATCH = 500
DATASETS = ("diginetica", "yoochoose_100k")
Result = TypeVar("Result")


def read_clicks(folder: Path, dataset: str) -> tuple[list[Interaction], int]:
    """Read clicks in stream order, each session a customer of its own; count the training part."""
    rows = list(_read_rows(folder, dataset))
    clicks = [
        Interaction(place, 0, f"{part}-{session}", 1, item, "Product Viewed", float(place))
        for place, (part, session, item) in enumerate(rows)
    ]
    return clicks, sum(part != "test" for part, _, _ in rows)


def _read_rows(folder: Path, dataset: str) -> Iterator[tuple[str, str, str]]:
    if dataset == "diginetica":
        for part in ("train", "test"):
            for row in _read_table(folder / dataset / f"{part}.tsv.gz"):
                yield part, row["session_id"], row["item_id"]
        return
    for row in _read_table(folder / dataset / "clicks_by_time.tsv.gz"):
        yield row["split"], row["SessionId"], row["ItemId"]


def _read_table(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt") as lines:
        yield from csv.DictReader(lines, delimiter="\t")


def queries_before(clicks: Sequence[Interaction]) -> list[Query | None]:
    """Return the query that each click answers; None at the first click of a session."""
    sessions: dict[str, tuple[str, ...]] = {}
    queries: list[Query | None] = []
    for click in clicks:
        items = sessions.get(click.customer, ())
        queries.append(Query(click.customer, 1, items) if items else None)
        sessions[click.customer] = (*items, click.item)[-16:]
    return queries


def rank_of(item: str, candidates: Sequence[Candidate]) -> int:
    """Return where an item stands in a list, from 1; 0 where it does not."""
    for place, candidate in enumerate(candidates):
        if candidate.item == item:
            return place + 1
    return 0


def frozen_ranks(
    model: NextItem, clicks: Sequence[Interaction], queries: Sequence[Query | None]
) -> list[int]:
    """Answer all queries in batches, learning nothing."""
    asked = [
        (click.item, query)
        for click, query in zip(clicks, queries, strict=True)
        if query is not None
    ]
    ranks = []
    for first in range(0, len(asked), BATCH):
        batch = asked[first : first + BATCH]
        lists = model.recommend_many([query for _, query in batch], TOP)
        ranks += [rank_of(item, found) for (item, _), found in zip(batch, lists, strict=True)]
    return ranks


def learning_ranks(
    model: NextItem, clicks: Sequence[Interaction], queries: Sequence[Query | None]
) -> list[int]:
    """Predict each click, then learn it."""
    ranks = []
    for click, query in zip(clicks, queries, strict=True):
        if query is not None:
            ranks.append(rank_of(click.item, model.recommend_many([query], TOP)[0]))
        model.learn_many([click])
    return ranks


def learn_in_batches(model: NextItem, clicks: Sequence[Interaction]) -> None:
    """Learn the training part as a follower does."""
    for first in range(0, len(clicks), BATCH):
        model.learn_many(clicks[first : first + BATCH])


def timed(step: Callable[[], Result]) -> tuple[Result, float]:
    """Run a step; return its result and how many seconds it took."""
    begin = time.perf_counter()
    result = step()
    return result, time.perf_counter() - begin


def quality(ranks: Sequence[int]) -> str:
    """Render hit rate and mean reciprocal rank."""
    places = np.array(ranks)
    reciprocal = np.where(places > 0, 1 / np.maximum(places, 1), 0)
    return f"HR@{TOP} {(places > 0).mean():.4f}  MRR@{TOP} {reciprocal.mean():.4f}  n={len(ranks)}"


def measure(folder: Path, dataset: str) -> None:
    """Print all figures of one data set."""
    clicks, trained = read_clicks(folder, dataset)
    train, test = clicks[:trained], clicks[trained:]
    queries = queries_before(test)
    gc.collect()
    gc.freeze()
    model = NextItem(max_items=60_000)
    _, learning = timed(lambda: learn_in_batches(model, train))
    print(f"{dataset}: learn {learning / len(train) * 1e6:.1f} µs/interaction  {model.counters}")
    ranks, asking = timed(lambda: frozen_ranks(model, test, queries))
    print(f"  frozen       {quality(ranks)}  {asking / len(ranks) * 1e6:.1f} µs/query of {BATCH}")
    asked = [query for query in queries if query is not None]
    for size in (1, 10, 100, BATCH):
        few = asked[: 20 * BATCH]
        batches = [few[first : first + size] for first in range(0, len(few), size)]
        _, asking = timed(lambda batches=batches: [model.recommend_many(b, 10) for b in batches])  # type: ignore[misc]
        print(f"  top 10, batches of {size}: {asking / len(few) * 1e6:.1f} µs/query")
    data, writing = timed(model.state_bytes)
    _, reading = timed(lambda: NextItem.from_bytes(data))
    print(f"  state {len(data) / 1e6:.1f} MB, written in {writing:.2f} s, read in {reading:.2f} s")
    ranks, both = timed(lambda: learning_ranks(model, test, queries))
    print(f"  learning on  {quality(ranks)}  {both / len(test) * 1e6:.1f} µs/click, one by one")


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
