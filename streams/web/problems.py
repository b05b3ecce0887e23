"""What went wrong, as HTTP says it: a code for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
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


async def answer_problem(_: Request, error: Exception) -> Response:
    """Answer with what went wrong; the body is what clients of Segment and RudderStack read.

    What is none of the cases below is a fault of ours: its traceback goes into the log alone.
    """
    problem = _problem(error)
    body = {"success": False, "code": problem.code, "message": str(problem), **problem.details}
    return answer(body, problem.status, problem.headers)


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        wrong = (f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return Problem(422, "wrong-parameter", "; ".join(wrong))
    if isinstance(error, HTTPException):
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        return Problem(error.status_code, code, error.detail, error.headers)
    return Problem(500, "our-fault", "this is a fault of crm-online: the log of the worker has it")
