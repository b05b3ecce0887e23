"""How many events a second a system really completes: counted and checked on its topic."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.pinned import Program
from benchmarks.small.events import PLACES
from crm_online import Settings
from streams.admin import Admin
from streams.connection import admin_options

__all__ = ["Completed", "Outputs", "completed", "follow", "read"]

POLL_SECONDS: Final = 0.2
STALL_SECONDS: Final = 120.0
AT_ONCE: Final = 10_000
BEGINNING: Final = 0.1
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What stands on a topic of outputs.

    Parameters
    ----------
    ids, counts
        Of the events, and how many events of its customer each says there are.
    times
        Milliseconds, when the broker appended them.
    """

    ids: Integers
    counts: Integers
    times: Integers


@dataclass(frozen=True, slots=True)
class Completed:
    """One run.

    Parameters
    ----------
    events_per_second
        By the broker's clock, of the last nine tenths of the events: most write in bursts, and the
        first of them is worked on before anything is written.
    events
        All without a gap before them.
    seconds
        From the end of the first tenth to the last output.
    repeated, wrong
        Outputs that stand there twice, and that say another number of events than the log.
    """

    events_per_second: float
    events: int
    seconds: float
    repeated: int
    wrong: int


def follow(
    running: Program, settings: Settings, topic: str, partitions: int, events: int, seconds: float
) -> None:
    """Return once all outputs are there, or so long after the first of them."""
    admin, first, before = Admin(settings), 0.0, 0
    deadline = time.monotonic() + STALL_SECONDS
    while True:
        time.sleep(POLL_SECONDS)
        now, there = time.monotonic(), sum(admin.ends(topic, range(partitions)).values())
        if there and not first:
            first = now
        if there >= events or (first and now - first > seconds):
            return
        deadline = now + STALL_SECONDS if there > before else deadline
        before = there
        if running.poll() is not None or now > deadline:
            raise RuntimeError(f"ended or stood still after {there:,} outputs")


def read(settings: Settings, topic: str, partitions: int) -> Outputs:
    """Read a whole topic of outputs."""
    ends = Admin(settings).ends(topic, range(partitions))
    options: dict[str, Any] = admin_options(settings) | {
        "group.id": "bench.read",
        "enable.auto.commit": False,
        "queued.min.messages": 100_000,
    }
    consumer, found = Consumer(options), list[tuple[int, int, int]]()
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in ends if ends[p]])
    while len(found) < sum(ends.values()):
        for message in consumer.consume(AT_ONCE, 1.0):
            value = orjson.loads(message.value() or b"null")
            found.append((value["id"], value["events"], message.timestamp()[1]))
    consumer.close()
    columns = np.array(found, np.int64).reshape(-1, 3).T
    return Outputs(*columns)


def completed(outputs: Outputs, expected: Sequence[Integers]) -> Completed:
    """Count what is complete: of each partition the events up to the first that is missing.

    Parameters
    ----------
    outputs
        From `read`.
    expected
        By partition: what each event's output must say, from `generate`.

    Examples
    --------
    >>> expected = [np.array([1, 1, 2, 3, 1])]
    >>> outputs = Outputs(np.array([0, 1, 1, 2, 4]), np.array([1, 1, 1, 2, 1]),
    ...                   np.array([0, 500, 500, 1000, 1500]))
    >>> completed(outputs, expected)
    Completed(events_per_second=2.0, events=3, seconds=1.0, repeated=1, wrong=0)
    """
    ids, firsts = np.unique(outputs.ids, return_index=True)
    partitions, offsets = ids // PLACES, ids % PLACES
    kept, wrong = [], 0
    for partition, counts in enumerate(expected):
        mine = partitions == partition
        whole = int(np.argmin(np.append(offsets[mine] == np.arange(mine.sum()), False)))
        places = firsts[mine][:whole]
        wrong += int((outputs.counts[places] != counts[:whole]).sum())
        kept.append(outputs.times[places])
    times = np.sort(np.concatenate(kept))
    begin = times[int(len(times) * BEGINNING)] if len(times) else 0
    behind = times[times > begin]
    seconds = float(behind[-1] - begin) / 1000.0 if len(behind) else 0.0
    speed = len(behind) / seconds if seconds else 0.0
    return Completed(speed, len(times), seconds, len(outputs.ids) - len(ids), wrong)
