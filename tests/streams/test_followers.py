"""Following a topic in full, across restarts of the broker, and never silently dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

import pytest

from crm_online.errors import SnapshotError
from crm_online.log import Message, Record
from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka
from streams.followers import Follower
from streams.producer import OutputProducer
from tests.streams.workers import fail

pytestmark = pytest.mark.asyncio


class Followed:
    """A follower that runs, and what it got."""

    def __init__(self, settings: Settings, start: int | None = None) -> None:
        self.offsets: list[int] = []
        self.failures: list[BaseException] = []
        self.topic = settings.topic("models")
        self.follower = Follower(
            settings, self.topic, self.apply, self.failures.append, start=start
        )

    def apply(self, records: Sequence[Record]) -> None:
        assert records
        self.offsets += [record.offset for record in records]

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.follower.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what others do on a broker
            await asyncio.sleep(0.02)


async def write(settings: Settings, count: int) -> None:
    producer = OutputProducer(settings, fail)
    await producer.start()
    await producer.deliver(settings.topic("models"), 0, [Message(b"k", b"v")] * count)
    await producer.stop()


@pytest.fixture
def settings(broker: MockBroker | RealKafka, app: str) -> Settings:
    broker.create_topics({f"{app}.models": 1})
    return Settings(app=app, kafka=broker.address)


@pytest.mark.parametrize("start", [None, 30])
async def test_catches_up_and_goes_on(settings: Settings, start: int | None) -> None:
    await write(settings, 100)
    async with Followed(settings, start) as followed:
        await followed.follower.caught_up()
        assert followed.offsets == list(range(start or 0, 100))
        await write(settings, 10)
        await until(lambda: followed.follower.position == 110)
        assert followed.offsets == list(range(start or 0, 110))
        assert not followed.failures


async def test_an_empty_topic_is_caught_up_with(settings: Settings) -> None:
    async with Followed(settings) as followed, asyncio.timeout(10):
        await followed.follower.caught_up()


async def test_waits_for_a_topic_that_is_not_there_yet(
    broker: MockBroker | RealKafka, app: str
) -> None:
    settings = Settings(app=app, kafka=broker.address)
    async with Followed(settings) as followed:
        await followed.follower.caught_up()
        broker.create_topics({f"{app}.models": 1})
        await write(settings, 5)
        await until(lambda: followed.offsets == [0, 1, 2, 3, 4])


async def test_a_bug_in_the_callback_stops_the_process(settings: Settings) -> None:
    await write(settings, 1)
    failures: list[BaseException] = []

    def apply(_: Sequence[Record]) -> None:
        raise ValueError("a bug")

    await Follower(settings, settings.topic("models"), apply, failures.append).run()
    assert [str(failure) for failure in failures] == ["a bug"]


async def test_a_position_beyond_the_end_stops_the_process(settings: Settings) -> None:
    await write(settings, 3)
    followed = Followed(settings, start=4)
    await followed.follower.run()
    assert [type(failure) for failure in followed.failures] == [SnapshotError]


@pytest.mark.real
async def test_survives_a_restart_of_the_broker(own_kafka: RealKafka, app: str) -> None:
    own_kafka.create_topics({f"{app}.models": 1})
    settings = Settings(app=app, kafka=own_kafka.address)
    await write(settings, 5)
    async with Followed(settings) as followed:
        await followed.follower.caught_up()
        own_kafka.kill()
        await asyncio.to_thread(own_kafka.start)
        await write(settings, 5)
        await until(lambda: followed.follower.position == 10)
        assert followed.offsets == list(range(10))
