"""What a click costs the next-item model: CPU time on diginetica, 43,097 items, as JSON.

python -m benchmarks.clicks DATA_FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.next_item import read_parts
from crm_online.models.next_item import NextItem

__all__ = ["main"]

BATCH: Final = 500
TOP: Final = 20


def main(folder: str) -> None:
    """Follow TRAIN, then predict and learn each click of TEST; print both costs."""
    train, test = read_parts(Path(folder), "diginetica")
    model = NextItem()
    model.warm_up()
    began = time.process_time()
    for first in range(0, len(train), BATCH):
        model.follow_many(train[first : first + BATCH])
    followed = time.process_time()
    for first in range(0, len(test), BATCH):
        model.replay_many(test[first : first + BATCH], TOP)
    replayed = time.process_time()
    print(
        json.dumps(
            {
                "next_item_microseconds": (replayed - followed) / len(test) * 1e6,
                "next_item_follow_microseconds": (followed - began) / len(train) * 1e6,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
