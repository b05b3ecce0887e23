"""What every worker serves: `/health/live`, `/health/ready` and `/metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streams.health import said
from streams.web.metrics import CONTENT_TYPE, registry, text

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from streams.web.worker import Asked

__all__ = ["operations_app", "operations_routes"]


def operations_routes(worker: Asked, counted: CollectorRegistry) -> list[Route]:
    """Make the routes that operators ask.

    Parameters
    ----------
    worker
        What the roles know.
    counted
        What HTTP counts by itself.
    """

    async def answer(question: str) -> Response:
        reports = await worker.reports()
        met, body = said(question, {name: report.health for name, report in reports.items()})
        return JSONResponse(body, 200 if met else 503)

    async def live(_: Request) -> Response:
        return await answer("live")

    async def ready(_: Request) -> Response:
        return await answer("ready")

    async def metrics(_: Request) -> Response:
        return Response(text(await worker.reports(), counted), media_type=CONTENT_TYPE)

    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", metrics),
    ]


def operations_app(worker: Asked) -> Starlette:
    """Make the app of a worker without the role `web`.

    Parameters
    ----------
    worker
        What the roles know.
    """
    return Starlette(routes=operations_routes(worker, registry()))
