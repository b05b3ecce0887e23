"""Connections: clients that are slow, silent, too many or gone take nothing from the others."""

from __future__ import annotations

import asyncio
import base64
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from crm_online.settings import Settings
from streams.embedded import MockBroker, Valkey
from streams.web.connections import SPARE, Bounds, raise_file_limit
from tests.streams.job import until
from tests.web.serving import WRITE_KEY, serving, web_settings

pytestmark = pytest.mark.asyncio

LOGIN = base64.b64encode(f"{WRITE_KEY}:".encode())
BEGUN = (
    b"POST /v1/track HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic %s\r\n"
    b"content-length: 1000\r\n\r\n{" % LOGIN
)
SOON = 30.0  # seconds, on a busy machine; without an end of our own it would be never


@pytest.fixture
def settings(app: str, mock_broker: MockBroker, valkey: Valkey) -> Settings:
    return web_settings(app, mock_broker, valkey)


@asynccontextmanager
async def connected(
    settings: Settings,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", settings.web_port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answered(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the other side closes."""
    said = b""
    with suppress(ConnectionResetError):
        async with asyncio.timeout(SOON):
            while part := await reader.read(65_536):
                said += part
    return said


@pytest.mark.parametrize("begun", [b"", b"GET /health/live HTTP/1.1\r\nhost: localh"])
async def test_who_says_nothing_more_is_cut_off(settings: Settings, begun: bytes) -> None:
    async with (
        serving(settings, bounds=Bounds(seconds=1)) as client,
        connected(settings) as (reader, writer),
    ):
        writer.write(begun)
        assert await answered(reader) == b""
        assert (await client.get("/health/live")).status == 200


@pytest.mark.parametrize(
    ("begun", "answer"),
    [
        (b"GET / HTTP/1.1\r\nx: ", b""),
        (BEGUN.replace(LOGIN, b"Og=="), b"HTTP/1.1 401 "),  # answered before the body is there
    ],
)
async def test_what_drips_is_cut_off(settings: Settings, begun: bytes, answer: bytes) -> None:
    async with serving(settings, bounds=Bounds(seconds=1)), connected(settings) as (reader, writer):
        ended = asyncio.ensure_future(answered(reader))
        writer.write(begun)
        while not ended.done():
            writer.write(b"x")
            await asyncio.wait([ended], timeout=0.1)
        assert (await ended).startswith(answer)


async def test_a_body_that_does_not_come_is_answered_and_ends_the_connection(
    settings: Settings,
) -> None:
    async with serving(settings, bounds=Bounds(seconds=1)), connected(settings) as (reader, writer):
        writer.write(BEGUN)
        said = await answered(reader)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"too-slow"' in said


async def test_who_breaks_off_is_no_error_of_ours(settings: Settings) -> None:
    async with serving(settings) as client:
        async with connected(settings) as (_, writer):
            writer.write(BEGUN)
            await writer.drain()
        counted = 'crm_http_requests_total{route="/v1/track",status="%s"} 1.0'

        async def noticed() -> bool:
            return counted % 499 in (await client.get("/metrics")).body

        await until(noticed)
        assert counted % 500 not in (await client.get("/metrics")).body


async def test_too_many_connections_are_told_so_and_far_too_many_are_not_held(
    settings: Settings,
) -> None:
    async with serving(settings, bounds=Bounds(connections=4)) as client:
        async with AsyncExitStack() as open_:
            for _ in range(4):
                await open_.enter_async_context(connected(settings))
            assert (await client.get("/health/live")).status == 503
            for _ in range(SPARE):
                await open_.enter_async_context(connected(settings))
            reader, _ = await open_.enter_async_context(connected(settings))
            assert await answered(reader) == b""

        async def free() -> bool:
            return (await client.get("/health/live")).status == 200

        await until(free)


async def test_as_many_files_may_be_open_as_the_system_lets_us() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = 512
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        raised = raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (raised, hard)
        assert raised > low or hard == low
        assert raise_file_limit() == raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
