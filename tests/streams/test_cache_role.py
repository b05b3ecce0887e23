"""The role `cache`: each topic that it names comes into Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from crm_online.log import LogRecord
from crm_online.settings import Settings
from crm_online.sinks.redis import Keys, connect
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.roles.cache import CacheRole
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


class Stream:
    """Batches of one record each, one behind the other; notes which were acknowledged."""

    def __init__(self, count: int) -> None:
        self.acks: list[int] = []
        self._count = count

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        for n in range(self._count):
            value = orjson.dumps(action("c-1", n).model_dump(mode="json"))
            records = [LogRecord(n, 1_000, b"c-1", value)]
            yield SimpleNamespace(
                value=SimpleNamespace(records=records), ack=lambda n=n: self.acks.append(n)
            )


@pytest.mark.asyncio
async def test_small_batches_are_written_together_and_acknowledged_in_order(
    app: str, valkey: Valkey
) -> None:
    settings = Settings(app=app, redis=SecretStr(valkey.url))
    role, stream = CacheRole(settings, _fail), Stream(60)
    await role.open()
    await role.run("actions", stream)  # before the writer gets a turn: nobody else is waited for

    async def all_written() -> bool:
        await asyncio.sleep(0)
        return len(stream.acks) == 60

    await until(all_written)
    assert stream.acks == list(range(60))
    assert role.figures().consumed == role.written == 60
    assert role.figures().batches <= 3
    await role.close()


@pytest.mark.asyncio
async def test_what_is_not_written_is_not_acknowledged(app: str, own_valkey: Valkey) -> None:
    settings = Settings(app=app, redis=SecretStr(own_valkey.url))
    role, stream = CacheRole(settings, _fail), Stream(3)
    own_valkey.kill()
    await role.open()
    await role.run("actions", stream)

    async def waits() -> bool:
        return role.waits_for == "the cache"

    await until(waits)
    await role.close()
    assert stream.acks == []


def _fail(error: BaseException) -> None:
    raise error
