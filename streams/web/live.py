"""The dashboard's figures, made once for all who look, and sent to each as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from crm_online.errors import ConfigurationError, SinkUnavailable
from streams.web.answers import Figures
from streams.web.problems import Problem, answer
from streams.web.reads import REFUSALS

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
        self._reader = reader
        self._access = access
        self._tally = tally
        self._role = role
        self._looking = 0
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
        while True:
            await asyncio.sleep(SECONDS)
            if self._next is not None:
                following, event = self._next, EVENT % orjson.dumps(await self._now())
                self._next = None
                following.set_result(event)

    async def figures(self, request: Request) -> Response:
        """Answer with the figures as of now."""
        self._access.require(request, "figures")
        return answer(await self._now())

    async def stream(self, request: Request) -> Response:
        """Answer with the figures as of now, and those that follow."""
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
            yield EVENT % orjson.dumps(await self._now())
            while not self._role.stopping:
                if self._next is None:
                    self._next = asyncio.get_running_loop().create_future()
                yield await asyncio.shield(self._next)
        finally:
            self._looking -= 1
            self._tally.connections.set(self._looking)

    async def _now(self) -> dict[str, Any]:
        try:
            segments, at_risk = await self._reader.sizes()
            cache: dict[str, Any] = {"segments": segments, "at_risk": at_risk}
        except (SinkUnavailable, ConfigurationError) as error:
            cache = {"away": str(error)}
        return self._board.figures(time.time()) | {"cache": cache}
