"""Restoring partitions from their compacted topic, whatever holes it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from crm_online.errors import BrokerUnavailable, ConfigurationError, SnapshotError
from crm_online.log import Effects, Header, Message, Origin, Record
from crm_online.settings import Settings
from streams import checkpoint
from streams.embedded import MockBroker, RealKafka
from streams.producer import OutputProducer
from tests.streams.workers import PARTITIONS, counting_settings, fail, write_events

pytestmark = pytest.mark.asyncio


class Reading:
    """A machine that keeps what it is given, and starts where it is told."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.read: dict[int, list[bytes | None]] = {}

    def restore(self, partition: int) -> Any:
        machine, read = self, self.read.setdefault(partition, [])

        class Restoring:
            def apply(self, records: Iterable[Record]) -> int:
                before = len(read)
                read.extend(record.value for record in records)
                return len(read) - before

            def finish(self, origin: Origin | None = None) -> int:
                return machine.start

            def remarks(self) -> Sequence[Header]:
                return ()

            def overtaken(self) -> list[Message]:
                return []

        return Restoring()

    def forget(self, partition: int) -> None: ...

    def process(self, partition: int, records: Sequence[Record]) -> Any: ...

    def repeat(self, partition: int) -> Effects:
        del partition
        return Effects()

    def correct(self, partition: int, noun: str, records: Sequence[Record]) -> Effects:
        return Effects()


async def restore(
    settings: Settings, machine: Reading, partitions: Sequence[int] = range(PARTITIONS)
) -> checkpoint.Restored:
    found = await checkpoint.restore(
        partitions,
        machine,
        settings,
        source=settings.topic("events"),
        state=settings.topic("state"),
    )
    assert found is not None
    return found


async def write_state(settings: Settings, partition: int, values: Sequence[bytes | None]) -> None:
    producer = OutputProducer(settings, fail)
    await producer.start()
    messages = [Message(b"k", value) for value in values]
    await producer.deliver(settings.topic("state"), partition, messages)
    await producer.stop()


@pytest.fixture
def settings(broker: MockBroker | RealKafka, app: str) -> Settings:
    broker.create_topics({f"{app}.events": PARTITIONS, f"{app}.state": PARTITIONS})
    return counting_settings(app, broker.address)


async def test_reads_every_record_of_every_partition(settings: Settings) -> None:
    await write_events(settings, 400)
    values = {p: [b"%d-%d" % (p, i) for i in range(2_000 * p)] for p in range(PARTITIONS)}
    for partition in (1, 2, 3):
        await write_state(settings, partition, values[partition])
    machine = Reading(start=50)
    restored = await restore(settings, machine)
    assert restored.starts == dict.fromkeys(range(PARTITIONS), 50)
    assert restored.records == 12_000
    assert machine.read == values


async def test_empty_topics_start_at_the_beginning(settings: Settings) -> None:
    machine = Reading()
    assert (await restore(settings, machine)).starts == dict.fromkeys(range(PARTITIONS), 0)
    assert await restore(settings, machine, []) == checkpoint.Restored({}, 0, 0.0)


@pytest.mark.real
async def test_an_absent_state_topic_is_an_empty_one(real_kafka: RealKafka, app: str) -> None:
    real_kafka.create_topics({f"{app}.events": PARTITIONS})
    settings = counting_settings(app, real_kafka.address)
    assert (await restore(settings, Reading())).starts == dict.fromkeys(range(PARTITIONS), 0)


@pytest.mark.real
async def test_ends_where_only_control_records_are_left(real_kafka: RealKafka, app: str) -> None:
    real_kafka.create_topics({f"{app}.events": PARTITIONS, f"{app}.state": PARTITIONS})
    settings = counting_settings(app, real_kafka.address)
    await write_state(settings, 0, [b"1"])
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, transactional_id=app)
    await producer.start()
    for partition in (0, 1):
        async with producer.transaction():
            await producer.send(settings.topic("state"), b"2", partition=partition)
    await producer.stop()
    machine = Reading()
    assert (await restore(settings, machine)).records == 3
    assert machine.read == {0: [b"1", b"2"], 1: [b"2"], 2: [], 3: []}


async def test_a_start_beyond_the_end_is_refused(settings: Settings) -> None:
    await write_events(settings, 40)
    with pytest.raises(SnapshotError, match=rf"{settings.app}.events\[0\]@11.*ends at 10"):
        await restore(settings, Reading(start=11))


@pytest.mark.real
async def test_a_start_that_retention_has_removed_is_refused(
    real_kafka: RealKafka, app: str
) -> None:
    real_kafka.create_topics({f"{app}.events": PARTITIONS, f"{app}.state": PARTITIONS})
    settings = counting_settings(app, real_kafka.address)
    await write_events(settings, 400)
    await delete_records(settings, {2: 60})
    assert (await restore(settings, Reading())).starts == {0: 0, 1: 0, 2: 60, 3: 0}
    assert (await restore(settings, Reading(start=60))).starts[2] == 60
    with pytest.raises(SnapshotError, match=r"events\[2\]@59.*1 records were never applied"):
        await restore(settings, Reading(start=59))


@pytest.mark.real
async def test_partitions_added_to_the_events_alone_are_refused(
    real_kafka: RealKafka, app: str
) -> None:
    real_kafka.create_topics({f"{app}.events": PARTITIONS, f"{app}.state": PARTITIONS - 1})
    settings = counting_settings(app, real_kafka.address)
    with pytest.raises(SnapshotError, match=r"events has 4 .*state has 3: .*`crm-online adopt`"):
        await restore(settings, Reading())


async def test_is_given_up_where_it_is_no_longer_wanted(settings: Settings) -> None:
    await write_state(settings, 0, [b"1"])
    found = await checkpoint.restore(
        [0],
        Reading(),
        settings,
        source=settings.topic("events"),
        state=settings.topic("state"),
        wanted=lambda: False,
    )
    assert found is None


async def test_no_broker_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(BrokerUnavailable, match="check CRM_KAFKA"):
        await restore(counting_settings("crm", "127.0.0.1:9"), Reading())


async def delete_records(settings: Settings, before: dict[int, int]) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    topic = settings.topic("events")
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    wanted = [TopicPartition(topic, partition, offset) for partition, offset in before.items()]
    for future in admin.delete_records(wanted).values():
        future.result(10)


@pytest.mark.real
async def test_a_state_topic_that_should_be_there_is_missed(
    real_kafka: RealKafka, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "ABSENT_SECONDS", 0.5)
    settings = counting_settings(app, real_kafka.address, declare_topics=True)
    with pytest.raises(ConfigurationError, match=rf"{app}.events does not exist"):
        await restore(settings, Reading())
    real_kafka.create_topics({f"{app}.events": PARTITIONS})
    with pytest.raises(BrokerUnavailable, match=rf"{app}.state does not exist"):
        await restore(settings, Reading())
