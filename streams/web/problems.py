"""What went wrong, as HTTP says it: a code for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["JSON", "Problem", "answer", "answer_problem"]

JSON = "application/json"


class Problem(Exception):
    """A request that is not answered as it was meant.

    Parameters
    ----------
    status
        Of HTTP.
    code
        For programs.
    message
        For people: what is wrong, and what to do.
    headers
        More of them.
    details
        More fields of the body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers
        self.details = details


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(body), status, headers, JSON)


async def answer_problem(_: Request, problem: Exception) -> Response:
    """Answer with what went wrong; the body is what clients of Segment and RudderStack read."""
    if not isinstance(problem, Problem):
        raise problem
    body = {"success": False, "code": problem.code, "message": str(problem), **problem.details}
    return answer(body, problem.status, problem.headers)
