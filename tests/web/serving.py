"""The role `web` as it is served: in its thread, on a port of its own."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.embedded.server import free_ports
from streams.reporting import Reported
from streams.roles.web import WebRole
from streams.topics import create_missing
from streams.web.connections import Bounds
from streams.web.server import WebServer
from streams.web.worker import Asked
from tests.streams.job import job_settings, until

WRITE_KEY = "write-key-of-the-shop"
KEYS = {role: f"{role}-has-this-key" for role in ("watcher", "site", "marketer")}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """Asks one server."""

    def __init__(self, session: aiohttp.ClientSession, base: str, role: WebRole) -> None:
        self.session = session
        self.base = base
        self.role = role

    async def get(self, path: str, key: str | None = None, **headers: str) -> Answer:
        if key is not None:
            headers["authorization"] = f"Bearer {KEYS.get(key, key)}"
        async with self.session.get(self.base + path, headers=headers) as response:
            return await _answer(response)

    async def post(
        self,
        path: str,
        body: Any,
        *,
        key: str = WRITE_KEY,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        login = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        sent = {"content-type": "application/json", "authorization": login, **(headers or {})}
        async with self.session.post(self.base + path, data=data, headers=sent) as response:
            return await _answer(response)


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    raw = await response.read()
    is_json = response.content_type == "application/json"
    return Answer(response.status, response.headers, json.loads(raw) if is_json else raw.decode())


def web_settings(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey, **more: object
) -> Settings:
    (port,) = free_ports(1)
    keys = [f"{role}:{key}" for role, key in KEYS.items()]
    given = {"web_port": port, "write_keys": [WRITE_KEY], "api_keys": keys}
    return job_settings(app, broker, valkey, **(given | more))


@asynccontextmanager
async def serving(
    settings: Settings,
    roles: Mapping[str, Reported] | None = None,
    *,
    wait: bool = True,
    bounds: Bounds | None = None,
) -> AsyncIterator[Client]:
    """Serve the role and nothing else of a worker; fails with what went wrong in it."""
    if settings.declare_topics:
        await asyncio.to_thread(create_missing, settings)
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    role = WebRole()
    asked = Asked(asyncio.get_running_loop(), {**(roles or {}), "web": role})
    server = WebServer(settings, asked, failed.set_exception, role, bounds)
    await server.start()
    base = f"http://127.0.0.1:{settings.web_port}"
    try:
        async with aiohttp.ClientSession() as session:
            client = Client(session, base, role)

            async def runs() -> bool:
                return failed.done() or role.state == "running"

            if wait:
                await until(runs)
            yield client
        if failed.done():
            failed.result()
        failed.cancel()
    finally:
        await server.stop()
