"""Reads from the cache: one customer, their list, a segment page by page, those at risk."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Path, Query
from orjson import Fragment
from starlette.requests import Request
from starlette.responses import Response

from crm_online.contract.records import Recommendations
from crm_online.errors import ConfigurationError, SinkUnavailable
from crm_online.models.segments import SEGMENTS
from streams.web.answers import AtRisk, Customer, Refused, SegmentPage, Segments
from streams.web.problems import Problem, answer

if TYPE_CHECKING:
    from crm_online.sinks.redis import CacheReader
    from streams.web.access import Access

__all__ = ["Reads", "cached"]

Found = TypeVar("Found")

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Refused, "description": "The API key is not known."},
    403: {"model": Refused, "description": "The role of the API key does not permit this."},
    503: {"model": Refused, "description": "Redis is away."},
}
MISSING: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": Refused, "description": "The cache holds nothing of it."}
}
WRONG: Final[dict[int | str, dict[str, Any]]] = {
    422: {"model": Refused, "description": "A parameter is wrong."}
}
CustomerId = Annotated[str, Path(description="Customer id; encode what is special in an address.")]
Count = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]


async def cached(asked: Awaitable[Found]) -> Found:
    """Wait for an answer of the cache.

    Raises
    ------
    Problem
        503 where Redis is away or refuses us.
    """
    try:
        return await asked
    except (SinkUnavailable, ConfigurationError) as error:
        raise Problem(503, "cache-away", str(error), {"retry-after": "2"}) from error


class Reads:
    """Answers what marketing, shops and support ask.

    Parameters
    ----------
    reader
        Of the cache.
    access
        Knows the API keys.
    """

    def __init__(self, reader: CacheReader, access: Access) -> None:
        self._reader = reader
        self._access = access

    def router(self) -> APIRouter:
        """Make the routes."""
        router = APIRouter(prefix="/v1", tags=["reads"])
        one = MISSING | WRONG
        routes: list[tuple[str, Any, type, dict[int | str, dict[str, Any]], str]] = [
            ("/customers/{customer:path}", self.customer, Customer, one, "One customer"),
            (
                "/recommendations/{customer:path}",
                self.recommendations,
                Recommendations,
                one,
                "The newest list for one customer",
            ),
            ("/segments", self.segments, Segments, {}, "Sizes of all segments"),
            ("/segments/{name}", self.segment, SegmentPage, one, "A page of one segment"),
            ("/at-risk", self.at_risk, AtRisk, WRONG, "Those most likely to leave"),
        ]
        for path, endpoint, model, more, summary in routes:
            router.add_api_route(
                path,
                endpoint,
                methods=["GET"],
                name=endpoint.__name__,
                summary=summary,
                operation_id=endpoint.__name__,
                response_class=Response,
                response_model=None,
                responses={200: {"model": model}, **REFUSALS, **more},
                openapi_extra={"security": [{"apiKey": []}]},
            )
        return router

    async def customer(
        self,
        request: Request,
        customer: CustomerId,
        history: Annotated[bool, Query(description="With the newest 50 of each.")] = False,  # noqa: FBT002 - a query has names
    ) -> Response:
        """Answer with everything the cache holds of one customer."""
        self._access.require(request, "customers")
        found = await cached(self._reader.customer(customer, history=history, read=Fragment))
        return answer(_there(found))

    async def recommendations(self, request: Request, customer: CustomerId) -> Response:
        """Answer with the newest list for one customer."""
        self._access.require(request, "recommendations")
        return answer(_there(await cached(self._reader.recommendations(customer, read=Fragment))))

    async def segments(self, request: Request) -> Response:
        """Answer with the sizes of all segments."""
        self._access.require(request, "figures")
        segments, at_risk = await cached(self._reader.sizes())
        return answer({"segments": segments, "at_risk": at_risk})

    async def segment(
        self,
        request: Request,
        name: Annotated[str, Path(description="Such as champions.")],
        cursor: Annotated[
            int, Query(ge=0, lt=2**64, description="0 first, then what the page before says.")
        ] = 0,
        count: Count = 100,
    ) -> Response:
        """Answer with one page of a segment."""
        self._access.require(request, "customers")
        if name not in SEGMENTS:
            raise Problem(404, "unknown-segment", f"name one of {', '.join(SEGMENTS)}")
        page = await cached(self._reader.segment(name, cursor, count))
        return answer({"segment": name, "customers": page.customers, "cursor": page.cursor})

    async def at_risk(self, request: Request, count: Count = 100) -> Response:
        """Answer with those most likely to leave."""
        self._access.require(request, "customers")
        return answer({"customers": await cached(self._reader.at_risk(count))})


def _there(found: Any) -> Any:
    if found is None:
        raise Problem(404, "unknown-customer", "the cache holds nothing of this customer")
    return found
