"""What next-item lists lose when clicks on busy items are thinned before the session index.

    python benchmarks/thinning.py DATA_FOLDER
    python benchmarks/thinning.py ../shared/data --most 20 --most 200 --clicks 200000 --json

The index needs no more than the newest sessions of an item, so at the source of `crm.interactions`
an item may pass only so often per window of clicks. Which click passes is decided by a hash of its
session: either all clicks of a session on busy items pass or none, and a replay decides alike. On
diginetica, learning stops at the boundary of TRAIN ("frozen"); prefixes of TEST stay whole.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from benchmarks.next_item import read_parts
from benchmarks.results import save, say
from crm_online.evaluation.next_item import evaluate_next_item
from crm_online.scores import Interaction

__all__ = ["main", "thinned"]

WINDOW: Final = 20_000  # clicks: some minutes of a busy shop
MOST: Final = (8, 4, 2, 1)
HASHES: Final = 2**32


def thinned(
    clicks: Sequence[Interaction], most: int, window: int = WINDOW
) -> Iterator[Interaction]:
    """Let pass what a source lets pass that knows how busy items were in the window before.

    Parameters
    ----------
    clicks
        In order.
    most
        Of each item and window, on average.
    window
        Clicks per window.

    Examples
    --------
    >>> clicks = [Interaction(n, 0, f"s{n}", 1, "busy", "Product Viewed", 0.0) for n in range(4000)]
    >>> len(list(thinned(clicks, most=1000, window=1000)))
    4000
    >>> 1200 < len(list(thinned(clicks, most=100, window=1000))) < 1400
    True
    """
    busy: Counter[str] = Counter()
    for first in range(0, len(clicks), window):
        now = clicks[first : first + window]
        for click in now:
            count = busy[click.item]
            name = f"{click.customer} {click.session}".encode()
            if count <= most or crc32(name) < HASHES * most / count:
                yield click
        busy = Counter(click.item for click in now)


def measure(folder: Path, most: Sequence[int], limit: int | None) -> Iterator[dict[str, Any]]:
    """Evaluate the whole, then each thinning."""
    train, test = read_parts(folder, "diginetica")
    train = train[-limit:] if limit else train
    whole: float | None = None
    for each in (None, *most):
        say(f"thinned to {each or 'nothing less'}")
        kept = train if each is None else list(thinned(train, each))
        found = evaluate_next_item(kept, test, baselines=()).scorer.frozen
        hits = found["hr_20"] or 0.0
        whole = hits if whole is None else whole
        yield {
            "most": each,
            "window": WINDOW,
            "clicks": len(train),
            "kept": len(kept) / len(train),
            "hr_20": hits,
            "mrr_20": found["mrr_20"],
            "hr_20_whole": whole,
        }


def main(arguments: Sequence[str]) -> None:
    """Measure, save and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, action="append", help="clicks of an item per window")
    parser.add_argument("--clicks", type=int, help="only the newest of TRAIN")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = list(measure(options.folder, options.most or MOST, options.clicks))
    save("thinning", rows)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        kept, most = row["kept"], row["most"] or "all"
        print(
            f"{most!s:>6}  kept {kept:6.1%}  HR@20 {row['hr_20']:.4f}  MRR@20 {row['mrr_20']:.4f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
