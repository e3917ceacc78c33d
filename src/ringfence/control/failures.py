"""Every error of the control API and the console in the envelope that the rest of Ringfence uses."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, ValidationException
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ringfence.core.errors import BadRequest, Failure, LedgerUnavailable, MethodNotAllowed, NotFound
from ringfence.store.failure import StoreFailed

log = logging.getLogger("ringfence.control")
MOST_NAMED = 5
STORE_RETRY_S = 2.0


def render_failures(app: FastAPI) -> None:
    """Installs the renderers; what nobody foresaw is rendered by `unforeseen`."""

    async def failed(_: Request, failure: Exception) -> JSONResponse:
        return rendered(failure) if isinstance(failure, Failure) else unforeseen("", failure)

    async def refused(_: Request, problem: Exception) -> JSONResponse:
        return (
            rendered(_said(problem.errors())) if isinstance(problem, ValidationException) else unforeseen("", problem)
        )

    async def not_stored(_: Request, failure: Exception) -> JSONResponse:
        return rendered(LedgerUnavailable(f"{failure}.", retry_after_s=STORE_RETRY_S))

    async def unrouted(request: Request, problem: Exception) -> JSONResponse:
        return rendered(_unrouted(request, problem)) if isinstance(problem, HTTPException) else unforeseen("", problem)

    app.add_exception_handler(Failure, failed)
    app.add_exception_handler(StoreFailed, not_stored)
    app.add_exception_handler(RequestValidationError, refused)
    app.add_exception_handler(HTTPException, unrouted)


def rendered(failure: Failure) -> JSONResponse:
    """The answer for a failure."""
    headers = dict(failure.headers)
    if failure.retry_after_s is not None:
        headers["retry-after"] = str(max(1, ceil(failure.retry_after_s)))
    return JSONResponse(failure.envelope(), status_code=failure.status, headers=headers)


def unforeseen(path: str, problem: Exception) -> JSONResponse:
    """A bug of ours: its place goes to the log, its words nowhere, for they may quote what was sent."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "unknown place"
    log.error("%s failed: %s at %s", path[:200] or "a request", type(problem).__name__, where)
    return rendered(Failure("The gateway failed on this request; its log says where."))


def _said(problems: Sequence[Any]) -> BadRequest:
    """Which fields are wrong and how; never the values, which may hold text."""
    named = [(".".join(str(part)[:60] for part in problem["loc"][1:]), str(problem["msg"])) for problem in problems]
    words = "; ".join(f"{field}: {message}" if field else message for field, message in named[:MOST_NAMED])
    more = f"; and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return BadRequest(f"{words}{more}."[:1000], param=named[0][0] or None if named else None)


def _unrouted(request: Request, problem: HTTPException) -> Failure:
    path = request.url.path[:200]
    headers = tuple((problem.headers or {}).items())
    if problem.status_code == 404:
        return NotFound(f"There is nothing at {path}. The control API is under /control/v1, the console at /console.")
    if problem.status_code == 405:
        return MethodNotAllowed(f"{path} does not take {request.method}.", headers=headers)
    failure = BadRequest(str(problem.detail)[:200], headers=headers)
    failure.status = problem.status_code
    return failure
