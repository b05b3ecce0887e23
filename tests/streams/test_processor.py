"""The keyed processor: what it applies, what it keeps at a rebalance, and when it stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from crm_online.errors import BrokerUnavailable, SnapshotError
from crm_online.log import Effects, LogRecord, Message, Origin, Record
from crm_online.settings import Settings
from streams.batches import Batch, Generation
from streams.embedded import MockBroker, RealKafka
from streams.lease import LeaseLost
from streams.processor import Processor
from streams.producer import OutputProducer
from tests.streams.counting import Counting, Counts
from tests.streams.workers import (
    PARTITIONS,
    append,
    counted,
    counting_settings,
    fail,
    read_keys,
    write_events,
)

pytestmark = pytest.mark.asyncio
FIRST = Generation(4, "me")
EVERY = frozenset(range(PARTITIONS))


@dataclass
class Event:
    """What a Faust event is to a processor."""

    value: Batch
    message: Any
    acks: list[int] = field(default_factory=list)

    def ack(self) -> bool:
        self.acks.append(self.value.records[-1].offset)
        return True


def event(partition: int, first: int, count: int, generation: int = FIRST.number) -> Event:
    records = [LogRecord(first + i, 1_000 + i, b"c-1", b"{}") for i in range(count)]
    batch = Batch("crm.events", partition, records, first + count)
    return Event(batch, SimpleNamespace(generation_id=generation))


class Watched(Counting):
    """The counting machine, which remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.restored: list[int] = []
        self.bug: Exception | None = None
        self.extra: dict[str, list[Message]] = {}
        self.corrected = asyncio.Event()
        self.on_correct: Callable[[], None] | None = None

    def restore(self, partition: int) -> Counts:
        self.restored.append(partition)
        return super().restore(partition)

    def process(self, partition: int, records: Sequence[Record]) -> Iterator[Effects]:
        if self.bug is not None:
            raise self.bug
        for effects in super().process(partition, records):
            effects.outputs |= self.extra
            yield effects

    def repeat(self, partition: int) -> Effects:
        del partition
        return Effects()

    def correct(self, partition: int, noun: str, records: Sequence[Record]) -> Effects:
        self.corrected.set()
        effects = super().correct(partition, noun, records)
        if self.on_correct is not None:
            self.on_correct()
            effects.outputs |= self.extra
        return effects


class Rig:
    """A processor on a real producer, with all its ends in sight."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.machine = Watched()
        self.producer = OutputProducer(settings, fail)
        self.failures: list[BaseException] = []
        self.processor = Processor(
            self.machine,
            self.producer,
            settings,
            self.failures.append,
            standing=("scores",),
        )


@pytest_asyncio.fixture
async def rig(broker: MockBroker | RealKafka, app: str) -> AsyncIterator[Rig]:
    nouns = ("events", "scores", "state", "outcomes")
    broker.create_topics({f"{app}.{noun}": PARTITIONS for noun in nouns})
    settings = counting_settings(app, broker.address)
    await write_events(settings, 400)
    made = Rig(settings)
    await made.producer.start()
    yield made
    await made.producer.stop()


async def test_applies_a_batch_and_acknowledges_it(rig: Rig) -> None:
    processor = rig.processor
    await processor.restore(FIRST, EVERY)
    assert processor.owned == EVERY
    first, second = event(1, 0, 10), event(1, 10, 5)
    await processor.take(first)
    await processor.take(second)
    await processor.idle()
    assert (first.acks, second.acks) == ([9], [14])
    assert processor.resume_at() == {0: 0, 1: 15, 2: 0, 3: 0}
    assert processor.newest(1) == 1_004
    assert (processor.figures.events, processor.figures.batches) == (15, 2)
    assert await counted(rig.settings) == {b"c-1": 15}
    assert sum((await read_keys(rig.settings, "scores")).values()) == 15
    assert not rig.failures


async def test_single_partition_topics_are_written_in_partition_0(rig: Rig) -> None:
    rig.machine.extra = {"outcomes": [Message(b"o", b"opened")]}
    await rig.processor.restore(FIRST, EVERY)
    await rig.processor.take(event(3, 0, 1))
    await rig.processor.idle()
    settings = rig.settings.model_copy(update={"partitions": 1})
    assert await read_keys(settings, "outcomes") == {b"opened": 1}


async def test_drops_batches_of_an_older_generation_and_while_idle(rig: Rig) -> None:
    stale, early, late = event(0, 0, 5, FIRST.number - 1), event(0, 0, 5), event(0, 0, 5)
    await rig.processor.take(early)
    await rig.processor.restore(FIRST, EVERY)
    await rig.processor.take(stale)
    await rig.processor.idle()
    await rig.processor.take(late)
    assert [*stale.acks, *early.acks, *late.acks] == []
    assert rig.processor.figures.stale == 3
    assert rig.processor.owned == frozenset()


async def test_a_gap_between_batches_stops_the_process_and_nothing_behind_it_is_applied(
    rig: Rig,
) -> None:
    await rig.processor.restore(FIRST, EVERY)
    await rig.processor.take(event(0, 0, 5))
    behind = event(0, 7, 5)
    behind.value = replace(behind.value, begin=7)
    await rig.processor.take(behind)
    await rig.processor.idle()
    assert "crm.events[0] went on at offset 7 where 5 was to come" in str(rig.failures[0])
    assert not behind.acks
    assert sum((await counted(rig.settings)).values()) == 5


async def test_a_bug_stops_the_process_and_acknowledges_nothing(rig: Rig) -> None:
    await rig.processor.restore(FIRST, EVERY)
    rig.machine.bug = ZeroDivisionError("a bug")
    broken, following = event(0, 0, 5), event(0, 5, 5)
    await rig.processor.take(broken)
    rig.machine.bug = None
    await rig.processor.take(following)
    await rig.processor.idle()
    assert [str(failure) for failure in rig.failures] == ["a bug"]
    assert [*broken.acks, *following.acks] == []
    assert await counted(rig.settings) == {}


@pytest.mark.parametrize(
    ("generation", "assigned", "restored"),
    [
        (Generation(5, "me"), {1, 2, 3}, {3}),
        (Generation(6, "me"), {1, 2, 3}, {1, 2, 3}),
        (Generation(5, "again"), {1, 2, 3}, {1, 2, 3}),
    ],
)
async def test_keeps_its_state_only_in_the_very_next_generation(
    rig: Rig, generation: Generation, assigned: set[int], restored: set[int]
) -> None:
    processor = rig.processor
    await processor.restore(FIRST, frozenset({0, 1, 2}))
    await processor.take(event(1, 0, 10))
    await processor.idle()
    rig.machine.restored.clear()
    await processor.restore(generation, frozenset(assigned))
    assert set(rig.machine.restored) == restored
    assert set(rig.machine.partitions) == assigned
    assert processor.owned == assigned
    assert processor.resume_at() == {1: 10, 2: 0, 3: 0}
    assert rig.machine.partitions[1].counts[b"c-1"] == [9, 10]


async def test_a_stale_write_in_the_middle_of_a_rebalance_is_put_right_after_it(rig: Rig) -> None:
    processor, settings = rig.processor, rig.settings
    await processor.restore(FIRST, EVERY)
    await processor.take(event(1, 0, 10))
    await processor.idle()
    await append(settings, "state", 1, Message(b"c-1", b"[3, 4]"))
    guarding = asyncio.create_task(processor.guard.run())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rig.machine.corrected.wait(), 1.2)  # two looks or more
    await processor.restore(Generation(FIRST.number + 1, "me"), EVERY)
    await asyncio.wait_for(rig.machine.corrected.wait(), 10.0)
    await processor.idle()
    guarding.cancel()
    assert processor.figures.corrected == 1
    written = await read_keys(settings, "state")
    assert written[b"[9, 10]"] == 2


async def test_a_stale_write_is_put_right_as_of_what_is_durable(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, deliver, let = rig.processor, rig.producer.deliver, asyncio.Event()

    async def held_up(topic: str, partition: int, messages: Sequence[Message]) -> None:
        await let.wait()
        await deliver(topic, partition, messages)

    await processor.restore(FIRST, EVERY)
    monkeypatch.setattr(rig.producer, "deliver", held_up)
    await processor.take(event(1, 0, 10))
    await append(rig.settings, "state", 1, Message(b"c-1", b"[3, 4]"))
    guarding = asyncio.create_task(processor.guard.run())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rig.machine.corrected.wait(), 1.2)  # two looks or more
    let.set()
    await asyncio.wait_for(rig.machine.corrected.wait(), 10.0)
    await processor.idle()
    guarding.cancel()
    assert processor.resume_at()[1] == 10
    assert not rig.failures


async def test_after_a_write_without_the_lease_no_state_is_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drop(*_: object) -> None:
        raise LeaseLost

    processor, deliver = rig.processor, rig.producer.deliver
    await processor.restore(FIRST, EVERY)
    monkeypatch.setattr(rig.producer, "deliver", drop)
    await processor.take(event(1, 0, 10))
    await processor.idle()
    monkeypatch.setattr(rig.producer, "deliver", deliver)
    rig.machine.restored.clear()
    following = Generation(FIRST.number + 1, "me")
    await processor.restore(following, EVERY)
    assert set(rig.machine.restored) == EVERY
    await processor.take(event(1, 0, 10, following.number))
    await processor.idle()
    assert await counted(rig.settings) == {b"c-1": 10}
    assert not rig.failures


async def test_after_a_bug_no_state_is_kept(rig: Rig) -> None:
    await rig.processor.restore(FIRST, EVERY)
    rig.machine.bug = ZeroDivisionError()
    await rig.processor.take(event(0, 0, 5))
    rig.machine.restored.clear()
    await rig.processor.restore(Generation(FIRST.number + 1, "me"), EVERY)
    assert set(rig.machine.restored) == EVERY


async def test_a_rebalance_during_a_restore_gives_it_up(rig: Rig) -> None:
    restoring = asyncio.create_task(rig.processor.restore(FIRST, EVERY))
    await asyncio.sleep(0)
    await rig.processor.idle()
    await restoring
    assert rig.processor.owned == frozenset()
    assert rig.machine.partitions == {}
    await rig.processor.restore(Generation(FIRST.number + 1, "me"), EVERY)
    assert rig.processor.owned == EVERY


async def test_a_restore_waits_until_the_one_it_overtakes_has_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, reached, let = Counts.finish, threading.Event(), threading.Event()

    def held_up(counts: Counts, origin: Origin | None = None) -> int:
        reached.set()
        assert let.wait(30.0)
        return finish(counts, origin)

    monkeypatch.setattr(Counts, "finish", held_up)
    first = asyncio.create_task(rig.processor.restore(FIRST, frozenset({0, 1})))
    assert await asyncio.to_thread(reached.wait, 30.0)
    await rig.processor.idle()
    following = Generation(FIRST.number + 1, "me")
    second = asyncio.create_task(rig.processor.restore(following, frozenset({1, 2})))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(second), 0.5)
    assert rig.machine.restored == [0, 1]
    let.set()
    await asyncio.gather(first, second)
    assert rig.machine.restored == [0, 1, 1, 2]
    assert rig.processor.owned == set(rig.machine.partitions) == {1, 2}
    await rig.processor.take(event(1, 0, 10, following.number))
    await rig.processor.idle()
    assert rig.processor.resume_at() == {1: 10, 2: 0}
    assert not rig.failures


@pytest.mark.parametrize("interruption", ["rebalance", "lease"])
async def test_what_is_gained_is_owned_only_once_stale_writes_are_looked_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, interruption: str
) -> None:
    processor, finish = rig.processor, Counts.finish
    await processor.restore(FIRST, EVERY)
    await processor.take(event(1, 0, 10))
    await processor.idle()
    interrupting: list[asyncio.Task[None]] = []

    def finish_behind_a_stale_write(counts: Counts, origin: Origin | None = None) -> int:
        if counts is rig.machine.partitions[1]:
            asyncio.run(append(rig.settings, "state", 1, Message(b"c-1", b"[3, 4]")))
        return finish(counts, origin)

    def interrupt() -> None:
        assert processor.owned == frozenset()
        if interruption == "lease":
            processor.lose()
        else:
            interrupting.append(asyncio.create_task(processor.idle()))

    monkeypatch.setattr(Counts, "finish", finish_behind_a_stale_write)
    rig.machine.on_correct = interrupt
    rig.machine.extra = {"scores": [Message(b"c-1", b"again")]}
    await processor.restore(Generation(FIRST.number + 2, "me"), EVERY)
    await asyncio.gather(*interrupting)
    assert processor.owned == frozenset()
    assert rig.machine.partitions == {}
    assert processor.resume_at() == {}

    rig.machine.restored.clear()
    rig.machine.on_correct = None
    monkeypatch.setattr(Counts, "finish", finish)
    await processor.restore(Generation(FIRST.number + 3, "me"), EVERY)
    assert set(rig.machine.restored) == EVERY
    assert processor.owned == EVERY
    assert processor.resume_at()[1] == 10
    assert not rig.failures


async def test_a_restore_that_fails_stops_nothing_once_the_lease_is_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, let = threading.Event(), threading.Event()

    def fails(*_: object) -> int:
        reached.set()
        assert let.wait(30.0)
        raise BrokerUnavailable("gone")

    finish = Counts.finish
    monkeypatch.setattr(Counts, "finish", fails)
    restoring = asyncio.create_task(rig.processor.restore(FIRST, EVERY))
    assert await asyncio.to_thread(reached.wait, 30.0)
    rig.processor.lose()
    let.set()
    await restoring
    assert (rig.processor.owned, rig.machine.partitions) == (frozenset(), {})
    monkeypatch.setattr(Counts, "finish", finish)
    await rig.processor.restore(Generation(FIRST.number + 1, "me"), EVERY)
    assert rig.processor.owned == EVERY
    assert not rig.failures


async def test_a_restore_that_cannot_be_trusted_stops_the_process(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counts, "finish", lambda *_: 101)
    await rig.processor.restore(FIRST, EVERY)
    assert [type(failure) for failure in rig.failures] == [SnapshotError]
    refused = event(0, 0, 5)
    await rig.processor.take(refused)
    assert rig.processor.owned == frozenset()
    assert not refused.acks


async def test_appends_to_a_topic(rig: Rig) -> None:
    await rig.processor.append("scores", 2, Message(b"\0tick", b"tick"))
    assert await read_keys(rig.settings, "scores") == {b"tick": 1}


async def test_lag_is_what_is_known_of_and_not_applied(rig: Rig) -> None:
    await rig.processor.restore(FIRST, EVERY)
    behind = event(0, 0, 10)
    batch = Batch("crm.events", 0, behind.value.records, 100)
    await rig.processor.take(Event(batch, behind.message))
    assert rig.processor.lag() == 90
    await rig.processor.idle()


async def test_idle_waits_for_the_batch_that_is_being_applied(rig: Rig) -> None:
    await rig.processor.restore(FIRST, EVERY)
    taken = event(0, 0, 50)
    taking = asyncio.create_task(rig.processor.take(taken))
    await asyncio.sleep(0)
    await rig.processor.idle()
    await taking
    assert taken.acks == [49]
    assert await counted(rig.settings) == {b"c-1": 50}
