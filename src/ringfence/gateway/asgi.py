"""The control API and the console are ordinary ASGI applications; this serves them over our own connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from ringfence.core.errors import Failure
from ringfence.gateway.request import Request

Message = MutableMapping[str, Any]
AsgiApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

log = logging.getLogger("ringfence.asgi")


class Visit:
    """One request inside an ASGI application."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._status = 200
        self._head = b""
        self._has_begun = self._was_read = False
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def start(self, app: AsgiApp) -> None:
        request = self._request
        task = asyncio.get_running_loop().create_task(self._run(app))
        self._task = task
        request.on_gone = self._leave
        request.on_pause = self._writable.clear
        request.on_resume = self._writable.set

    def _leave(self) -> None:
        self._gone.set()
        self._writable.set()
        self._task.cancel()

    async def _run(self, app: AsgiApp) -> None:
        request = self._request
        try:
            await app(self._scope(), self._receive, self._send)
            if not request.is_answered:
                raise RuntimeError("the application ended without an answer")
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("%s failed", request.path)
            if request.is_answered:
                request.abort()
            else:
                request.fail(Failure("The gateway failed on this request; its log says why."))

    def _scope(self) -> Message:
        request = self._request
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1" if request.head.is_http11 else "1.0",
            "method": request.method.decode("ascii"),
            "scheme": "http",
            "path": request.path,
            "raw_path": quote(request.path).encode("ascii"),
            "query_string": request.head.query,
            "root_path": "",
            "headers": [*request.head.headers, (b"content-length", b"%d" % len(request.body))],
            "client": (request.peer, 0),
            "server": None,
            "state": {},
        }

    async def _receive(self) -> Message:
        if not self._was_read:
            self._was_read = True
            return {"type": "http.request", "body": bytes(self._request.body), "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        request = self._request
        if message["type"] == "http.response.start":
            self._status = message["status"]
            pairs = message.get("headers", ())
            kept = [
                (k, v) for k, v in pairs if k.lower() not in (b"content-length", b"transfer-encoding", b"connection")
            ]
            self._head = b"".join(b"%b: %b\r\n" % (k, v) for k, v in kept)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if not self._has_begun and not more:
            request.answer(self._status, self._head, body)
            return
        if not self._has_begun:
            self._has_begun = True
            request.begin(self._status, self._head)
        request.write(body)
        if more:
            await self._writable.wait()
        else:
            request.finish()
