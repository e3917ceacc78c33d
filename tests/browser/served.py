"""The console over the gateway's own HTTP server, in a thread of its own, with an engine that can be told what to say."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ringfence.console import pages
from ringfence.control.access import SESSION_COOKIE
from ringfence.control.app import build
from ringfence.gateway import http
from ringfence.gateway.asgi import Visit
from ringfence.testing.fake_view import CHAT_KEY, FakeView

TEXT = (
    "Ringfence is one **OpenAI-compatible** endpoint in front of the models you own. Ask it where a request goes:\n\n"
    "```sh\nringfence explain --model auto\n```\n\nThe text stays on this machine."
)


@dataclass
class FakeChat:
    """How /v1/chat/completions answers. `ending`: done, hang (until the client goes), error, cut, refuse."""

    text: str = TEXT
    ending: str = "done"
    between_s: float = 0.01
    asked: list[dict[str, Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    async def answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {CHAT_KEY}":
            return JSONResponse({"error": {"message": "This API key is not known here."}}, 401)
        self.asked.append(await request.json())
        if self.ending == "refuse":
            return JSONResponse(
                {"error": {"message": "Every slot is taken.", "code": "overloaded"}}, 503, {"retry-after": "2"}
            )
        headers = {"x-ringfence-target": "llamacpp-qwen3/qwen3-8b-q4_k_m", "x-ringfence-window": "clamped"}
        return StreamingResponse(self._events(), headers=headers, media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        words = self.text.split(" ")
        try:
            for place, word in enumerate(words):
                delta = {"content": word if place == 0 else f" {word}"}
                yield self._frame({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                await asyncio.sleep(self.between_s)
            if self.ending == "hang":
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.left.set()
            raise
        if self.ending == "error":
            yield self._frame({"error": {"message": "The engine broke off; the answer is not complete."}})
        if self.ending == "done":
            yield self._frame({"choices": [], "usage": {"prompt_tokens": 21, "completion_tokens": len(words)}})
            yield b"data: [DONE]\n\n"

    @staticmethod
    def _frame(event: dict[str, Any]) -> bytes:
        return b"data: %b\n\n" % json.dumps(event).encode()


class Served:
    """Starts on a free port of loopback; `do` runs something where the application runs."""

    def __init__(self) -> None:
        self.view = FakeView()
        self.chat = FakeChat()
        self.app: FastAPI = build(self.view)
        pages.mount(self.app, self.view, cookie=SESSION_COOKIE)
        self.app.add_api_route("/v1/chat/completions", self.chat.answer, methods=["POST"], response_class=Response)
        self.port = 0
        self._server = http.HttpServer(self, http.Limits())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self.listen()

    def listen(self) -> None:
        """Again on the same port, after `hang_up`."""
        self._server = http.HttpServer(self, http.Limits())
        self.port = asyncio.run_coroutine_threadsafe(self._server.listen("127.0.0.1", self.port), self._loop).result(5)

    def hang_up(self) -> None:
        """Every connection breaks, and nobody listens any more."""
        asyncio.run_coroutine_threadsafe(self._server.drain(0), self._loop).result(5)

    def stop(self) -> None:
        self.hang_up()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def do(self, what: Callable[[], object]) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (what(), done.set()))
        assert done.wait(5)

    def change(self, part: str, value: Any) -> None:
        """One part of the status is different from now on, and every page is told."""
        self.do(lambda: (self.view.sample.__setitem__(part, value), self.view.changed()))

    # -- what the server asks of a site

    def screen(self, request: http.Request) -> None:
        return None

    def serve(self, request: http.Request) -> None:
        Visit(request).start(self.app)
