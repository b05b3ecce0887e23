"""Bodies of the intake: read up to their limit and within their time, and unpacked."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect

from streams.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["read_body"]

GZIP: Final = 16 + zlib.MAX_WBITS
GZIP_BYTES: Final = 4096  # more than gzip adds to half a megabyte that it cannot make smaller


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """Return the body, unpacked, without ever holding much more than is allowed.

    Parameters
    ----------
    request
        Whose body nobody has read yet.
    most
        Bytes, unpacked.
    seconds
        How long the client may take to send it.

    Raises
    ------
    Problem
        413 where it is longer, 415 for an unknown encoding, 400 where it cannot be unpacked, 408
        where it takes too long, 499 where the client breaks off.
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in {"identity", "gzip"}:
        raise Problem(415, "unknown-encoding", "send the body as it is, or packed by gzip")
    parts = _unpacked(request, most) if encoding == "gzip" else request.stream()
    try:
        async with asyncio.timeout(seconds):
            return await _joined(parts, most)
    except TimeoutError:
        raise Problem(
            408,
            "too-slow",
            f"send the body within {seconds:g} seconds",
            {"connection": "close"},  # or it could go on forever
        ) from None
    except ClientDisconnect:  # nobody hears the answer, but it is counted
        raise Problem(499, "broken-off", "the client broke off") from None


async def _joined(parts: AsyncIterator[bytes], most: int) -> bytes:
    read, size = list[bytes](), 0
    async for part in parts:
        size += len(part)
        if size > most:
            raise _too_large(most)
        read.append(part)
    return b"".join(read)


async def _unpacked(request: Request, most: int) -> AsyncIterator[bytes]:
    unpack, size = zlib.decompressobj(GZIP), 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most + GZIP_BYTES:  # what unpacks to nothing has no end of its own
                raise _too_large(most)
            yield unpack.decompress(part, most + 1)  # what is left beyond that is too much
            if unpack.unused_data:
                raise _malformed("more follows the end of what gzip made")
    except zlib.error:
        raise _malformed("the body is not what gzip makes") from None
    if not unpack.eof:
        raise _malformed("the body ends in the middle")


def _too_large(most: int) -> Problem:
    return Problem(413, "too-large", f"send at most {most} bytes at once")


def _malformed(message: str) -> Problem:
    return Problem(400, "malformed-gzip", message)
