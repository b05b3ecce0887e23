"""The health endpoints and `/metrics`: what they say, and that a worker serves them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.settings import Settings
from streams.embedded import RealKafka, Valkey
from streams.embedded.server import free_ports
from streams.figures import RoleFigures
from streams.health import RoleHealth
from streams.processor import Processor
from streams.topics import create_missing
from streams.web.server import WebServer
from streams.web.worker import Asked
from streams.worker import Worker
from tests.streams.job import job_settings, population, send, until, working

pytestmark = pytest.mark.asyncio


class Role:
    """Says what the test wants it to."""

    def __init__(self) -> None:
        self.now = RoleHealth("running", 4, 17)

    def health(self) -> RoleHealth:
        return self.now

    def figures(self) -> RoleFigures:
        return RoleFigures()


def fail(error: BaseException) -> None:
    raise error


def server(port: int, host: str = "127.0.0.1", **roles: Role) -> WebServer:
    asked = Asked(asyncio.get_running_loop(), roles)
    return WebServer(Settings(web_host=host, web_port=port), asked, fail, None)


async def ask(port: int, question: str) -> tuple[int, Any]:
    def get() -> tuple[int, Any]:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health/{question}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    return await asyncio.to_thread(get)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[int, Role, Role]]:
    (port,) = free_ports(1)
    score, cache = Role(), Role()
    health = server(port, score=score, cache=cache)
    await health.start()
    yield port, score, cache
    await health.stop()


@pytest.mark.parametrize(
    ("state", "live", "ready"),
    [
        ("starting", 200, 503),
        ("joining", 200, 503),
        ("restoring", 200, 503),
        ("running", 200, 200),
        ("standby", 200, 200),
        ("waiting", 200, 503),
        ("lost", 200, 503),
        ("stalled", 503, 503),
    ],
)
async def test_each_state_says_whether_to_restart_and_whether_it_works(
    served: tuple[int, Role, Role], state: str, live: int, ready: int
) -> None:
    port, _, cache = served
    cache.now = RoleHealth(state, waits_for="the cache")
    assert (await ask(port, "live"))[0] == live
    status, said = await ask(port, "ready")
    assert status == ready
    assert said["ready"] == (ready == 200)
    assert said["roles"]["cache"]["state"] == state
    assert said["roles"]["cache"]["waits_for"] == "the cache"
    assert said["roles"]["score"]["lag"] == 17


async def test_a_taken_port_names_the_setting(served: tuple[int, Role, Role]) -> None:
    with pytest.raises(ConfigurationError, match="CRM_WEB_PORT"):
        await server(served[0]).start()


async def test_port_0_serves_nothing() -> None:
    health = server(0, "256.0.0.1")
    await health.start()
    await health.stop()


@pytest.mark.real
async def test_a_worker_is_ready_once_it_has_its_partitions_and_waits_for_a_cache_alive(
    app: str, real_kafka: RealKafka, own_valkey: Valkey
) -> None:
    (port,) = free_ports(1)
    settings = job_settings(app, real_kafka, own_valkey, web_port=port)
    async with working(settings):

        async def ready() -> bool:
            return (await ask(port, "ready"))[0] == 200

        await until(ready)
        _, said = await ask(port, "ready")
        states = {name: role["state"] for name, role in said["roles"].items()}
        assert states == dict.fromkeys(("score", "learn", "cache"), "running")
        assert said["roles"]["score"]["partitions"] == settings.partitions
        own_valkey.kill()
        await send(population(), settings, None)

        async def waits() -> bool:
            cache = (await ask(port, "ready"))[1]["roles"]["cache"]
            return bool(cache["state"] == "waiting" and cache["waits_for"] == "the cache")

        await until(waits)
        assert (await ask(port, "live"))[0] == 200
        assert not await ready()
        await asyncio.to_thread(own_valkey.start)
        await until(ready)


async def test_a_role_that_stands_still_ends_and_says_where_its_tasks_wait(
    app: str, real_kafka: RealKafka, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()

    async def hang(*_: object) -> None:
        await released.wait()

    monkeypatch.setattr(Processor, "_apply", hang)
    settings = job_settings(app, real_kafka, valkey, stall_seconds=3.0)
    await asyncio.to_thread(create_missing, settings)
    worker = Worker(settings, ["score"])
    with capture_logs() as logs:
        async with worker.running():
            await send(population(), settings, None)
            with pytest.raises(BrokerUnavailable, match="score has stood still"):
                await asyncio.wait_for(worker.failure(), 60)
            released.set()
    told = [log["where"] for log in logs if log["event"] == "a task waits"]
    assert any("processor.py" in where and "hang" in where for where in told)
    assert any("group_coordinator.py" in where for where in told)
