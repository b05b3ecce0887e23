"""Figures: from a role, over `crm.metrics`, to whoever looks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from structlog.testing import capture_logs

from crm_online.contract.records import RECORDS
from crm_online.log import LogRecord, Message
from crm_online.settings import Settings
from crm_online.sinks.redis import connect
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.figures import RoleFigures
from streams.health import RoleHealth
from streams.producer import OutputProducer
from streams.reporting import Reporter
from streams.web.answers import Figures
from streams.web.board import GONE_REPORTS, GONE_SECONDS, Board
from tests.silence import silent
from tests.web.serving import KEYS, Client, serving, web_settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Role:
    """A scorer that is as far as the test says."""

    def __init__(self) -> None:
        self.consumed = 0
        self.lag = 5

    def health(self) -> RoleHealth:
        return RoleHealth("running", 1, self.lag)

    def figures(self) -> RoleFigures:
        return RoleFigures(
            consumed=self.consumed,
            lag={("crm.events", 3): self.lag},
            rejected={"malformed-json": 2},
        )


class Clock:
    """Stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now.timestamp()


def tell(board: Board, reporter: Reporter, at: datetime) -> None:
    board.apply([LogRecord(0, 0, *message) for message in reporter.messages(at)])


def roles_of(board: Board) -> set[str]:
    return {each["role"] for each in board.figures()["workers"]}


def test_speed_is_what_was_consumed_between_two_reports() -> None:
    clock, role = Clock(), Role()
    board, reporter = Board(clock), Reporter(Settings(), {"score": role})
    tell(board, reporter, NOW)
    role.consumed, role.lag = 300, 7
    clock.now = NOW + timedelta(seconds=2)
    tell(board, reporter, clock.now)
    seen = board.figures()
    assert seen["events_per_second"] == 150.0
    assert [each["lag"] for each in seen["workers"]] == [{"crm.events[3]": 7}]
    assert seen["dead_letters"] == {"malformed-json": 2}
    assert [rate for _, rate in seen["rates"]] == [0.0, 150.0]


def test_a_worker_that_started_anew_has_no_negative_speed() -> None:
    board, role = Board(Clock()), Role()
    reporter = Reporter(Settings(), {"score": role})
    role.consumed = 1000
    tell(board, reporter, NOW)
    role.consumed = 10
    tell(board, reporter, NOW + timedelta(seconds=2))
    assert board.figures()["events_per_second"] == 0.0


def test_a_worker_that_fell_silent_is_gone() -> None:
    clock = Clock()
    board = Board(clock)
    tell(board, Reporter(Settings(), {"score": Role()}), NOW)
    assert roles_of(board) == {"score"}
    clock.now = NOW + timedelta(seconds=GONE_SECONDS)
    assert roles_of(board) == set()


def test_a_worker_that_ended_before_we_looked_is_gone_once_others_have_gone_on() -> None:
    board = Board(Clock())  # all of it is read at once
    tell(board, Reporter(Settings(), {"score": Role()}), NOW - timedelta(hours=1))
    cache = Reporter(Settings(), {"cache": Role()})
    for report in range(GONE_REPORTS):
        assert "score" in roles_of(board)
        tell(board, cache, NOW - timedelta(minutes=10) + timedelta(seconds=2 * report))
    assert roles_of(board) == {"cache"}


@pytest.mark.parametrize("ahead", [25.0, -25.0, 400 * 86400.0])
def test_workers_whose_clocks_differ_are_all_shown(ahead: float) -> None:
    clock, role = Clock(), Role()
    board = Board(clock)
    score, cache = Reporter(Settings(), {"score": role}), Reporter(Settings(), {"cache": Role()})
    for report in range(20):
        clock.now = NOW + timedelta(seconds=2 * report)
        role.consumed += 300
        tell(board, score, clock.now + timedelta(seconds=ahead))
        tell(board, cache, clock.now)
        if report:
            assert roles_of(board) == {"score", "cache"}
            assert board.figures()["events_per_second"] == 150.0
    times = [at for at, _ in board.figures()["rates"]]
    assert times == sorted(times)
    assert times[-1] <= clock()


def test_what_cannot_be_read_is_passed_over_counted_and_told_once() -> None:
    counted: list[None] = []
    board = Board(Clock(), lambda: counted.append(None))
    with capture_logs() as said:
        board.apply(strange())
        tell(board, Reporter(Settings(), {"score": Role()}), NOW)
    assert roles_of(board) == {"score"}
    assert len(counted) == len(strange()) * 3 // 4  # tombstones say nothing
    assert [each["event"] for each in said] == [
        "a record of live metrics is none that this version reads"
    ]


def strange() -> list[LogRecord]:
    """Return records of kinds that we know, none of which we can read."""
    kinds = ["worker", "quality", "drift", "contest", "uplift"]
    values = [b"{}", b'{"model": 1}', b"\xff", None]
    return [
        LogRecord(n, 0, b"k", value, [("ce_type", f"crm.{kind}.updated".encode())])
        for n, (kind, value) in enumerate(product(kinds, values))
    ]


def test_reports_fit_their_published_form_and_are_named_apart() -> None:
    reporter = Reporter(Settings(), {"score": Role(), "cache": Role()})
    messages = [*reporter.messages(NOW), *reporter.messages(NOW + timedelta(seconds=2))]
    assert len({message.key for message in messages}) == 2
    assert len({dict(message.headers)["ce_id"] for message in messages}) == 4
    for message in messages:
        assert dict(message.headers)["ce_type"] == b"crm.worker.updated"
        RECORDS["crm.worker.updated"].model_validate_json(message.value or b"")


def test_quality_over_time_is_drawn_once_per_moment() -> None:
    board = Board()

    def quality(at: str, auc: float) -> LogRecord:
        value = {
            "model": "churn",
            "window": "last-1000",
            "at": at,
            "epoch": 0,
            "offset": 9,
            "champion": "main",
            "outcomes": 10,
            "figures": {"auc": auc, "estimated_auc": 0.7},
        }
        headers = [("ce_type", b"crm.quality.updated")]
        return LogRecord(0, 0, b"k", json.dumps(value).encode(), headers)

    first, second = "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"
    board.apply([quality(first, 0.6), quality(first, 0.61), quality(second, 0.65)])
    curve = board.figures()["curves"]["churn"]
    assert [point["settled"] for point in curve] == [0.61, 0.65]
    assert {point["estimated"] for point in curve} == {0.7}


@asynccontextmanager
async def stream(client: Client) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    headers = {"authorization": f"Bearer {KEYS['watcher']}"}
    url = f"{client.base}/v1/figures/stream"
    async with client.session.get(url, headers=headers) as response:
        assert response.content_type == "text/event-stream"

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

        yield events()


@pytest.mark.asyncio
async def test_whoever_looks_sees_what_roles_elsewhere_do(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    settings, role = web_settings(app, broker, valkey), Role()
    async with serving(settings) as client:
        reporting = asyncio.ensure_future(Reporter(settings, {"score": role}).run())
        try:
            async with asyncio.timeout(60), stream(client) as one, stream(client) as other:
                for lag in (5, 23):
                    role.lag = lag
                    for events in (one, other):
                        async for seen in events:
                            Figures.model_validate(seen)
                            if [w["lag"] for w in seen["workers"]] == [{"crm.events[3]": lag}]:
                                break
            said = await client.get("/v1/figures", "watcher")
            assert said.body["cache"] == {"segments": {}, "at_risk": 0}
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)


@pytest.mark.asyncio
async def test_metrics_that_nobody_can_read_stop_nothing(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey)
    producer = OutputProducer(settings, lambda _: None)
    async with serving(settings) as client:
        await producer.start()
        unread = [Message(record.key, record.value, record.headers) for record in strange()]
        await producer.deliver(settings.topic("metrics"), 0, unread)
        messages = [*Reporter(settings, {"score": Role()}).messages(datetime.now(UTC))]
        await producer.deliver(settings.topic("metrics"), 0, messages)
        await producer.stop()
        async with asyncio.timeout(60), stream(client) as events:
            async for seen in events:
                if seen["workers"]:
                    break
        track = {"userId": "c-1", "event": "Product Viewed"}
        assert (await client.post("/v1/track", track)).status == 200
        said = (await client.get("/metrics")).body
        assert "crm_metrics_unreadable_total 15.0" in said


@pytest.mark.asyncio
async def test_a_cache_that_is_away_is_told_and_the_rest_is_shown(
    app: str, mock_broker: MockBroker, own_valkey: Valkey
) -> None:
    async with serving(web_settings(app, mock_broker, own_valkey)) as client:
        own_valkey.kill()
        said = await client.get("/v1/figures", "watcher")
        assert said.status == 200
        assert "Redis at" in said.body["cache"]["away"]
        assert said.body["workers"] == []


@pytest.mark.asyncio
async def test_a_cache_that_hangs_holds_up_neither_figures_nor_reads_for_long(
    app: str, mock_broker: MockBroker, own_valkey: Valkey
) -> None:
    async with (
        serving(web_settings(app, mock_broker, own_valkey)) as client,
        stream(client) as events,
    ):
        assert "segments" in (await anext(events))["cache"]
        async with silent(own_valkey):
            async with asyncio.timeout(9):  # two calls of five seconds each would take longer
                assert "segments" in (await anext(events))["cache"]  # as known last
            async with asyncio.timeout(60):
                async for figures in events:
                    if "away" in figures["cache"]:
                        break
        async with silent(own_valkey), asyncio.timeout(9):
            said = await client.get("/v1/customers/c-1", "marketer")
            assert (said.status, said.body["code"]) == (503, "cache-away")


@pytest.mark.asyncio
async def test_who_comes_at_once_gets_figures_that_were_made_once(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    async def first(client: Client) -> dict[str, Any]:
        async with stream(client) as events:
            return await anext(events)

    settings = web_settings(app, mock_broker, valkey)
    cache: Any = connect(settings)
    async with serving(settings) as client:
        before, began = await asked(cache), time.monotonic()
        seen = await asyncio.gather(*[first(client) for _ in range(60)])
        assert all(each["cache"] == {"segments": {}, "at_risk": 0} for each in seen)
        # Once a second at most, however long this machine takes for sixty.
        assert await asked(cache) - before <= 2 + (time.monotonic() - began)
        await cache.aclose()


async def asked(cache: Any) -> int:
    """How often somebody has asked for the sizes of segments."""
    counted = await cache.info("commandstats")
    return int(counted.get("cmdstat_smembers", {"calls": 0})["calls"])
