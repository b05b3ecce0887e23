"""The role `deliver`: signed webhooks from the outbox, whoever fails, hangs or is killed."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from crm_online.errors import ConfigurationError
from crm_online.log import LogRecord, Message
from crm_online.settings import Settings
from streams.delivering.enabling import enable_endpoint, list_endpoints
from streams.delivering.letters import of_action, retry
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.roles.deliver import DeliverRole
from tests.receiving import Got, Receiver, action, endpoint, receiving, write_actions
from tests.streams.job import Process, Tail, job_settings, until, working
from tests.streams.workers import append

NOUNS = ("actions", "actions.retry", "endpoints")


def delivering_settings(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey, *endpoints: Any, **more: Any
) -> Settings:
    given = {
        "webhooks": endpoints,
        "webhook_first_retry_seconds": 0.1,
        "max_action_age_seconds": 1e10,  # the actions of these tests are of 2024
    }
    return job_settings(app, broker, valkey, **(given | more))


def by_customer(got: Iterable[Got]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for each in got:
        found[each.customer].append(each.number)
    return dict(found)


def taken(receiver: Receiver) -> list[str]:
    """Ids that were answered with success."""
    return [each for n, each in enumerate(receiver.ids) if receiver.answers[n] < 300]


def firsts(receiver: Receiver) -> dict[str, list[int]]:
    """By customer, in the order in which each came for the first time."""
    return {c: list(dict.fromkeys(numbers)) for c, numbers in by_customer(receiver.got).items()}


async def ready(worker: Any) -> None:
    app = worker.apps["deliver"]
    await until(lambda: app.health().state == "running" and app.health().partitions > 0)


def test_without_endpoints_the_role_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="CRM_WEBHOOKS"):
        DeliverRole(Settings(), lambda error: None)


@pytest.mark.asyncio
async def test_what_is_sent_or_released_comes_signed_in_order_and_once(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    async with receiving() as receiver:
        settings = delivering_settings(app, broker, valkey, endpoint("mail", receiver.url))
        statuses = ("sent", "held", "released", "expired", "suppressed", "control", "sent")
        async with working(settings, ["deliver"]) as worker:
            await ready(worker)
            await write_actions(
                settings,
                [action(f"c{c}", n, status=s) for n, s in enumerate(statuses) for c in range(20)],
            )
            await until(lambda: len(receiver.got) >= 60)
            await until(lambda: worker.apps["deliver"].health().lag == 0)
        assert by_customer(receiver.got) == {f"c{c}": [0, 2, 6] for c in range(20)}
        one = receiver.got[0]
        assert one.webhook_id == one.body["data"]["action_id"]
        assert one.body.keys() == {"type", "timestamp", "data"}
        assert one.body["timestamp"] == one.body["data"]["at"]
        async with working(settings, ["deliver"]) as worker:
            await ready(worker)
            await write_actions(settings, [action("c0", 7)])
            await until(lambda: len(receiver.got) > 60)
        assert [each.number for each in receiver.got[60:]] == [7]


@pytest.mark.asyncio
async def test_what_fails_blocks_nobody_and_is_delivered_later(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    async with receiving() as receiver:
        settings = delivering_settings(app, broker, valkey, endpoint("mail", receiver.url))
        bad = action("c3", 1)
        healed = False

        def answer(got: Got) -> web.Response:
            failing = got.webhook_id == bad.action_id and not healed
            return web.Response(status=500 if failing else 200)

        receiver.answer = answer
        async with Tail(settings, *NOUNS) as tail, working(settings, ["deliver"]) as worker:
            await ready(worker)
            await write_actions(settings, [action(f"c{c}", n) for n in range(3) for c in range(8)])
            await until(lambda: len(set(receiver.ids)) == 24)
            await tail.until(lambda: len(tail.records["actions.retry"]) > 1)
            healed = True
            await until(lambda: bad.action_id in taken(receiver))
            await until(lambda: worker.apps["deliver"].health().lag == 0)
        tries = [each for each in receiver.got if each.webhook_id == bad.action_id]
        assert len(tries) > 3 + 1
        assert len({each.headers["webhook-signature"] for each in tries}) > 1  # of each try's time
        others = [each for each in receiver.got if each.webhook_id != bad.action_id]
        assert by_customer(others) == {f"c{c}": [0, 2] if c == 3 else [0, 1, 2] for c in range(8)}


@pytest.mark.asyncio
async def test_an_endpoint_that_hangs_holds_up_no_other(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    async with receiving() as hanging, receiving() as well:
        hanging.answer = lambda _: None
        settings = delivering_settings(
            app,
            broker,
            valkey,
            endpoint("hanging", hanging.url, concurrency=2),
            endpoint("well", well.url, channels=["email"], actions=["win_back"]),
        )
        async with working(settings, ["deliver"]) as worker:
            await ready(worker)
            await write_actions(
                settings,
                [action(f"c{c}") for c in range(20)]
                + [action("x", channel="sms"), action("y", action="nudge")],
            )
            await until(lambda: len(well.got) >= 20)
            await until(lambda: len(hanging.got) == 2)
            assert worker.apps["deliver"].health().lag > 0
        assert by_customer(well.got) == {f"c{c}": [0] for c in range(20)}
        assert len(hanging.got) == 2


@pytest.mark.asyncio
async def test_an_endpoint_that_is_gone_is_disabled_until_it_is_enabled(
    app: str,
    broker: MockBroker | RealKafka,
    valkey: Valkey,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with receiving() as receiver:
        settings = delivering_settings(app, broker, valkey, endpoint("mail", receiver.url))
        receiver.answer = lambda _: web.Response(status=410)
        async with working(settings, ["deliver"]) as worker:
            await ready(worker)
            await write_actions(settings, [action("c1")])
            delivery = worker.apps["deliver"].role.deliveries["mail"]  # type: ignore[union-attr]
            await until(lambda: delivery.standing.said.state == "disabled")
        tried = len(receiver.got)
        async with working(settings, ["deliver"]) as worker:  # also after a restart
            app_ = worker.apps["deliver"]
            await until(lambda: "mail" in app_.health().waits_for)
            await write_actions(settings, [action("c1", 1)])
            assert len(receiver.got) == tried
            assert await asyncio.to_thread(list_endpoints, settings, json=True) == 1
            shown = json.loads("[" + capsys.readouterr().out.rpartition("[\n")[2])  # behind logs
            assert [(each["state"], each["why"]) for each in shown] == [("disabled", "status 410")]
            receiver.answer = lambda _: web.Response(status=200)
            assert await asyncio.to_thread(enable_endpoint, settings, "mail") == 0
            await until(lambda: len(receiver.got) >= tried + 2)
            await until(lambda: app_.health().lag == 0 and not app_.health().waits_for)
        assert by_customer(receiver.got[tried:]) == {"c1": [0, 1]}


@pytest.mark.asyncio
async def test_an_endpoint_that_fails_for_days_is_disabled(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    async with receiving() as receiver:
        settings = delivering_settings(
            app,
            mock_broker,
            valkey,
            endpoint("mail", receiver.url),
            webhook_disable_days=2.0 / 86_400.0,
        )
        receiver.answer = lambda _: web.Response(status=503)
        async with working(settings, ["deliver"]) as worker:
            await ready(worker)
            await write_actions(settings, [action("c1")])
            delivery = worker.apps["deliver"].role.deliveries["mail"]  # type: ignore[union-attr]
            await until(lambda: delivery.standing.said.state == "disabled")
        assert "503" in delivery.standing.said.why


@pytest.mark.asyncio
async def test_what_waits_for_long_goes_to_the_end_and_holds_back_no_commit(
    app: str, mock_broker: MockBroker, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.delivering.outbox.CARRY_SECONDS", 0.5)
    async with receiving() as receiver:
        settings = delivering_settings(app, mock_broker, valkey, endpoint("mail", receiver.url))
        now = time.time()
        (waiting,), (due,) = put_back([0], now + 3600.0), put_back([1], now)
        async with (
            Tail(settings, "actions.retry") as tail,
            working(settings, ["deliver"]) as worker,
        ):
            await ready(worker)
            await append(settings, "actions.retry", 0, waiting, due)
            await tail.until(lambda: len(tail.records["actions.retry"]) >= 3)
            await until(lambda: worker.apps["deliver"].health().lag == 1)
        assert [each.number for each in receiver.got] == [1]
        first, _, again = tail.records["actions.retry"]
        assert (again.key, again.value, again.headers) == (first.key, first.value, first.headers)


def put_back(numbers: Iterable[int], due: float, customer: str = "c1") -> list[Message]:
    """Make records of webhooks that failed once."""
    values = [orjson.dumps(action(customer, n).model_dump(mode="json")) for n in numbers]
    now = int(time.time() * 1000)
    letters = [of_action(0, LogRecord(0, now, customer.encode(), value)) for value in values]
    return [retry(letter, "mail", 1, due) for letter in letters if letter is not None]


@pytest.mark.asyncio
async def test_more_that_waits_than_is_done_is_not_written_again(
    app: str, mock_broker: MockBroker, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.delivering.outbox.CARRY_SECONDS", 0.5)
    async with receiving() as receiver:
        settings = delivering_settings(app, mock_broker, valkey, endpoint("mail", receiver.url))
        async with (
            Tail(settings, "actions.retry") as tail,
            working(settings, ["deliver"]) as worker,
        ):
            await ready(worker)
            outbox: Any = worker.apps["deliver"].role.deliveries["mail"].outbox  # type: ignore[union-attr]
            await append(settings, "actions.retry", 0, *put_back(range(3), time.time() + 3600.0))
            await append(settings, "actions.retry", 0, *put_back([3], time.time()))
            await until(lambda: len(receiver.got) == 1)
            looked = outbox._carried_at
            await until(lambda: outbox._carried_at > looked)
            await tail.read_all()
            assert len(tail.records["actions.retry"]) == 3 + 1
            await append(settings, "actions.retry", 0, *put_back([4, 5], time.time()))
            await tail.until(lambda: len(tail.records["actions.retry"]) >= 9)
            await until(lambda: worker.apps["deliver"].health().lag == 3)
        assert len(tail.records["actions.retry"]) == 3 + 1 + 2 + 3


@pytest.mark.asyncio
async def test_retries_that_are_due_together_leave_room_for_what_is_new(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    async with receiving() as receiver:
        settings = delivering_settings(
            app, mock_broker, valkey, endpoint("mail", receiver.url, concurrency=1)
        )
        async with working(settings, ["deliver"]) as worker:
            await ready(worker)
            outbox: Any = worker.apps["deliver"].role.deliveries["mail"].outbox  # type: ignore[union-attr]
            receiver.answer = lambda _: None
            due = time.time() + 3.0
            await append(settings, "actions.retry", 0, *put_back(range(400), due))
            await until(lambda: len(outbox._waiting) + len(receiver.got) >= 400)
            await until(lambda: len(receiver.got) > 0)
            assert len(outbox._lanes) == 8  # the others wait behind what is new
            await write_actions(settings, [action("new")])
            receiver.answer = lambda _: web.Response(status=204)
            receiver.let_go()
            await until(lambda: len(set(receiver.ids)) > 400)
        assert "new" in {each.customer for each in receiver.got}


@pytest.mark.real
@pytest.mark.asyncio
async def test_a_worker_that_is_killed_repeats_under_the_same_id_and_loses_nothing(
    app: str, real_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    async with receiving() as receiver:
        settings = delivering_settings(
            app, real_kafka, valkey, endpoint("mail", receiver.url, concurrency=4)
        )

        def answer(got: Got) -> web.Response:
            first = receiver.ids.count(got.webhook_id) <= 3
            return web.Response(status=500 if first and got.number % 10 == 9 else 200)

        receiver.answer = answer
        sent = [action(f"c{c}", n) for n in range(20) for c in range(20)]
        async with working(settings, ["deliver"]) as worker:
            await ready(worker)  # the group knows where it begins
        await write_actions(settings, sent)
        with Process(settings, tmp_path, ["deliver"]) as process:
            await until(lambda: process.alive() and len(set(receiver.ids)) > 0.4 * len(sent))
            process.kill()
        assert len(set(receiver.ids)) < len(sent)
        with Process(settings, tmp_path, ["deliver"]) as process:
            await until(
                lambda: process.alive() and {a.action_id for a in sent} <= set(taken(receiver))
            )
            assert process.stop() == 0
        assert set(receiver.ids) == {each.action_id for each in sent}
        assert len(receiver.ids) > len(sent)  # some came twice, and say so by their id
        for each in receiver.got:
            assert each.webhook_id == action(each.customer, each.number).action_id
        for numbers in firsts(receiver).values():
            assert numbers == sorted(numbers)
