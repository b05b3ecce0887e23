"""Bodies of requests: nothing that a client sends is held without end."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Iterable

import pytest
from starlette.requests import Request
from starlette.types import Message

from streams.web.bodies import read_body
from streams.web.problems import Problem

pytestmark = pytest.mark.asyncio

MOST = 500_000
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # of deflate: it stands for nothing, and more may follow


class Parts:
    """A body as a server hands it on, and how many of its parts were asked for."""

    def __init__(self, parts: Iterable[bytes], encoding: str = "gzip") -> None:
        self.asked = 0
        self._parts = iter(parts)
        self.request = Request(
            {"type": "http", "headers": [(b"content-encoding", encoding.encode())]}, self._receive
        )

    async def _receive(self) -> Message:
        self.asked += 1
        part = next(self._parts, None)
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def read(self) -> bytes:
        return await read_body(self.request, MOST, 60.0)

    async def refused(self) -> tuple[int, str]:
        with pytest.raises(Problem) as caught:
            await self.read()
        return caught.value.status, caught.value.code


async def test_a_body_is_unpacked_however_it_is_cut_into_parts() -> None:
    body = (
        bytes(range(256)) * 1_900
    )  # as long as is allowed, nearly, and in random order no shorter
    packed = gzip.compress(body)
    for size in (1_000, 65_536, len(packed)):
        parts = [packed[at : at + size] for at in range(0, len(packed), size)]
        assert await Parts(parts).read() == body
    assert await Parts([b"ab", b"c"], "identity").read() == b"abc"


async def test_what_gzip_cannot_make_smaller_may_be_as_long_as_is_allowed() -> None:
    packer = zlib.compressobj(0, wbits=31)
    assert len(await Parts([packer.compress(b"x" * MOST) + packer.flush()]).read()) == MOST


@pytest.mark.parametrize("more", [b"x" * 65_536, gzip.compress(b"{}", mtime=0)], ids=len)
async def test_what_follows_the_end_of_gzip_is_refused_at_once(more: bytes) -> None:
    packed = gzip.compress(b"{}")
    assert await Parts([packed + more]).refused() == (400, "malformed-gzip")
    endless = Parts(itertools.chain([packed], itertools.repeat(more)))
    assert await endless.refused() == (400, "malformed-gzip")
    assert endless.asked == 2


async def test_what_unpacks_to_nothing_has_an_end() -> None:
    head = gzip.compress(b"")[:10]
    endless = Parts(itertools.chain([head], itertools.repeat(EMPTY_BLOCK * 1_000)))
    assert await endless.refused() == (413, "too-large")
    assert endless.asked < 110


@pytest.mark.parametrize("missing", [1, 4, 8, 9])
async def test_a_body_that_lacks_its_end_is_refused(missing: int) -> None:
    packed = gzip.compress(b'{"batch": []}' * 100)
    assert await Parts([packed[:-missing]]).refused() == (400, "malformed-gzip")


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(Problem) as caught:
        await read_body(Request({"type": "http", "headers": []}, never), MOST, 0.01)
    assert (caught.value.status, caught.value.code) == (408, "too-slow")
