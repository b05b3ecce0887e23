"""Rule 2: outputs delivered, then snapshots, then the partition's own record, then the ack."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from crm_online.log import Effects, Message
from streams.finisher import SLICES_UNDER_WAY, Finisher
from streams.lease import LeaseLost

pytestmark = pytest.mark.asyncio
SNAPSHOT, PROGRESS = Message(b"c-1", b"state"), Message(b"\0progress", b"7")


class State:
    """Records what reaches the state topic, and holds it up or refuses it on demand."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.refuse: bytes | None = None

    async def deliver(self, partition: int, messages: Sequence[Message]) -> None:
        await self.open.wait()
        if messages[0].key == self.refuse:
            raise OSError("the broker is away")
        self.steps.append((partition, messages[0].key))


def effects(as_of: int = 7, events: int = 1) -> Effects:
    return Effects(snapshots=[SNAPSHOT], progress=PROGRESS, as_of=as_of, events=events)


def finisher(state: State, capacity: int = 4) -> tuple[Finisher, list[BaseException]]:
    failures: list[BaseException] = []
    return Finisher(state.deliver, capacity, failures.append), failures


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_each_step_waits_for_the_one_before_it() -> None:
    state, output = State(), asyncio.get_running_loop().create_future()
    finishing, _ = finisher(state)
    await finishing.add(3, effects(), [output])
    finishing.acknowledge(3, lambda: state.steps.append("ack"))
    await settle()
    assert state.steps == []
    assert finishing.progress == {}
    state.open.clear()
    output.set_result(None)
    await settle()
    assert state.steps == []
    state.open.set()
    await finishing.idle()
    assert state.steps == [(3, b"c-1"), (3, b"\0progress"), "ack"]
    assert finishing.progress == {3: 7}


async def test_batches_of_a_partition_finish_in_order_and_others_do_not_wait() -> None:
    state, slow = State(), asyncio.get_running_loop().create_future()
    finishing, _ = finisher(state)
    await finishing.add(0, effects(1), [slow])
    await finishing.add(0, effects(2), [])
    await finishing.add(1, effects(3), [])
    await settle()
    assert finishing.progress == {1: 3}
    slow.set_result(None)
    await finishing.idle()
    assert finishing.progress == {1: 3, 0: 2}


@pytest.mark.parametrize("refused", [b"c-1", b"\0progress"])
async def test_a_failed_write_stops_once_and_nothing_behind_it_is_acknowledged(
    refused: bytes,
) -> None:
    state = State()
    state.refuse = refused
    finishing, failures = finisher(state)
    await finishing.add(0, effects(1), [])
    finishing.acknowledge(0, lambda: state.steps.append("ack"))
    await finishing.add(0, effects(2), [])
    await finishing.idle()
    assert [type(failure) for failure in failures] == [OSError]
    assert finishing.progress == {}
    assert "ack" not in state.steps
    assert (0, b"\0progress") not in state.steps


async def test_a_failed_output_leaves_the_state_topic_untouched() -> None:
    state, output = State(), asyncio.get_running_loop().create_future()
    finishing, failures = finisher(state)
    await finishing.add(0, effects(), [output])
    output.set_exception(OSError("expired"))
    await finishing.idle()
    assert state.steps == []
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("weights", "taken"),
    [([1, 1, 1], 2), ([2, 1], 1), ([3, 1], 1), ([1, 3], 1), ([0, 0, 0], 2)],
)
async def test_it_takes_no_more_than_its_capacity_but_whatever_comes_first(
    weights: list[int], taken: int
) -> None:
    state = State()
    state.open.clear()
    finishing, _ = finisher(state, capacity=2)
    adding = []
    for number, weight in enumerate(weights):
        adding.append(asyncio.create_task(finishing.add(0, effects(number, weight), [])))
        await settle()
    assert [task.done() for task in adding] == [n < taken for n in range(len(weights))]
    finishing.acknowledge(0, lambda: state.steps.append("ack"))
    state.open.set()
    await asyncio.gather(*adding)
    await finishing.idle()
    assert finishing.progress == {0: len(weights) - 1}
    assert "ack" in state.steps


async def test_a_fired_timer_weighs_as_much_as_an_event() -> None:
    state = State()
    state.open.clear()
    finishing, _ = finisher(state, capacity=3)
    timers = Effects(snapshots=[SNAPSHOT] * 3, progress=PROGRESS, as_of=1)
    await finishing.add(0, timers, [])
    waiting = asyncio.create_task(finishing.add(0, effects(2), []))
    await settle()
    assert not waiting.done()
    state.open.set()
    await waiting
    await finishing.idle()


async def test_a_partition_has_few_slices_under_way_and_others_do_not_wait_for_them() -> None:
    state = State()
    state.open.clear()
    finishing, _ = finisher(state, capacity=1000)
    for number in range(SLICES_UNDER_WAY):
        await finishing.add(0, effects(number), [])
        finishing.acknowledge(0, lambda: state.steps.append("ack"))
    waiting = asyncio.create_task(finishing.add(0, effects(number + 1), []))
    await asyncio.wait_for(finishing.add(1, effects(3), []), 5.0)
    await settle()
    assert not waiting.done()
    state.open.set()
    await waiting
    await finishing.idle()
    assert finishing.progress == {0: SLICES_UNDER_WAY, 1: 3}
    assert state.steps.count("ack") == SLICES_UNDER_WAY


async def test_what_is_dropped_counts_no_more() -> None:
    state = State()
    state.open.clear()
    finishing, _ = finisher(state, capacity=1000)
    for _ in range(2):
        for number in range(SLICES_UNDER_WAY):
            await asyncio.wait_for(finishing.add(0, effects(number), []), 5.0)
        finishing.drop()


async def test_what_is_dropped_is_neither_finished_nor_acknowledged_nor_a_failure() -> None:
    state, output = State(), asyncio.get_running_loop().create_future()
    finishing, failures = finisher(state, capacity=2)
    await finishing.add(0, effects(1), [])
    await finishing.idle()
    state.open.clear()
    await finishing.add(0, effects(2), [])
    await settle()
    await finishing.add(1, effects(3), [output])
    finishing.acknowledge(0, lambda: state.steps.append("ack"))
    waiting = asyncio.create_task(finishing.add(0, effects(4), []))
    await settle()
    finishing.drop()
    with pytest.raises(LeaseLost):
        await waiting
    await finishing.idle()
    state.open.set()
    await settle()
    assert state.steps == [(0, b"c-1"), (0, b"\0progress")]
    assert (finishing.progress, failures) == ({}, [])
    await finishing.add(0, effects(2, 2), [])
    await finishing.idle()
    assert finishing.progress == {0: 2}
