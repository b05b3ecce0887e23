"""Reads: what the cache holds, for those who may read it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
import pytest
from starlette.requests import HTTPConnection

from crm_online.log import Message
from crm_online.scores import Recommendations, ScoreUpdate, Source
from crm_online.settings import Settings
from crm_online.sinks.redis import CacheWriter, connect
from streams.embedded import MockBroker, Valkey
from streams.figures import RoleFigures
from streams.health import RoleHealth
from streams.web.access import Access
from streams.web.answers import AtRisk, Customer, Refused, SegmentPage
from streams.web.problems import Problem
from tests.web.serving import serving, web_settings

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def score(offset: int, customer: str, probability: float) -> Message:
    update = ScoreUpdate(
        score_id=f"s-{offset}",
        customer_id=customer,
        message_id=None,
        at=NOW,
        cause="event",
        source=Source(0, 0, offset),
        segment="champions",
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


def listing(offset: int, customer: str, model: str) -> Message:
    record = Recommendations(f"l-{offset}", customer, NOW, Source(0, 0, offset), [], model)
    return Message(customer.encode(), msgspec.json.encode(record))


async def fill(settings: Settings) -> None:
    client = connect(settings)
    customers = ["c-1", "c-2", "a/b?c=d&e", "{x}", "späße"]
    try:
        scores = [score(n, c, probability=n / 10) for n, c in enumerate([*customers, *customers])]
        lists = [listing(n, c, model="m") for n, c in enumerate(customers)]
        await CacheWriter(settings, client).write(scores, lists)
    finally:
        await client.aclose()


async def test_customers_lists_and_segments_are_read_as_documented(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey)
    await fill(settings)
    async with serving(settings) as client:
        for customer in ("c-1", "a/b?c=d&e", "{x}", "späße"):
            found = await client.get(f"/v1/customers/{quote(customer, safe='')}", "marketer")
            assert (found.status, found.body["customer_id"]) == (200, customer)
            Customer.model_validate(found.body)
            assert "scores_history" not in found.body
        whole = (await client.get("/v1/customers/c-1?history=true", "marketer")).body
        assert [each["score_id"] for each in whole["scores_history"]] == ["s-5", "s-0"]
        listed = await client.get("/v1/recommendations/c-1", "site")
        assert (listed.status, listed.body["list_id"]) == (200, "l-0")
        for path in ("/v1/customers/nobody", "/v1/recommendations/nobody"):
            missing = await client.get(path, "marketer")
            assert (missing.status, missing.body["code"]) == (404, "unknown-customer")

        seen, cursor = set[str](), 0
        while True:
            page = await client.get(f"/v1/segments/champions?cursor={cursor}&count=2", "marketer")
            read = SegmentPage.model_validate(page.body)
            seen |= {each.customer_id for each in read.customers}
            cursor = read.cursor
            if not cursor:
                break
        assert seen == {"c-1", "c-2", "a/b?c=d&e", "{x}", "späße"}
        unknown = await client.get("/v1/segments/nobodies", "marketer")
        assert (unknown.status, unknown.body["code"]) == (404, "unknown-segment")
        sizes = await client.get("/v1/segments", "watcher")
        assert sizes.body == {"segments": {"champions": 5}, "at_risk": 5}
        risky = AtRisk.model_validate((await client.get("/v1/at-risk?count=2", "marketer")).body)
        assert [each.customer_id for each in risky.customers] == ["späße", "{x}"]


class Broken:
    """A role whose own code fails."""

    def health(self) -> RoleHealth:
        raise ValueError

    def figures(self) -> RoleFigures:
        raise ValueError


async def test_every_error_has_one_form(app: str, mock_broker: MockBroker, valkey: Valkey) -> None:
    settings = web_settings(app, mock_broker, valkey)
    async with serving(settings, {"score": Broken()}) as client:
        for path, status, code in (
            ("/v1/at-risk?count=0", 422, "wrong-parameter"),
            ("/v1/segments/lost?cursor=x&count=y", 422, "wrong-parameter"),
            ("/v1/nowhere", 404, "not-found"),
            ("/nowhere.html", 404, "not-found"),
            ("/metrics", 500, "our-fault"),
        ):
            said = await client.get(path, "marketer")
            body = Refused.model_validate(said.body)
            assert (said.status, body.success, body.code) == (status, False, code), path
            assert body.message
        wrong = await client.get("/v1/segments/lost?cursor=x&count=y", "marketer")
        assert wrong.body["message"].startswith("cursor: ")
        assert "; count: " in wrong.body["message"]
        said = await client.post("/v1/segments", {})
        assert (said.status, said.body["code"]) == (405, "method-not-allowed")


PATHS = {
    "/v1/customers/c-1": "customers",
    "/v1/segments/lost": "customers",
    "/v1/at-risk": "customers",
    "/v1/recommendations/c-1": "recommendations",
    "/v1/segments": "figures",
    "/v1/figures": "figures",
}
MAY = {
    "watcher": {"figures"},
    "site": {"recommendations"},
    "marketer": {"figures", "recommendations", "customers"},
}


async def test_each_role_reads_what_it_may_and_nobody_reads_without_a_key(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey)
    await fill(settings)
    async with serving(settings) as client:
        for path, permission in PATHS.items():
            for role, permitted in MAY.items():
                said = await client.get(path, role)
                assert said.status == (200 if permission in permitted else 403), (path, role)
            assert (await client.get(path)).status == 401
            assert (await client.get(path, "nobodys-key")).status == 401
            basic = await client.get(path, authorization="Basic bWFya2V0ZXI6")
            assert (basic.status, basic.body["code"]) == (401, "unknown-api-key")


FOREIGN = (
    "evil.example",
    "evil{.example",  # no host by its letters, but a browser would ask for it
    "evil.example:80x",
    "127.0.0.1.evil.example",
    "127.0.0.1:80:80",
    "me@127.0.0.1",
    "",
)


async def test_without_keys_this_machine_reads_and_pages_of_others_do_not(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey, api_keys=[])
    async with serving(settings) as client:
        assert (await client.get("/v1/segments")).status == 200
        for own in ("127.0.0.1", "LOCALHOST:80", "[::1]:8080"):
            assert (await client.get("/v1/segments", host=own)).status == 200
        for other in FOREIGN:
            foreign = await client.get("/v1/segments", host=other)
            assert (foreign.status, foreign.body["code"]) == (403, "foreign-host"), other
        reader, asking = await asyncio.open_connection("127.0.0.1", settings.web_port)
        asking.write(b"GET /v1/segments HTTP/1.0\r\n\r\n")  # an old client, which names no host
        assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
        asking.close()
        await asking.wait_closed()


async def test_without_keys_nobody_reads_from_elsewhere(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    # No server: it would have to listen beyond this machine.
    settings = web_settings(app, mock_broker, valkey, api_keys=[], web_host="0.0.0.0")
    scope = {"type": "http", "headers": [(b"host", b"127.0.0.1")], "path": "/", "query_string": b""}
    with pytest.raises(Problem, match="CRM_API_KEYS"):
        Access(settings).require(HTTPConnection(scope), "figures")
