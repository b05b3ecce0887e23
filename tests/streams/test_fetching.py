"""What is fetched in place is what aiokafka makes of it with copies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd
from aiokafka.errors import CorrelationIdError, CorruptRecordException
from aiokafka.protocol.api import ResponseHeader_v0
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from crm_online.settings import Settings
from streams import bulk
from streams.bulk import BulkReader
from streams.embedded import MockBroker, RealKafka
from streams.fetching import _InPlace, unpack
from tests.streams.workers import PARTITIONS, counting_settings

has = {"gzip": has_gzip, "snappy": has_snappy, "lz4": has_lz4, "zstd": has_zstd}
CODECS: list[str | None] = [None, *(name for name, installed in has.items() if installed())]


def build(version: int, codec: str, given: Sequence[Any]) -> bytes:
    compression = {"none": 0, "gzip": 1}[codec]
    builder: Any = (
        DefaultRecordBatchBuilder(2, compression, False, -1, -1, -1, 1_000_000)
        if version == 2
        else LegacyRecordBatchBuilder(version, compression, 1_000_000)
    )
    for offset, (key, value, named) in enumerate(given):
        builder.append(offset, 1_000 + offset, key, value, named if version == 2 else [])
    return bytes(builder.build())


payloads = st.none() | st.binary(max_size=300)
headers = st.lists(st.tuples(st.text(max_size=9), payloads), max_size=3)
records = st.lists(st.tuples(payloads, payloads, headers), min_size=1, max_size=5)
# aiokafka's reader takes all of a fetch for batches of the first one's version.
batches = st.integers(0, 2).flatmap(
    lambda version: st.lists(
        st.builds(build, st.just(version), st.sampled_from(["none", "gzip"]), records), max_size=4
    )
)


def content_of(record: Any) -> tuple[Any, ...]:
    return record.offset, record.timestamp, record.key, record.value, list(record.headers)


def copied(content: bytes) -> list[tuple[Any, ...]]:
    memory, found = MemoryRecords(content), []
    while memory.has_next():
        found += [content_of(record) for record in memory.next_batch()]
    return found


@given(batches, st.integers(0, 400))
def test_batches_in_place_hold_the_records_that_copies_hold(
    given_batches: list[bytes], cut: int
) -> None:
    content = b"".join(given_batches)
    content = content[: max(len(content) - cut, 0)]
    found = [content_of(record) for batch in unpack(memoryview(content)) for record in batch]
    assert found == copied(content)


@pytest.mark.parametrize("length", [-12, 0, 13])
def test_a_batch_that_is_too_short_to_be_one_is_refused(length: int) -> None:
    content = bytearray(build(2, "none", [(b"k", b"v", [])]))
    content[8:12] = length.to_bytes(4, "big", signed=True)
    with pytest.raises(CorruptRecordException):
        list(unpack(memoryview(content)))


class Connection:
    """What an `_InPlace` sees of a connection."""

    def __init__(self) -> None:
        self._requests: deque[Any] = deque()
        self.other: list[bytes] = []

    def ask(self, request: Any) -> asyncio.Future[Any]:
        answer = asyncio.get_running_loop().create_future()
        self._requests.append((len(self._requests), request, answer))
        return answer

    def _handle_frame(self, frame: bytes) -> None:
        self.other.append(frame)
        self._requests.popleft()


FETCH = FetchRequest(1, 1, 1, 0, [], rack_id="").build(FetchRequest_v4)
RESPONSE = FETCH.RESPONSE_TYPE


def fetched(correlation: int, content: bytes) -> bytes:
    answer = RESPONSE(0, [("topic", [(0, 0, 9, 9, [], content)])])
    frame = ResponseHeader_v0(correlation).encode() + answer.encode()
    sent: bytes = len(frame).to_bytes(4, "big") + frame
    return sent


def receive(place: _InPlace, sent: bytes, steps: Sequence[int]) -> None:
    at, turn = 0, 0
    while at < len(sent):
        room = place.get_buffer(-1)
        count = min(len(room), steps[turn % len(steps)], len(sent) - at)
        room[:count] = sent[at : at + count]
        place.buffer_updated(count)
        at, turn = at + count, turn + 1


@given(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=6),
    st.lists(st.integers(1, 5_000), min_size=1, max_size=5),
)
def test_answers_arrive_whole_however_they_are_cut(sizes: list[int], steps: list[int]) -> None:
    async def run() -> None:
        connection = Connection()
        place = _InPlace(connection, asyncio.Protocol())
        contents = [bytes([number]) * size for number, size in enumerate(sizes, 1)]
        answers = [connection.ask(FETCH) for _ in contents]
        before = None
        for number, (content, answer) in enumerate(zip(contents, answers, strict=True)):
            receive(place, fetched(number, content), steps)
            ((_, ((*_, found),)),) = answer.result().topics
            assert bytes(found) == content
            if before is not None:  # still good while the next one arrives
                assert bytes(before[0]) == before[1]
            before = found, content

    asyncio.run(run())


@pytest.mark.asyncio
async def test_other_answers_go_the_way_they_went_and_leave_what_was_fetched_alone() -> None:
    connection = Connection()
    place = _InPlace(connection, asyncio.Protocol())
    first = connection.ask(FETCH)
    receive(place, fetched(0, bytes(500)), [600])
    ((_, ((*_, found),)),) = first.result().topics
    for _ in range(3):
        connection.ask(MetadataRequest([]).build(MetadataRequest._CLASSES[0]))
        receive(place, b"\0\0\2\0" + b"\1" * 512, [600])
    assert connection.other == [b"\1" * 512] * 3
    assert bytes(found) == bytes(500)


@pytest.mark.asyncio
async def test_an_answer_to_another_request_ends_the_connection() -> None:
    connection = Connection()
    place = _InPlace(connection, asyncio.Protocol())
    answer = connection.ask(FETCH)
    with pytest.raises(CorrelationIdError):
        receive(place, fetched(7, b""), [600])
    assert not answer.done()
    assert len(connection._requests) == 1  # the connection fails it, as all that wait


@pytest.mark.asyncio
@pytest.mark.parametrize("codec", CODECS)
async def test_reads_what_a_consumer_reads(
    broker: MockBroker | RealKafka, app: str, codec: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE_BYTES", 20_000)  # so that memory is used again and again
    broker.create_topics({f"{app}.state": PARTITIONS})
    settings = counting_settings(app, broker.address)
    topic, written = settings.topic("state"), 0
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, compression_type=codec)
    await producer.start()
    for number in range(4_000):
        key = None if number % 7 == 0 else b"k%d" % number
        value = None if number % 7 and number % 5 == 0 else b"%d." % number * (number % 90)
        named = [("as_of", b"%d" % number), ("none", None)][: number % 3]
        await producer.send(topic, value, key, number % 3, headers=named)
        written += 1
    await producer.stop()
    expected = await by_consumer(settings, topic, written)
    assert await asyncio.to_thread(by_bulk, settings, topic, expected) == expected


async def by_consumer(settings: Settings, topic: str, count: int) -> dict[int, list[Any]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    found: dict[int, list[Any]] = {}
    for _ in range(count):
        record = await asyncio.wait_for(consumer.getone(), 30.0)
        found.setdefault(record.partition, []).append(content_of(record))
    await consumer.stop()
    return found


def by_bulk(settings: Settings, topic: str, expected: dict[int, list[Any]]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    spans = {partition: (0, len(records)) for partition, records in expected.items()}
    with BulkReader(settings, topic, spans) as reader:
        while reader.left:
            for partition, read in reader.read().items():
                found.setdefault(partition, []).extend(map(content_of, read))
    return found
