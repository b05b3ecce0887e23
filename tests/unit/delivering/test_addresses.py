"""No webhook reaches an internal address, however it is written or resolved."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from crm_online.endpoints import Endpoint
from streams.delivering.addresses import is_internal
from streams.delivering.posting import Answer, Poster
from tests.receiving import SECRET, endpoint, receiving

REFUSED = "an internal address was refused"
INTERNAL = (
    *("192.0.0.9", "192.0.0.10", "168.63.129.16"),
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::5db8:d822",
    "2002:7f00:1::",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
)
PUBLIC = ("93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1")


@pytest.mark.parametrize("address", INTERNAL)
def test_what_is_internal_is_known(address: str) -> None:
    assert is_internal(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_let_through(address: str) -> None:
    assert not is_internal(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_internal_also_where_ipv6_wraps_it(address: object) -> None:
    assert is_internal(f"::ffff:{address}") == is_internal(str(address))
    assert is_internal(f"64:ff9b::{address}") == is_internal(str(address))


class Guarded:
    """A server on loopback that counts who connects."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    def connected(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@asynccontextmanager
async def guarded() -> AsyncIterator[Guarded]:
    found = Guarded()
    server = await asyncio.start_server(found.connected, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


async def post(url: str, resolver: AbstractResolver | None = None, times: int = 1) -> list[Answer]:
    poster = Poster(
        Endpoint.model_validate({"name": "e", "url": url, "secrets": [SECRET]}), resolver
    )
    await poster.open()
    try:
        return [await poster.post("a1", b"{}") for _ in range(times)]
    finally:
        await poster.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0.0.0.0", "[::1]"],
)
async def test_an_internal_address_is_never_connected_to(host: str) -> None:
    async with guarded() as server:
        (answer,) = await post(f"https://{host}:{server.port}/hook")
        assert answer.why in {REFUSED, "InvalidUrlClientError"}
        assert server.connections == 0


class Rebound(AbstractResolver):
    """Knows no address at first, and an internal one from then on."""

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        if self.asked == 1:
            raise OSError("no such name")
        flags = socket.AI_NUMERICHOST
        return [
            ResolveResult(
                hostname=host, host=at, port=port, family=socket.AF_INET, proto=0, flags=flags
            )
            for at in ("127.0.0.1", "10.0.0.1")
        ]

    async def close(self) -> None:
        pass


@pytest.mark.asyncio
async def test_a_name_is_resolved_and_checked_anew_at_every_attempt() -> None:
    async with guarded() as server:
        resolver = Rebound()
        answers = await post(f"https://hook.example:{server.port}/", resolver, times=3)
        assert resolver.asked == 3
        assert [each.why for each in answers][1:] == [REFUSED, REFUSED]
        assert server.connections == 0


@pytest.mark.asyncio
async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as receiver, guarded() as inner:
        where = f"http://127.0.0.1:{inner.port}/"
        receiver.answer = lambda _: web.Response(status=307, headers={"location": where})
        given_ = Endpoint.model_validate(endpoint("e", receiver.url))
        poster = Poster(given_)
        await poster.open()
        body = b'{"data":{"customer_id":"c","template":{}}}'
        answer = await poster.post("a1", body)
        await poster.close()
        assert not answer.delivered
        assert "307" in answer.why
        assert inner.connections == 0
        assert len(receiver.got) == 1
