from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import orjson
import pytest

from benchmarks.small.events import PLACES, generate
from benchmarks.small.machine import SmallMachine
from benchmarks.small.measuring import Outputs, completed
from benchmarks.small.systems import OURS, SYSTEMS
from crm_online.log import Effects, LogRecord, Message

EVENTS, CUSTOMERS, BATCH = 400, 20, 50


def _log(messages: Sequence[Message]) -> list[LogRecord]:
    return [LogRecord(offset, 0, *message) for offset, message in enumerate(messages)]


def _process(machine: SmallMachine, log: Sequence[LogRecord]) -> list[Effects]:
    return [
        effects
        for first in range(0, len(log), BATCH)
        for effects in machine.process(0, log[first : first + BATCH])
    ]


def _outputs(effects: Sequence[Effects]) -> list[dict[str, object]]:
    messages = itertools.chain.from_iterable(each.outputs["out"] for each in effects)
    return [orjson.loads(message.value or b"") for message in messages]


def _started() -> SmallMachine:
    machine = SmallMachine("out")
    machine.restore(0).finish()
    return machine


def test_every_output_counts_its_customers_events_as_the_log_does() -> None:
    (events,) = generate(EVENTS, CUSTOMERS, partitions=1)
    outputs = _outputs(_process(_started(), _log(events.messages)))
    assert [output["id"] for output in outputs] == list(range(EVENTS))
    assert [output["events"] for output in outputs] == events.counts.tolist()


def test_a_restored_machine_goes_on_where_the_last_progress_record_stands() -> None:
    (events,) = generate(EVENTS, CUSTOMERS, partitions=1)
    log = _log(events.messages)
    before = _process(_started(), log[: EVENTS // 2])
    written = [
        message for each in before for message in [*each.snapshots, each.progress] if message
    ]
    machine = SmallMachine("out")
    restore = machine.restore(0)
    restore.apply(_log(list(reversed(written))))
    assert restore.finish() == EVENTS // 2
    again = _outputs(
        _process(machine, log[EVENTS // 4 :])
    )  # what was applied before is passed over
    assert [output["events"] for output in again] == events.counts[EVENTS // 2 :].tolist()


def test_a_batch_has_one_snapshot_per_customer_and_one_progress_record() -> None:
    (events,) = generate(EVENTS, CUSTOMERS, partitions=1)
    log = _log(events.messages)
    for number, effects in enumerate(_process(_started(), log)):
        met = {record.key for record in log[number * BATCH : (number + 1) * BATCH]}
        assert {message.key for message in effects.snapshots} == met
        assert len(effects.snapshots) == len(met)
        assert effects.progress is not None
        assert len(effects.outputs["out"]) == BATCH


def _written(offsets: Sequence[int], counts: Sequence[int], partition: int = 0) -> Outputs:
    ids = np.array([partition * PLACES + offset for offset in offsets])
    return Outputs(ids, np.array(counts), 100 * np.arange(len(offsets)))


def test_only_what_has_no_gap_before_it_is_complete() -> None:
    found = completed(_written([0, 1, 3, 4], [1, 1, 1, 1]), [np.ones(6, np.int64)])
    assert found.events == 2


@pytest.mark.parametrize("first", [1, 5])
def test_nothing_is_complete_where_the_first_is_missing(first: int) -> None:
    found = completed(_written([first, first + 1], [1, 1]), [np.ones(9, np.int64)])
    assert (found.events, found.events_per_second) == (0, 0.0)


def test_repeated_and_wrong_outputs_are_counted() -> None:
    found = completed(_written([0, 1, 1, 2], [1, 1, 1, 7]), [np.array([1, 1, 2])])
    assert (found.events, found.repeated, found.wrong) == (3, 1, 1)


def test_partitions_are_complete_each_by_itself() -> None:
    ids = np.array([0, PLACES, 1, PLACES + 2])
    found = completed(
        Outputs(ids, np.ones(4, np.int64), np.arange(4)),
        [np.ones(2, np.int64), np.ones(3, np.int64)],
    )
    assert found.events == 3


def test_peers_are_pinned_and_there() -> None:
    peers = [system for system in SYSTEMS if system.name != OURS]
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
    assert all("==" in requirement for peer in peers for requirement in peer.requirements)
    assert all(peer.script for peer in peers)
