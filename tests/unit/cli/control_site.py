"""The control API behind the gateway's own HTTP server, and nothing else."""

from __future__ import annotations

from ringfence.control.app import build
from ringfence.gateway import http
from ringfence.gateway.asgi import Visit
from ringfence.testing.fake_view import FakeView


class ControlSite:
    """What an HttpServer serves; `view` is what the API tells of."""

    def __init__(self, view: FakeView) -> None:
        self.app = build(view)

    def screen(self, request: http.Request) -> None:
        return None

    def serve(self, request: http.Request) -> None:
        Visit(request).start(self.app)
