"""The role `cache`: each topic that it names comes into Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from crm_online.sinks.redis import Keys, connect
from streams.embedded import MockBroker, RealKafka, Valkey
from tests.receiving import action, write_actions
from tests.streams.job import job_settings, until, working


@pytest.mark.asyncio
async def test_actions_come_into_the_cache(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    settings = job_settings(app, broker, valkey)
    client: Any = connect(settings)

    async def held() -> Sequence[bytes]:
        found: Sequence[bytes] = await client.lrange(Keys(app).actions("c-1"), 0, -1)
        return found

    async def both() -> bool:
        return len(await held()) == 2

    async with working(settings, ["cache"]):
        await write_actions(settings, [action("c-1", 0), action("c-1", 1)])
        await until(both)
        assert [orjson.loads(each)["template"]["n"] for each in await held()] == ["1", "0"]
    await client.aclose()
