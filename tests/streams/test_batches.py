"""Batches as an agent sees them: their size, their order, and where reading begins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from crm_online.log import Message
from crm_online.settings import Settings
from streams.batches import Batch, BatchApp, Generation
from streams.connection import faust_options
from streams.consumer_thread import Fetched
from streams.embedded import MockBroker, RealKafka
from streams.producer import OutputProducer
from tests.streams.workers import PARTITIONS, counting_settings, fail, write_events

pytestmark = pytest.mark.asyncio
EVENTS = 4_000
SINGLY = 100


class Owner:
    """Notes what it is asked; while it restores, a fetch that was under way comes back."""

    def __init__(self, starts: Mapping[int, int]) -> None:
        self.starts = starts
        self.asked: list[tuple[Generation, frozenset[int]]] = []
        self.dropped = 0
        self.app: Any = None

    async def idle(self) -> None: ...

    async def restore(self, generation: Generation, partitions: frozenset[int]) -> None:
        self.asked.append((generation, partitions))
        while partitions and not self.dropped:
            self.dropped = await self.drop_a_fetch()

    def resume_at(self) -> Mapping[int, int]:
        return self.starts

    def lose(self) -> None: ...

    async def drop_a_fetch(self) -> int:
        """Move the positions past records that nobody gets to see."""
        thread = self.app.consumer._thread
        fetcher = thread._ensure_consumer()._fetcher
        found = await thread.call_thread(fetcher.fetched_records, [], timeout=0.2)
        return sum(map(len, found.values()))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


async def read(settings: Settings, owner: Owner, expected: int) -> list[Batch]:
    """Run an app until it has read so many records."""
    app = BatchApp(
        f"{settings.app}-read",
        max_batch=settings.max_batch,
        stop=fail,
        **faust_options(settings),
    )
    app.finalize()
    owner.app, found, done = app, list[Batch](), asyncio.Event()

    @app.agent(app.batch_topic(settings.topic("events"), owner))
    async def collect(stream: Any) -> None:
        async for event in stream.noack().events():
            found.append(event.value)
            event.ack()
            if sum(len(batch.records) for batch in found) >= expected:
                done.set()

    async with asyncio.timeout(60):
        await app.start()
        await done.wait()
        await app.stop()
    return found


@pytest.fixture
def settings(broker: MockBroker | RealKafka, app: str) -> Settings:
    broker.create_topics({f"{app}.events": PARTITIONS})
    return counting_settings(app, broker.address, max_batch=300)


async def test_a_fetch_that_a_rebalance_overtook_is_fetched_again(settings: Settings) -> None:
    await write_events(settings, EVENTS)
    owner = Owner({1: 100, 2: EVENTS // PARTITIONS - 1, 3: 0})
    batches = await read(settings, owner, 1_000 + 900 + 1 + 1_000)
    assert owner.dropped > 0
    assert owner.asked[-1][1] == frozenset(range(PARTITIONS))
    starts = {0: 0, 1: 100, 2: 999, 3: 0}
    for partition, start in starts.items():
        mine = [batch for batch in batches if batch.partition == partition]
        offsets = [record.offset for batch in mine for record in batch.records]
        assert offsets == list(range(start, 1_000))
        assert all(0 < len(batch.records) <= 300 and batch.end == 1_000 for batch in mine)
        assert [batch.begin for batch in mine] == [batch.records[0].offset for batch in mine]


@pytest.mark.real
async def test_what_comes_while_an_agent_is_busy_comes_together(
    real_kafka: RealKafka, app: str
) -> None:
    """Else batches stay as small as they came, and whoever is behind stays behind.

    The mock broker hands out one record batch at a time, whatever there is.
    """
    real_kafka.create_topics({f"{app}.events": 1})
    settings = counting_settings(app, real_kafka.address)
    busy = BatchApp(f"{app}-busy", max_batch=300, stop=fail, **faust_options(settings))
    busy.finalize()
    sizes, began, go_on, done = list[int](), asyncio.Event(), asyncio.Event(), asyncio.Event()

    @busy.agent(busy.batch_topic(settings.topic("events")))
    async def collect(stream: Any) -> None:
        async for event in stream.noack().events():
            sizes.append(len(event.value.records))
            began.set()
            await go_on.wait()
            event.ack()
            if sum(sizes) == 1 + SINGLY:
                done.set()

    producer = OutputProducer(settings, fail)
    await producer.start()
    message = Message(b"c-1", b"{}")
    async with asyncio.timeout(60):
        await producer.deliver(settings.topic("events"), 0, [message])
        await busy.start()
        await began.wait()
        for _ in range(SINGLY):
            await producer.deliver(settings.topic("events"), 0, [message])
        go_on.set()
        await done.wait()
        await busy.stop()
    await producer.stop()
    # In hand, in the queue, before it, on its way to it, and fetched ahead; then all the rest.
    assert len(sizes) <= 8


async def test_what_was_fetched_for_nobody_is_read_again(settings: Settings) -> None:
    """At a rebalance Faust cancels who waits for a fetch, and the fetch itself goes on."""
    app = BatchApp(f"{settings.app}-left", max_batch=300, stop=fail, **faust_options(settings))
    app.finalize()
    found, done = list[int](), asyncio.Event()

    @app.agent(app.batch_topic(settings.topic("events")))
    async def collect(stream: Any) -> None:
        async for event in stream.noack().events():
            found.extend(record.offset for record in event.value.records)
            event.ack()
            if len(found) >= settings.partitions * 10:
                done.set()

    async with asyncio.timeout(60):
        await app.start()
        consumer: Any = app.consumer
        while not (consumer.assignment() and consumer.flow_active):  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0.05)
        left = [
            asyncio.ensure_future(consumer._thread.getmany(consumer.assignment(), 30.0))
            for _ in range(2)
        ]
        await asyncio.sleep(0.2)  # else they are cancelled before they are asked
        for fetch in left:
            fetch.cancel()
        await asyncio.wait(left)
        await write_events(settings, settings.partitions * 10)
        await done.wait()
        await app.stop()
    assert sorted(found) == sorted([*range(10)] * settings.partitions)


def at(*offsets: int) -> list[Any]:
    return [SimpleNamespace(offset=offset, timestamp=1_000, timestamp_type=1) for offset in offsets]


@pytest.mark.parametrize(
    ("answers", "seek", "found", "follows"),
    [
        (
            [{0: [4], 1: [7]}, {0: [5, 6], 2: [0]}],
            False,
            {0: [4, 5, 6], 1: [7], 2: [0]},
            {0: 4, 1: 6},
        ),
        # The first is of before the seek; of partition 1 nobody gets it, and the next tells so.
        ([{0: [8], 1: [7]}, {0: [4], 1: [8]}], True, {0: [4], 1: [8]}, {0: 4, 1: 8}),
        (
            [{0: [*range(4, 14)]}],
            False,
            {0: [*range(4, 14)]},
            {0: 4, 1: 6},
        ),  # a whole batch waits not
        ([{}], False, {}, {0: 4, 1: 6}),
    ],
)
async def test_a_fetch_of_little_is_gathered_with_the_next(
    broker: MockBroker | RealKafka,
    app: str,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[dict[int, list[int]]],
    seek: bool,
    found: dict[int, list[int]],
    follows: dict[int, int],
) -> None:
    settings = counting_settings(app, broker.address)
    batches = BatchApp(app, max_batch=10, stop=fail, **faust_options(settings))
    thread = batches.consumer._thread  # type: ignore[attr-defined]  # of our transport
    events, left = settings.topic("events"), list(answers)
    thread._taken = {TP(events, 0): 4, TP(events, 1): 6}

    async def fetch(*_: object) -> dict[TP, list[Any]]:
        if seek and len(left) < len(answers):
            thread.seeks += 1
            thread._taken[TP(events, 0)] = 4
        return {TP(events, partition): at(*offsets) for partition, offsets in left.pop(0).items()}

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    fetched = await thread._fetch_records(None, set(), 1.0, None)
    assert {tp.partition: [each.offset for each in there] for tp, there in fetched.items()} == found
    assert {tp.partition: offset for tp, offset in fetched.follows.items()} == follows
    assert fetched.seeks == thread.seeks == int(seek)
    assert left == []


async def test_the_end_of_a_partition_that_was_just_taken_away_ends_nobody(
    settings: Settings,
) -> None:
    app = BatchApp(f"{settings.app}-end", max_batch=300, stop=fail, **faust_options(settings))
    app.finalize()

    @app.agent(app.batch_topic(settings.topic("events")))
    async def collect(stream: Any) -> None:
        async for event in stream.noack().events():
            event.ack()

    async with asyncio.timeout(60):
        await app.start()
        consumer: Any = app.consumer
        try:
            assert consumer.highwater(TP(settings.topic("events"), PARTITIONS)) == 0
        finally:
            await app.stop()


@pytest.mark.parametrize("came", [{}, {0: [7], 1: [8]}])
async def test_a_fetch_that_does_not_follow_is_read_again(
    broker: MockBroker | RealKafka, app: str, came: dict[int, list[int]]
) -> None:
    settings = counting_settings(app, broker.address)
    batches = BatchApp(app, max_batch=10, stop=fail, **faust_options(settings))
    batches.batch_topic(settings.topic("events"))
    consumer: Any = batches.consumer
    first, second = (TP(settings.topic("events"), partition) for partition in (0, 1))
    sought = list[Mapping[TP, int]]()
    consumer._handed = {first: 5, second: 8}

    async def fetch(_: float) -> tuple[Fetched, None]:
        records = {TP(first.topic, number): at(*offsets) for number, offsets in came.items()}
        return Fetched(records, consumer._thread.seeks, {first: 7, second: 8}), None

    async def seek(wanted: Mapping[TP, int]) -> None:
        sought.append(wanted)

    consumer._wait_next_records, consumer.seek_wait = fetch, seek
    consumer.resume_flow()
    assert [each async for each in consumer.getmany(1.0)] == []
    assert sought == [{first: 5, second: 8}]


async def test_what_a_fetch_brings_behind_a_seek_waits_until_the_flow_goes_on(
    broker: MockBroker | RealKafka, app: str
) -> None:
    settings = counting_settings(app, broker.address)
    batches = BatchApp(app, max_batch=10, stop=fail, **faust_options(settings))
    batches.batch_topic(settings.topic("events"))
    consumer: Any = batches.consumer
    tp = TP(settings.topic("events"), 0)
    records = at(7)

    async def fetch(_: float) -> tuple[Fetched, None]:
        return Fetched({tp: records}, consumer._thread.seeks, {}), None

    consumer._wait_next_records = fetch
    consumer.highwater = lambda _: 8
    consumer.stop_flow()
    taking = asyncio.ensure_future(anext(consumer.getmany(1.0)))
    done, _ = await asyncio.wait([taking], timeout=0.3)
    assert not done
    consumer.resume_flow()
    place, message = await asyncio.wait_for(taking, 5.0)
    assert place == tp
    assert [record.offset for record in message.value.records] == [7]


async def test_a_restore_that_a_rebalance_overtook_opens_nothing(
    broker: MockBroker | RealKafka, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None: ...

    batches = BatchApp(
        app, max_batch=10, stop=fail, **faust_options(counting_settings(app, broker.address))
    )
    consumer: Any = batches.consumer
    for name in ("perform_seek", "on_partitions_revoked", "on_partitions_assigned"):
        monkeypatch.setattr(driver.Consumer, name, nothing)
    monkeypatch.setattr(consumer, "commit", nothing)
    consumer._seek_batches = nothing
    for overtaken in ("never", "before it begins", "meanwhile", "never"):
        await consumer.on_partitions_revoked(set())
        await consumer.on_partitions_assigned(set())
        if overtaken == "before it begins":
            await consumer.on_partitions_revoked(set())
        consumer.unposition()
        assert not consumer.positioned
        if overtaken == "meanwhile":
            await consumer.on_partitions_revoked(set())
        await consumer.perform_seek()
        assert consumer.positioned == (overtaken == "never")


async def test_what_is_on_its_way_to_an_agent_as_a_restore_begins_is_of_no_generation(
    broker: MockBroker | RealKafka, app: str
) -> None:
    settings = counting_settings(app, broker.address)
    batches = BatchApp(app, max_batch=10, stop=fail, **faust_options(settings))
    consumer: Any = batches.consumer
    batches.consumer_generation_id = 3
    tp = TP(settings.topic("events"), 0)
    record = SimpleNamespace(offset=7, timestamp=1_000, timestamp_type=1)
    message = consumer._track(tp, Batch(*tp, [record], 8))
    assert message.generation_id == 3
    consumer.unposition()
    assert message.generation_id not in {3, -1}


async def test_nothing_more_is_restored_once_the_lease_is_lost(
    broker: MockBroker | RealKafka, app: str
) -> None:
    batches = BatchApp(
        app, max_batch=10, stop=fail, **faust_options(counting_settings(app, broker.address))
    )

    class Losing(Owner):
        async def restore(self, generation: Generation, partitions: frozenset[int]) -> None:
            self.asked.append((generation, partitions))
            batches.lease.lost = True

    consumer: Any = batches.consumer
    consumer.member_id, consumer.assignment = (lambda: "me"), set
    first, second = Losing({}), Losing({})
    for name, owner in (("outcomes", first), ("interactions", second)):
        batches.batch_topic(name, owner)
    await batches._restore_owners()
    assert (len(first.asked), len(second.asked)) == (1, 0)
    batches.lease.grant(batches.lease.clock())
    await batches._restore_owners()
    assert (len(first.asked), len(second.asked)) == (2, 0)


async def test_what_was_fetched_before_a_seek_is_dropped(
    broker: MockBroker | RealKafka, app: str
) -> None:
    settings = counting_settings(app, broker.address)
    batches = BatchApp(app, max_batch=10, stop=fail, **faust_options(settings))
    batches.batch_topic(settings.topic("events"))
    consumer: Any = batches.consumer
    records = at(7)

    async def fetch(_: float) -> tuple[Fetched, None]:
        tp = TP(settings.topic("events"), 0)
        return Fetched({tp: records}, consumer._thread.seeks - 1, {}), None

    consumer._wait_next_records = fetch
    consumer.resume_flow()
    assert [each async for each in consumer.getmany(1.0)] == []
