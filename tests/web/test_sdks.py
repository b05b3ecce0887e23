"""Clients that people have work unchanged, with nothing but the host set."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from streams.embedded import MockBroker, RealKafka, Valkey
from tests.streams.job import Tail
from tests.web.serving import WRITE_KEY, serving, web_settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of their own imports
    from rudderstack.analytics.client import Client as RudderStack
    from segment.analytics.client import Client as Segment

pytestmark = pytest.mark.asyncio


def use(client: Any) -> None:
    client.identify("c-1", {"email": "someone@example.org"})
    client.track("c-1", "Product Viewed", {"product_id": "p-1", "price": 9.5})
    client.page("c-1", "Home", "Home", {"url": "https://shop.example/"})
    client.screen("c-1", "Home", "Home")
    client.group("c-1", "g-1", {"name": "Group"})
    client.alias("a-1", "c-1")
    client.flush()
    client.join()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda host, fail: Segment(WRITE_KEY, host=host, on_error=fail), id="segment"),
        pytest.param(
            lambda host, fail: Segment(WRITE_KEY, host=host, gzip=True, on_error=fail),
            id="segment-gzip",
        ),
        pytest.param(
            lambda host, fail: RudderStack(WRITE_KEY, host=host, on_error=fail), id="rudderstack"
        ),
    ],
)
async def test_a_client_sends_all_six_types(
    make: Callable[[str, Any], Any], app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    settings, failures = web_settings(app, broker, valkey), list[Any]()
    async with serving(settings) as client:
        sdk = make(client.base, lambda *error: failures.append(error))
        await asyncio.to_thread(use, sdk)
        async with Tail(settings, "events") as tail:
            await tail.read_all()
    assert failures == []
    events = [json.loads(record.value) for record in tail.records["events"]]
    assert sorted(event["type"] for event in events) == sorted(
        ["identify", "track", "page", "screen", "group", "alias"]
    )
    assert {record.key for record in tail.records["events"]} == {b"c-1"}
