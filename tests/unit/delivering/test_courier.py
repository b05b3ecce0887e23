"""What becomes of one webhook: delivered, put back, dropped with a reason, or kept."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from crm_online.contract.actions import Action
from crm_online.endpoints import Endpoint
from crm_online.log import LogRecord, Message
from crm_online.settings import Settings
from streams.delivering.courier import Courier
from streams.delivering.letters import Letter, of_action, of_retry
from streams.delivering.posting import Poster
from streams.delivering.standing import Said, Standing, apply, message
from tests.receiving import Receiver, action, endpoint, receiving

DAY = 86_400.0
HOUR = 3600.0


class Written:
    """Takes what would go onto topics."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def deliver(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        self.messages += messages


class Case:
    """A courier to a receiver on loopback."""

    def __init__(self, receiver: Receiver, **more: Any) -> None:
        self.receiver = receiver
        self.endpoint = Endpoint.model_validate(endpoint("mail", receiver.url) | more)
        self.written, self.said = Written(), list[Message]()
        settings = Settings(max_action_age_seconds=HOUR)
        self.standing = Standing("mail", settings, self._say)
        self.poster = Poster(self.endpoint)
        producer: Any = self.written
        self.courier = Courier(self.endpoint, self.poster, self.standing, producer, settings)

    async def _say(self, what: Message) -> None:
        self.said.append(what)

    def put_back(self) -> list[Letter]:
        found = [of_retry(0, LogRecord(0, 0, *m), "mail") for m in self.written.messages]
        return [each for each in found if each is not None]


@asynccontextmanager
async def case(**more: Any) -> AsyncIterator[Case]:
    async with receiving() as receiver:
        found = Case(receiver, **more)
        await found.poster.open()
        try:
            yield found
        finally:
            await found.poster.close()


def letter(wanted: Action, age: float = 0.0, late: float = 1.0) -> Letter:
    at = datetime.fromtimestamp(time.time() - age - late, UTC)
    value = orjson.dumps(wanted.model_copy(update={"at": at}).model_dump(mode="json"))
    found = of_action(0, LogRecord(0, int((time.time() - age) * 1000), b"c", value))
    assert found is not None
    return found


@pytest.mark.asyncio
async def test_three_quick_tries_and_then_back_with_the_first_wait() -> None:
    async with case() as c:
        c.receiver.answer = lambda _: web.Response(status=500)
        assert await c.courier.take(letter(action("c1")))
        assert len(c.receiver.got) == 3
        assert len(set(c.receiver.ids)) == 1
        (again,) = c.put_back()
        assert again.attempt == 1
        assert 4.0 < again.due - time.time() < 7.6
        assert await c.courier.take(again)
        assert len(c.receiver.got) == 4  # what was put back is tried once
        assert c.put_back()[1].attempt == 2


@pytest.mark.asyncio
async def test_a_receiver_that_asks_to_wait_is_left_alone_meanwhile() -> None:
    async with case() as c:
        c.receiver.answer = lambda _: web.Response(status=429, headers={"retry-after": "1"})
        begun = time.time()
        assert await c.courier.take(letter(action("c1")))
        assert len(c.receiver.got) == 1
        c.receiver.answer = lambda _: web.Response(status=503, headers={"retry-after": "3600"})
        assert await c.courier.take(letter(action("c2")))
        assert time.time() - begun >= 0.9
        assert c.put_back()[1].due - time.time() > 3590


@pytest.mark.asyncio
async def test_a_timeout_costs_one_try() -> None:
    async with case(timeout_seconds=0.3) as c:
        c.receiver.answer = lambda _: None
        assert await c.courier.take(letter(action("c1")))
        assert len(c.receiver.got) == 1
        assert len(c.put_back()) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wanted", "age", "why"),
    [
        (action("secret-customer", template={"n": "0", "text": "x" * 20_480}), 0.0, "20 KB"),
        (action("secret-customer"), 3.1 * DAY, "too old"),
    ],
)
async def test_what_cannot_be_delivered_is_dropped_and_said_without_anything_personal(
    wanted: Action, age: float, why: str
) -> None:
    async with case() as c:
        with capture_logs() as logs:
            assert await c.courier.take(letter(wanted, age))
        assert c.receiver.got == []
        assert c.written.messages == []
        assert [entry["log_level"] for entry in logs] == ["error"]
        assert why in logs[0]["why"]
        assert "secret-customer" not in repr(logs)
        assert c.courier.results["dropped"] == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("damage", ["no UTF-8", "no header"])
async def test_what_cannot_be_signed_or_posted_is_put_back_with_a_reason(damage: str) -> None:
    async with case() as c:
        if damage == "no UTF-8":
            good = letter(action("secret-customer", segment="here"))
            bad = good._replace(value=good.value.replace(b"here", b"\xff\xfe"))
        else:
            bad = letter(action("secret-customer", action_id="a\nb"))
        with capture_logs() as logs:
            assert await c.courier.take(bad)
        assert [each.attempt for each in c.put_back()] == [1]
        assert logs[0]["why"].endswith("Error")
        assert "secret-customer" not in repr(logs)
        assert await c.courier.take(letter(action("c2")))
        assert len(c.receiver.got) == 1


@pytest.mark.asyncio
async def test_what_was_decided_too_late_is_not_delivered_however_new_its_record_is() -> None:
    async with case() as c:
        with capture_logs() as logs:
            assert await c.courier.take(letter(action("c1"), late=1.1 * HOUR))
        assert c.receiver.got == []
        assert logs[0]["why"] == "decided too late"
        assert c.courier.results == {"stale": 1}
        assert await c.courier.take(letter(action("c2"), late=0.9 * HOUR))
        waited = letter(action("c3"), age=60 * HOUR)._replace(attempt=3)
        assert await c.courier.take(waited)  # it was in time when it was decided
        assert [each.customer for each in c.receiver.got] == ["c2", "c3"]


@pytest.mark.asyncio
async def test_what_was_tried_for_days_is_given_up() -> None:
    async with case() as c:
        c.receiver.answer = lambda _: web.Response(status=500)
        late = letter(action("c1"), 2.9 * DAY)._replace(attempt=12)
        assert await c.courier.take(late)
        assert c.put_back() == []
        assert c.courier.results["dropped"] == 1


@pytest.mark.asyncio
async def test_logs_hold_no_address() -> None:
    async with case() as c:
        c.receiver.answer = lambda _: web.Response(status=302, headers={"location": "/s3cr3t"})
        with capture_logs() as logs:
            await c.courier.take(letter(action("secret-customer")))
        for word in ("127.0.0.1", "s3cr3t", "secret-customer", "whsec"):
            assert word not in repr(logs)


@pytest.mark.asyncio
async def test_an_endpoint_that_is_gone_keeps_its_actions() -> None:
    async with case() as c:
        c.receiver.answer = lambda _: web.Response(status=410)
        assert not await c.courier.take(letter(action("c1")))
        assert not await c.courier.take(letter(action("c2")))
        assert len(c.receiver.got) == 1  # nothing more is sent
        assert c.written.messages == []
        assert [orjson.loads(m.value or b"")["state"] for m in c.said] == ["disabled"]


class Topic:
    """The endpoints' topic, which everybody hears at once, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_714_421_602.0
        self.standing = Standing("mail", Settings(), self.write, lambda: self.now)
        self.states: list[str] = []

    async def write(self, said: Message) -> None:
        apply([LogRecord(0, 0, *said)], {"mail": self.standing})
        self.states.append(self.standing.said.state)


@pytest.mark.asyncio
async def test_days_without_a_success_disable_and_one_success_begins_anew() -> None:
    topic = Topic()
    for _ in range(9):
        await topic.standing.failed("status 500")
        topic.now += 0.5 * DAY
    await topic.standing.succeeded()
    assert topic.states == ["failing", "well"]
    for _ in range(12):
        assert not topic.standing.disabled
        await topic.standing.failed("status 500")
        if topic.standing.disabled:
            break
        topic.now += 0.5 * DAY
    assert topic.states == ["failing", "well", "failing", "disabled"]
    assert topic.now - 1_714_421_602.0 == pytest.approx((4.5 + 5.0) * DAY)
    await topic.write(message(Said("mail", "well", topic.standing.said.since)))
    await topic.standing.failed("status 500")
    assert not topic.standing.disabled  # its days begin anew


@pytest.mark.asyncio
async def test_what_another_worker_delivered_counts_as_a_success() -> None:
    topic = Topic()
    await topic.standing.failed("status 500")
    topic.now += 120.0
    await topic.standing.failed("status 500")
    assert topic.states == ["failing"]
    await topic.write(message(Said("mail", "well", topic.standing.said.since)))
    topic.now += 30 * DAY
    await topic.standing.failed("status 500")
    assert not topic.standing.disabled


@pytest.mark.asyncio
async def test_a_failure_in_between_is_no_news() -> None:
    topic = Topic()
    for _ in range(100):
        await topic.standing.failed("status 500")
        topic.now += 30.0
        await topic.standing.succeeded()
    assert topic.states == []
