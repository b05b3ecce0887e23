"""The app of a worker with the role `web`, and its OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from crm_online import __version__
from crm_online.sinks.redis import CacheReader, connect
from streams.configuration import only
from streams.roles.tasks import Tasks
from streams.roles.web import WebRole
from streams.web.access import Access
from streams.web.board import Board
from streams.web.counting import Counting, Tally
from streams.web.following import follow
from streams.web.intake import Intake
from streams.web.live import LiveFigures
from streams.web.metrics import registry
from streams.web.openapi import document
from streams.web.operations import operations_routes
from streams.web.problems import Problem, answer_problem
from streams.web.reads import Reads
from streams.web.worker import Asked
from streams.web.writing import EventWriter

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["openapi_document", "whole_app"]

CACHE_SECONDS: Final = 1.0  # a person waits
PAGES: Final = Path(__file__).with_name("pages")
DESCRIPTION: Final = (
    "Events in as Segment's HTTP API has them; scores, segments and recommendations out of the "
    "cache. Made from the pydantic models of the program."
)
# The page takes nothing from elsewhere, and nobody puts it into a frame.
SAFE: Final = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def whole_app(
    settings: Settings,
    worker: Asked,
    role: WebRole,
    stop: Callable[[BaseException], None],
    body_seconds: float,
) -> Any:
    """Make the app: intake, reads, figures, dashboard, health and metrics.

    Parameters
    ----------
    settings
        Of the whole program.
    worker
        What the roles know.
    role
        Told how the role is.
    stop
        Called with what went wrong for good.
    body_seconds
        How long a client may take to send a body.
    """
    app, tally = _build(settings, worker, role, stop, body_seconds)
    return Counting(app, tally)


def _build(
    settings: Settings,
    worker: Asked,
    role: WebRole,
    stop: Callable[[BaseException], None],
    body_seconds: float,
) -> tuple[FastAPI, Tally]:
    client, counted = connect(settings, CACHE_SECONDS), registry()
    access, tally = Access(settings), Tally(counted)
    board = Board(unreadable=tally.unreadable.inc)
    reader = CacheReader(settings, client, retries=1)
    writer, live = EventWriter(settings, role), LiveFigures(board, reader, access, tally, role)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = Tasks(stop)
        for work in (writer.run(), follow(settings, board, stop), live.run()):
            tasks.begin(work)
        yield
        await tasks.end()
        await client.aclose()

    app = FastAPI(
        title="crm-online",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer_problem)
    intake = Intake(settings, access, writer, tally, body_seconds)
    for each in (intake, Reads(reader, access), live):
        app.include_router(each.router())
    app.router.routes += operations_routes(worker, counted)
    app.mount("/", _Pages(directory=PAGES, html=True), name="pages")
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # as FastAPI tells to
    return app, tally


class _Pages(StaticFiles):
    async def get_response(self, path: str, scope: Any) -> Response:
        found = await super().get_response(path, scope)
        found.headers.update(SAFE)
        return found


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document, without serving anything."""
    loop = asyncio.new_event_loop()
    try:
        settings = only()
        made, _ = _build(settings, Asked(loop, {}), WebRole(), lambda _: None, 1.0)
        return made.openapi()
    finally:
        loop.close()
