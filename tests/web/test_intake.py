"""The intake: what is taken stands on Kafka, what is not is said so."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from crm_online.events import parse_event
from crm_online.log import Message
from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.feeding import partition_of
from streams.roles.web import WebRole
from streams.web.problems import Problem
from streams.web.writing import EventWriter
from tests.streams.job import PARTITIONS, Tail, until
from tests.web.serving import WRITE_KEY, serving, web_settings

pytestmark = pytest.mark.asyncio


def track(user: str = "c-1", message: str = "m-1", **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "userId": user,
        "messageId": message,
        "timestamp": "2026-03-01T12:00:00Z",
        "properties": {"product_id": "p-1"},
    } | more


async def stored(settings: Settings) -> list[Any]:
    """Return all that stands on the events topic."""
    async with Tail(settings, "events") as tail:
        await tail.read_all()
        return tail.records["events"]


@pytest.fixture
def settings(app: str, broker: MockBroker | RealKafka, valkey: Valkey) -> Settings:
    return web_settings(app, broker, valkey)


async def test_a_batch_stands_on_kafka_by_customer_once_it_is_answered(settings: Settings) -> None:
    sent = [track(f"c-{n % 7}", f"m-{n}") for n in range(40)]
    async with serving(settings) as client:
        said = await client.post("/v1/batch", {"batch": sent, "sentAt": "2026-03-01T12:00:01Z"})
        assert (said.status, said.body) == (200, {"success": True, "accepted": 40, "rejected": []})
        records = await stored(settings)
    assert sorted(json.loads(r.value)["messageId"] for r in records) == sorted(
        each["messageId"] for each in sent
    )
    for record in records:
        body = json.loads(record.value)
        assert record.key == body["userId"].encode()
        assert record.partition == partition_of(record.key, PARTITIONS)
        assert body["receivedAt"].endswith("Z")
        assert body["sentAt"] == "2026-03-01T12:00:01Z"
        assert parse_event(record.value, 1.8e9, 32768, 300.0).message_id == body["messageId"]


async def test_each_type_has_a_path_and_says_its_own_type(settings: Settings) -> None:
    bodies = {
        "track": {"userId": "c-1", "event": "Product Viewed"},
        "identify": {"userId": "c-1", "traits": {"plan": "gold"}},
        "page": {"anonymousId": "a-1"},
        "screen": {"userId": "c-1", "type": "track"},
        "group": {"userId": "c-1", "groupId": "g-1"},
        "alias": {"userId": "c-1", "previousId": "a-1"},
    }
    async with serving(settings) as client:
        for kind, body in bodies.items():
            said = await client.post(f"/v1/{kind}", body)
            assert (said.status, said.body["accepted"]) == (200, 1), said
        records = await stored(settings)
    assert sorted(json.loads(r.value)["type"] for r in records) == sorted(bodies)
    assert {r.key for r in records} == {b"c-1", b"a-1"}


async def test_gzip_is_unpacked_and_never_beyond_the_limit(settings: Settings) -> None:
    packed = {"content-encoding": "gzip"}
    async with serving(settings) as client:
        body = gzip.compress(json.dumps({"batch": [track()]}).encode())
        assert (await client.post("/v1/batch", body, headers=packed)).status == 200
        bomb = gzip.compress(b" " * 50_000_000)
        assert (await client.post("/v1/batch", bomb, headers=packed)).status == 413
        cut = await client.post("/v1/batch", body[:-9], headers=packed)
        assert (cut.status, cut.body["code"]) == (400, "malformed-gzip")
        more = await client.post("/v1/batch", body + b"x" * 300_000, headers=packed)
        assert (more.status, more.body["code"]) == (400, "malformed-gzip")
        other = await client.post("/v1/batch", body, headers={"content-encoding": "br"})
        assert other.status == 415
        assert len(await stored(settings)) == 1


@pytest.mark.parametrize("key", ["", "someone-elses", WRITE_KEY + "x", "marketer-has-this-key"])
async def test_an_unknown_write_key_is_refused(settings: Settings, key: str) -> None:
    async with serving(settings) as client:
        said = await client.post("/v1/track", track(), key=key)
        assert (said.status, said.body["code"]) == (401, "unknown-write-key")
        assert await stored(settings) == []


async def test_no_write_key_is_no_key_even_where_an_empty_one_is_set(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey, write_keys=["", WRITE_KEY])
    async with serving(settings) as client:
        for login in ("", "Basic", "Bearer x", "Basic Og==", "Basic é", "Basic /w=="):
            said = await client.post("/v1/track", track(), headers={"authorization": login})
            assert (said.status, said.body["code"]) == (401, "unknown-write-key"), login
        assert (await client.post("/v1/track", track())).status == 200


async def test_what_is_no_event_is_told_and_does_not_hold_back_the_others(
    settings: Settings,
) -> None:
    batch = [
        track(message="m-1"),
        {"type": "crm.tick", "userId": "c-1"},
        {"type": "track", "userId": "c-1"},
        5,
        track(user="\u0000tick"),
        track(message="m-2"),
        track(properties={"order": "x" * 40_000}),
    ]
    async with serving(settings) as client:
        said = await client.post("/v1/batch", {"batch": batch})
        assert (said.status, said.body["accepted"]) == (200, 2)
        assert [(r["index"], r["reason"]) for r in said.body["rejected"]] == [
            (1, "wrong-type"),
            (2, "missing-event"),
            (3, "wrong-type"),
            (4, "control-characters"),
            (6, "too-large"),
        ]
        alone = await client.post("/v1/batch", {"batch": batch[1:3]})
        assert (alone.status, alone.body["code"]) == (400, "wrong-type")
        records = await stored(settings)
    assert [json.loads(r.value)["messageId"] for r in records] == ["m-1", "m-2"]


async def test_headers_of_our_own_never_come_from_outside(settings: Settings) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = {"ce_type": "crm.tick", "ce_signature": "x", "traceparent": trace}
    async with serving(settings) as client:
        assert (await client.post("/v1/track", track(), headers=given)).status == 200
        bad = given | {"traceparent": trace.upper() + "-more"}
        assert (await client.post("/v1/track", track(), headers=bad)).status == 200
        records = await stored(settings)
    assert [list(r.headers) for r in records] == [[("traceparent", trace.encode())], []]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed-json"),
        (b"[]", 400, "no-object"),
        (b"{}", 400, "no-batch"),
        (b'{"batch": []}', 400, "no-batch"),
        (b'{"batch": {}}', 400, "no-batch"),
        (b"\xff", 400, "malformed-json"),
        (b"[" * 100_000, 400, "no-object"),
        (b'{"batch": ' + b"[" * 100_000, 400, "too-deep"),
        (b'{"batch": [{}', 400, "malformed-json"),
        (b'{"\xff": 1}', 400, "malformed-json"),
        (json.dumps({"batch": [{}] * 2_501}).encode(), 413, "too-many-events"),
        (json.dumps({"batch": [{"x": "y" * 600_000}]}).encode(), 413, "too-large"),
    ],
)
async def test_bodies_that_are_no_batch(
    settings: Settings, body: bytes, status: int, code: str
) -> None:
    async with serving(settings) as client:
        said = await client.post("/v1/batch", body)
    assert (said.status, said.body["code"], said.body["success"]) == (status, code, False)


async def test_deep_nesting_is_one_bad_event_and_no_server_error(settings: Settings) -> None:
    deep = b'{"batch":[{"type":"page","userId":"c","properties":' + b'{"a":' * 400 + b"1"
    async with serving(settings) as client:
        said = await client.post("/v1/batch", deep + b"}" * 400 + b"}]}")
    assert (said.status, said.body["code"]) == (400, "too-deep")


async def test_a_key_that_sends_too_fast_is_told_when_to_come_back(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    settings = web_settings(
        app, broker, valkey, intake_events_per_second=10.0, write_keys=[WRITE_KEY, "other-key"]
    )
    batch = {"batch": [track(message=f"m-{n}") for n in range(1_000)]}
    async with serving(settings) as client:
        answers = [await client.post("/v1/batch", batch) for _ in range(3)]
        assert [said.status for said in answers] == [200, 200, 429]
        assert 45 <= int(answers[-1].headers["retry-after"]) <= 50
        assert (await client.post("/v1/batch", batch, key="other-key")).status == 200
        assert len(await stored(settings)) == 3_000


async def test_what_is_no_event_takes_from_the_rate_as_well(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey, intake_events_per_second=1.0)
    batch = {"batch": [{"type": "nothing"}] * 2_000}
    async with serving(settings) as client:
        answers = [await client.post("/v1/batch", batch) for _ in range(2)]
    assert [(said.status, said.body["code"]) for said in answers] == [
        (400, "wrong-type"),
        (429, "too-fast"),
    ]


async def test_too_many_under_way_are_pushed_back(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    settings = web_settings(app, broker, valkey, intake_max_in_flight_events=1_000)
    batch = {"batch": [track(message=f"m-{n}") for n in range(600)]}
    async with serving(settings) as client:
        both = await asyncio.gather(*[client.post("/v1/batch", batch) for _ in range(2)])
        assert sorted(said.status for said in both) == [200, 429]
        refused = next(said for said in both if said.status == 429)
        assert (refused.headers["retry-after"], refused.body["code"]) == ("1", "busy")
        assert (await client.post("/v1/batch", batch)).status == 200
        assert len(await stored(settings)) == 1_200


async def test_a_batch_above_all_limits_goes_when_nothing_else_is_under_way(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey, intake_max_in_flight_events=10)
    batch = {"batch": [track(message=f"m-{n}") for n in range(600)]}
    async with serving(settings) as client:
        for _ in range(2):
            assert (await client.post("/v1/batch", batch)).status == 200


async def test_few_large_events_are_pushed_back_by_their_bytes(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey)
    role, large = WebRole(), [(0, Message(b"c-1", b"x" * 600))]
    writer = EventWriter(settings, role, most_bytes=1_000)
    running = asyncio.ensure_future(writer.run())

    async def runs() -> bool:
        return role.state == "running"

    try:
        await until(runs)
        first, second = await asyncio.gather(
            writer.write(large), writer.write(large), return_exceptions=True
        )
        assert first is None
        assert isinstance(second, Problem)
        assert (second.status, second.code) == (429, "busy")
        await writer.write(large)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.real
async def test_nothing_is_acknowledged_without_kafka_and_all_goes_on_with_it(
    app: str, own_kafka: RealKafka, valkey: Valkey
) -> None:
    settings = web_settings(app, own_kafka, valkey, declare_topics=True)
    async with serving(settings) as client:
        assert (await client.post("/v1/track", track(message="before"))).status == 200
        own_kafka.kill()
        said = await client.post("/v1/track", track(message="meanwhile"))
        assert (said.status, said.body["code"]) == (503, "kafka-away")
        assert int(said.headers["retry-after"]) > 0
        await asyncio.to_thread(own_kafka.start)

        async def taken() -> bool:
            return (await client.post("/v1/track", track(message="meanwhile"))).status == 200

        await until(taken)
        names = [json.loads(r.value)["messageId"] for r in await stored(settings)]
    assert names[0] == "before"
    assert "meanwhile" in names


async def test_a_cache_that_is_away_is_no_reason_to_refuse_events(
    app: str, broker: MockBroker | RealKafka, own_valkey: Valkey
) -> None:
    settings = web_settings(app, broker, own_valkey)
    async with serving(settings) as client:
        own_valkey.kill()
        read = await client.get("/v1/customers/c-1", "marketer")
        assert (read.status, read.body["code"]) == (503, "cache-away")
        assert "Redis at 127.0.0.1" in read.body["message"]
        assert (await client.post("/v1/track", track())).status == 200
        assert (await client.get("/health/ready")).status == 200
