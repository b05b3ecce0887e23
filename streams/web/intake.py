"""The intake: `POST /v1/{track,identify,page,screen,group,alias,batch}`, as Segment has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from streams.web.answers import Accepted, Refused
from streams.web.bodies import read_body
from streams.web.limits import Rate
from streams.web.lots import BATCH_BYTES, BATCH_EVENTS, TYPES, Lot, make_lot, take_apart
from streams.web.problems import Problem, answer

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.web.access import Access
    from streams.web.counting import Tally
    from streams.web.writing import EventWriter

__all__ = ["Intake"]

SHOWN: Final = 100
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": Refused, "description": "Nothing in it can be taken."},
    401: {"model": Refused, "description": "The write key is not known."},
    408: {"model": Refused, "description": "The body took too long to come."},
    413: {"model": Refused, "description": "Too many bytes or events."},
    415: {"model": Refused, "description": "The encoding is not known."},
    429: {"model": Refused, "description": "Too much at once: wait for `retry-after` seconds."},
    503: {"model": Refused, "description": "Kafka is away: send it again."},
}


class Intake:
    """Takes events.

    Parameters
    ----------
    settings
        Of the whole program.
    access
        Knows the write keys.
    writer
        Writes to Kafka.
    tally
        What counts.
    body_seconds
        How long a client may take to send a body.
    """

    def __init__(
        self,
        settings: Settings,
        access: Access,
        writer: EventWriter,
        tally: Tally,
        body_seconds: float,
    ) -> None:
        self._settings = settings
        self._access = access
        self._writer = writer
        self._tally = tally
        self._body_seconds = body_seconds
        self._batch = asyncio.Lock()  # one is made at a time: what is not yet under way is bounded
        self._rate = Rate(
            settings.intake_events_per_second, least=BATCH_EVENTS, clock=time.monotonic
        )

    def router(self) -> APIRouter:
        """Make the routes."""
        router = APIRouter(prefix="/v1", tags=["intake"])
        for kind in (*TYPES, "batch"):
            router.add_api_route(
                f"/{kind}",
                self._endpoint(kind),
                methods=["POST"],
                name=kind,
                summary=f"Take {'events' if kind == 'batch' else f'one {kind} event'}",
                operation_id=kind,
                response_class=Response,
                responses={200: {"model": Accepted, "description": "Kafka has it."}, **REFUSALS},
                openapi_extra={"security": [{"writeKey": []}], "requestBody": _body(kind)},
            )
        return router

    def _endpoint(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        most = BATCH_BYTES if kind == "batch" else self._settings.max_event_bytes

        async def take(request: Request) -> Response:
            key = self._access.writer(request)
            body = await read_body(request, most, self._body_seconds)
            trace = request.headers.get("traceparent", "").encode("latin-1")
            return await self._take(key, body, kind, trace)

        return take

    async def _take(self, key: bytes, body: bytes, kind: str, trace: bytes) -> Response:
        sent = take_apart(body, kind)
        wait = self._rate.wait(key, len(sent.events))  # what is no event takes work, too
        if wait:
            raise Problem(
                429,
                "too-fast",
                "this write key sends more than CRM_INTAKE_EVENTS_PER_SECOND: try later",
                {"retry-after": str(wait)},
            )
        async with self._batch if kind == "batch" else nullcontext():
            now = round(time.time(), 3)
            partitions = self._writer.partitions or 1  # 1: Kafka was never there: `write` says so
            lot = await make_lot(sent, self._settings, partitions, now, trace)
        for rejected in lot.rejected:
            self._tally.rejected.labels(rejected.reason).inc()
        if not lot.taken:
            raise Problem(400, lot.rejected[0].reason, lot.rejected[0].message, **_told(lot))
        await self._writer.write(lot.taken)
        self._tally.events.inc(len(lot.taken))
        return answer({"success": True, "accepted": len(lot.taken), **_told(lot)})


def _told(lot: Lot) -> dict[str, Any]:
    shown = lot.rejected[:SHOWN]
    return {"rejected": [{"index": p, "reason": r, "message": m} for p, r, m in shown]}


def _body(kind: str) -> dict[str, Any]:
    name = "Batch" if kind == "batch" else "Event"
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"required": True, "content": {"application/json": {"schema": schema}}}
