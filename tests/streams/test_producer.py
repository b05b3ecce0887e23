"""The worker's producer: in order, with headers, and loud about the first failure."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.log import Message
from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka
from streams.lease import Lease, LeaseLost
from streams.producer import OutputProducer
from tests.streams.workers import fail

pytestmark = pytest.mark.asyncio


async def read(settings: Settings, topic: str, count: int) -> list[Message]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    found: list[Message] = []
    while len(found) < count:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            found += [Message(r.key, r.value, list(r.headers)) for r in records]
    await consumer.stop()
    return found


async def test_delivers_in_order_with_headers_and_tombstones(
    broker: MockBroker | RealKafka, app: str
) -> None:
    broker.create_topics({f"{app}.scores": 1})
    settings = Settings(app=app, kafka=broker.address)
    sent = [Message(b"%d" % i, b"v" * 3000, [("ce_id", b"%d" % i)]) for i in range(300)]
    sent.append(Message(b"gone", None, [("as_of", b"7")]))
    producer = OutputProducer(settings, fail)
    await producer.start()
    try:
        halves = await asyncio.gather(
            producer.send(f"{app}.scores", 0, sent[:150]),
            producer.send(f"{app}.scores", 0, sent[150:]),
        )
        assert all(len(futures) > 1 for futures in halves)
        stand = [done.offset for done in await asyncio.gather(*halves[0], *halves[1])]
        assert stand == sorted(set(stand))
        assert await producer.send(f"{app}.scores", 0, []) == []
    finally:
        await producer.stop()
    assert await read(settings, f"{app}.scores", len(sent)) == sent


async def test_a_record_may_be_larger_than_a_batch(
    broker: MockBroker | RealKafka, app: str
) -> None:
    broker.create_topics({f"{app}.models": 1})
    settings = Settings(app=app, kafka=broker.address)
    sent = [Message(b"small", b"1"), Message(b"large", b"x" * 900_000), Message(b"small", b"2")]
    producer = OutputProducer(settings, fail)
    await producer.start()
    await producer.deliver(f"{app}.models", 0, sent)
    await producer.stop()
    assert [m.value for m in await read(settings, f"{app}.models", 3)] == [m.value for m in sent]


@pytest.mark.real
async def test_a_record_beyond_the_topics_limit_fails_once_and_names_the_setting(
    real_kafka: RealKafka, app: str
) -> None:
    real_kafka.create_topics({f"{app}.models": 1})
    failures: list[BaseException] = []
    producer = OutputProducer(Settings(app=app, kafka=real_kafka.address), failures.append)
    await producer.start()
    with pytest.raises(MessageSizeTooLargeError):
        await producer.deliver(f"{app}.models", 0, [Message(b"k", b"x" * 1_100_000)])
    with pytest.raises(ConfigurationError, match=r"raise max\.message\.bytes"):
        await producer.deliver(f"{app}.models", 0, [Message(b"k", b"x")])
    await producer.stop()
    assert [type(failure) for failure in failures] == [ConfigurationError]


async def test_no_broker_is_an_error_that_names_the_setting() -> None:
    producer = OutputProducer(Settings(kafka="127.0.0.1:9"), fail)
    with pytest.raises(BrokerUnavailable, match="check CRM_KAFKA"):
        await producer.start()


async def test_without_the_lease_nothing_leaves_and_what_is_abandoned_never_does(
    broker: MockBroker | RealKafka, app: str
) -> None:
    broker.create_topics({f"{app}.scores": 1})
    settings = Settings(app=app, kafka=broker.address)
    lease = Lease(60.0)
    producer = OutputProducer(settings, fail, lease)
    await producer.start()
    lease.grant(lease.clock())
    before, late, after = (Message(b"k", value, []) for value in (b"before", b"late", b"after"))
    await producer.deliver(f"{app}.scores", 0, [before])
    lease.grant(lease.clock() - 61.0)
    (waiting,) = await producer.send(f"{app}.scores", 0, [late])
    behind = asyncio.create_task(producer.send(f"{app}.scores", 0, [late]))
    await asyncio.wait([waiting, behind], timeout=1.0)
    producer.abandon()
    assert waiting.done()  # at once: who waits for it may hold up a rebalance
    with pytest.raises(LeaseLost):
        await waiting
    for lost in (behind, producer.send(f"{app}.scores", 0, [late])):
        with pytest.raises(LeaseLost):
            await asyncio.gather(*await lost)
    await producer.start()
    lease.grant(lease.clock())
    await producer.deliver(f"{app}.scores", 0, [after])
    await producer.stop()
    assert await read(settings, f"{app}.scores", 2) == [before, after]


class Lapsing(Lease):
    """Lapses while the first record batch is on its way."""

    def holds(self) -> bool:
        held = super().holds()
        self.grant(self.clock() - 61.0)
        return held


@pytest.mark.real
async def test_a_write_that_fails_without_the_lease_ends_nothing_and_nothing_follows_it(
    real_kafka: RealKafka, app: str
) -> None:
    real_kafka.create_topics({f"{app}.models": 1})
    lease = Lapsing(60.0)
    producer = OutputProducer(Settings(app=app, kafka=real_kafka.address), fail, lease)
    await producer.start()
    lease.grant(lease.clock())
    refused, behind = Message(b"k", b"x" * 1_100_000), Message(b"k", b"behind")
    (first,) = await producer.send(f"{app}.models", 0, [refused])
    (second,) = await producer.send(f"{app}.models", 0, [behind])
    for lost in (first, second):
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(lost, 30.0)
    lease.grant(lease.clock())
    with pytest.raises(LeaseLost):
        await producer.deliver(f"{app}.models", 0, [behind])
    await producer.start()
    lease.grant(lease.clock())
    after = Message(b"k", b"after", [])
    await producer.deliver(f"{app}.models", 0, [after])
    await producer.stop()
    assert await read(Settings(kafka=real_kafka.address), f"{app}.models", 1) == [after]
