"""A way to a server that can go dead or be refused, as networks and proxies do it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

__all__ = ["Gate", "gate"]


class Gate:
    """Passes bytes on, both ways, for as long as it is open."""

    def __init__(self, to: str) -> None:
        self._to = urlsplit(to)
        self._open = asyncio.Event()
        self._open.set()
        self._answer: bytes | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.address = ""

    def freeze(self) -> None:
        """Pass nothing on, and close nothing: nobody is told."""
        self._open.clear()

    def thaw(self) -> None:
        """Pass on again what came and comes."""
        self._open.set()

    def refuse(self, status: str, *headers: str) -> None:
        """Break off what is under way, and answer all that comes as a proxy would."""
        head = [f"HTTP/1.1 {status}", "content-type: text/html", "connection: close", *headers]
        self._answer = "\r\n".join([*head, "", "<p>no</p>"]).encode()
        for writer in self._writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            if self._answer is not None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer)
                await writer.drain()
                return
            there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
            self._writers.append(back)
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        except (OSError, asyncio.IncompleteReadError):  # either side has gone
            pass
        finally:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def end(self) -> None:
        self.thaw()
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def gate(to: str) -> AsyncIterator[Gate]:
    """Stand before a server."""
    made = Gate(to)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await made.end()
        await server.wait_closed()
