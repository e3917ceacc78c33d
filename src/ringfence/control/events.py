"""GET /control/v1/events: the whole status each time something happened, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from ringfence.control.access import Access
from ringfence.control.view import View

PING_S = 15.0
RETRY_MS = 1000
PING = b"event: ping\ndata: {}\n\n"  # an event and not a comment: pages can tell silence from a dead connection
HEAD = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]


class StatusStream(Response):
    """Sends until the client goes, the source ends, or `is_open` says that the session is over."""

    def __init__(self, view: View, is_open: Callable[[], bool], ping_s: float = PING_S) -> None:
        super().__init__()
        self._view = view
        self._is_open = is_open
        self._ping_s = ping_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.ensure_future(_left(receive))
        try:
            async with self._view.watch() as changes:
                await send({"type": "http.response.start", "status": 200, "headers": list(HEAD)})
                first = b"retry: %d\n%b" % (RETRY_MS, _frame(self._view.status()))
                await send({"type": "http.response.body", "body": first, "more_body": True})
                await self._follow(changes, leaving, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()

    async def _follow(self, changes: AsyncIterator[dict[str, Any]], leaving: asyncio.Future[None], send: Send) -> None:
        coming = asyncio.ensure_future(anext(changes, None))
        try:
            while self._is_open():
                done, _ = await asyncio.wait(
                    (coming, leaving), timeout=self._ping_s, return_when=asyncio.FIRST_COMPLETED
                )
                if leaving in done:
                    return
                body = PING
                if coming in done:
                    status = coming.result()
                    if status is None or not self._is_open():
                        return
                    body = _frame(status)
                    coming = asyncio.ensure_future(anext(changes, None))
                await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            coming.cancel()
            await asyncio.wait((coming,))


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _frame(status: dict[str, Any]) -> bytes:
    return b"event: status\ndata: %b\n\n" % orjson.dumps(status)


def routes(view: View) -> APIRouter:
    router = APIRouter(tags=["events"])
    access = Access(view)

    @router.get("/events", response_class=Response)
    async def events(request: Request) -> Response:
        """`event: status` with the whole status as data, and `event: ping` when nothing happens."""
        return StatusStream(view, lambda: access.is_open(request))

    return router
