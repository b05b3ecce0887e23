"""The dashboard's figures, made once for all who look, and sent to each as server-sent events."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from streams.web.answers import Figures
from streams.web.problems import JSON, Problem
from streams.web.reads import REFUSALS
from streams.web.sizes import CacheSizes

if TYPE_CHECKING:
    from crm_online.sinks.redis import CacheReader
    from streams.roles.web import WebRole
    from streams.web.access import Access
    from streams.web.board import Board
    from streams.web.counting import Tally

__all__ = ["LiveFigures"]

SECONDS: Final = 1.0
MOST: Final = 5_000
EVENT: Final = b"event: figures\ndata: %s\n\n"


class LiveFigures:
    """Sends the figures to whoever looks.

    Parameters
    ----------
    board
        From ``crm.metrics``.
    reader
        Of the cache, asked for the sizes of segments.
    access
        Knows the API keys.
    tally
        Counts who looks.
    role
        Says when to send everybody home.
    """

    def __init__(
        self, board: Board, reader: CacheReader, access: Access, tally: Tally, role: WebRole
    ) -> None:
        self._board = board
        self._sizes = CacheSizes(reader)
        self._access = access
        self._tally = tally
        self._role = role
        self._looking = 0
        self._making = asyncio.Lock()
        self._made, self._json = -math.inf, b""
        self._next: asyncio.Future[bytes] | None = None

    def router(self) -> APIRouter:
        """Make the routes."""
        router = APIRouter(prefix="/v1", tags=["figures"])
        options: dict[str, Any] = {
            "methods": ["GET"],
            "response_class": Response,
            "response_model": None,
            "openapi_extra": {"security": [{"apiKey": []}]},
        }
        router.add_api_route(
            "/figures",
            self.figures,
            name="figures",
            operation_id="figures",
            summary="What the dashboard shows",
            responses={200: {"model": Figures}, **REFUSALS},
            **options,
        )
        router.add_api_route(
            "/figures/stream",
            self.stream,
            name="figures_stream",
            operation_id="figures_stream",
            summary="The same, every second, as server-sent events",
            responses={200: {"content": {"text/event-stream": {}}}, **REFUSALS},
            **options,
        )
        return router

    async def run(self) -> None:
        """Make the figures every second while somebody looks, until cancelled."""
        try:
            while True:
                await asyncio.sleep(SECONDS)
                if self._next is not None:
                    following, event = self._next, EVENT % await self._newest()
                    self._next = None
                    following.set_result(event)
        finally:
            await self._sizes.close()

    async def figures(self, request: Request) -> Response:
        """Answer with the figures of the last second."""
        self._access.require(request, "figures")
        return Response(await self._newest(), media_type=JSON)

    async def stream(self, request: Request) -> Response:
        """Answer with the figures of the last second, and those that follow."""
        self._access.require(request, "figures")
        if self._looking >= MOST:
            raise Problem(
                503, "too-many-dashboards", "too many dashboards are open", {"retry-after": "60"}
            )
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._events(), 200, headers, "text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        self._looking += 1
        self._tally.connections.set(self._looking)
        try:
            yield EVENT % await self._newest()
            while not self._role.stopping:
                if self._next is None:
                    self._next = asyncio.get_running_loop().create_future()
                yield await asyncio.shield(self._next)
        finally:
            self._looking -= 1
            self._tally.connections.set(self._looking)

    async def _newest(self) -> bytes:
        """Return the figures of the last second as JSON; who asks while they are made waits."""
        async with self._making:
            now = time.monotonic()
            if now - self._made >= SECONDS:
                figures = self._board.figures()
                self._json = orjson.dumps(figures | {"cache": await self._sizes.now()})
                self._made = now
            return self._json
