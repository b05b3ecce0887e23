"""What the OpenAPI document allows, and much beside it, causes no server error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error

from streams.embedded import MockBroker, Valkey
from streams.web.application import openapi_document
from tests.web.serving import KEYS, WRITE_KEY, serving, web_settings

document = openapi_document()
del document["paths"]["/v1/figures/stream"]  # it does not end
for kind in ("page", "screen", "group", "alias"):  # one handler serves them all
    del document["paths"][f"/v1/{kind}"]
schema = schemathesis.openapi.from_dict(document)


@pytest.fixture(scope="module")
def base(mock_broker: MockBroker, valkey_server: Valkey) -> Iterator[str]:
    """Serve the role for all examples, from a loop in a thread."""
    given = web_settings("schemathesis", mock_broker, valkey_server)
    begun, end = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving(given):
            begun.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert begun.wait(60)
    yield f"http://127.0.0.1:{given.web_port}"
    end.set()
    thread.join(30)


@schema.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_nothing_causes_a_server_error(case: Any, base: str) -> None:
    by_key = case.operation.definition.raw["security"][0]
    if "apiKey" in by_key:
        given: dict[str, Any] = {"headers": {"authorization": f"Bearer {KEYS['marketer']}"}}
    else:
        given = {"auth": (WRITE_KEY, "")}
    case.call_and_validate(base_url=base, checks=[not_a_server_error], **given)
