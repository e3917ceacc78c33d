"""Which path does what, and who may ask for it. Inference goes to the pipeline, the rest to small answers or ASGI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from time import time
from typing import Any, Protocol

import orjson

from ringfence.core.errors import Failure, Forbidden, MethodNotAllowed, NotAuthenticated, NotFound
from ringfence.core.identity import Key
from ringfence.core.ports import Emit
from ringfence.gateway.asgi import AsgiApp, Visit
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.head import host_name
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import Request
from ringfence.gateway.route import LOOK, Desk, Foreign
from ringfence.routing.standing import agent_of
from ringfence.telemetry.events import Refused

OPEN_KEY = Key("open", "keys are off")
WRONG_KEY = "Incorrect API key provided"
"""OpenAI's own words: clients that do not look at the status know a wrong key by them."""
HEALTH_PATHS = frozenset(("/health", "/v1/health", "/healthz", "/livez"))
READY_PATHS = frozenset(("/ready", "/readyz"))
OPEN_PAGES = HEALTH_PATHS | READY_PATHS | {"/metrics", "/favicon.ico"}
APP_PREFIXES = ("/control/", "/console")
LLAMACPP = " This route is llama.cpp's own; here there are /v1/completions, and counts by /v1/responses/input_tokens."
BESIDE = {
    "/api/": ("/api/chat", " Of Ollama's API there are chat, generate, embed, tags, show, ps and version."),
    "/v1/messages/batches": ("/v1/messages", " Messages can be the lines of a file for /v1/batches."),
    "/v1/messages/": ("/v1/messages", ""),
    "/completion": ("/v1/completions", LLAMACPP),
    "/tokenize": ("/v1/completions", LLAMACPP),
    "/props": ("/v1/completions", LLAMACPP),
}
"""By the beginning of a path that leads nowhere: the path whose callers ask for it, and what there is instead."""


class Finding(Protocol):
    """The keys in force."""

    version: int

    def find(self, secret: bytes) -> Key | None:
        """The valid key of this secret. `version` grows with every change of any key."""
        ...


@dataclass(slots=True)
class Grant:
    """Remembered with a head: who asks for which route, as long as no key has changed."""

    version: int
    key: Key
    route: Dialect | Foreign | Desk | None


Page = Callable[[], tuple[str, bytes]]
"""Content type and body."""


class Front:
    """The site: screens heads, then answers or hands over."""

    def __init__(
        self,
        pipeline: Pipeline,
        dialects: list[Dialect | Foreign],
        keys: Finding | None,
        *,
        apps: Callable[[], AsgiApp],
        metrics: Page,
        is_ready: Callable[[], bool],
        emit: Emit,
        metrics_need_key: bool = False,
        allowed_hosts: frozenset[str] = frozenset(),
    ) -> None:
        """`keys` None: everyone may ask (loopback only). `apps` is called on the first visit to control or console."""
        self.pipeline = pipeline
        self.routes = {path: dialect for dialect in dialects for path in dialect.paths}
        self.keys = keys
        self.apps = apps
        self.metrics = metrics
        self.is_ready = is_ready
        self.emit = emit
        self.metrics_need_key = metrics_need_key
        self.allowed_hosts = allowed_hosts
        self.desks: list[Desk] = []
        """The first one whose path it is answers."""
        self._app: AsgiApp | None = None

    # -- from the head alone ------------------------------------------------------------------------------------

    def screen(self, request: Request) -> Failure | None:
        head, keys = request.head, self.keys
        grant: Grant | None = head.grant
        if grant is not None and keys is not None and grant.version == keys.version:  # said before; no key has changed
            key = request.identity = grant.key
            request.route = grant.route
            failure = _expired(key) if key.expires_s is not None else None
        else:
            request.route = self.routes.get(head.path) if head.method == b"POST" else None
            failure = self._authenticate(request) if request.route is not None else self._screen(request)
        if failure is not None:
            self.emit(Refused(failure.status, failure.code or "error", ""))
        return failure

    def _screen(self, request: Request) -> Failure | None:
        path = request.path
        if (route := self.routes.get(path)) is not None:
            request.route = route
            return _takes(path, (b"POST",))
        if path.startswith(APP_PREFIXES) or path == "/":
            return None if self._is_known_host(request) else _foreign_host(request)
        if path in OPEN_PAGES:
            if request.method not in LOOK:
                return _takes(path, LOOK)
            return self._authenticate(request) if path == "/metrics" and self.metrics_need_key else None
        for desk in self.desks:
            if methods := desk.methods(path):
                request.route = desk
                return self._authenticate(request) if request.method in methods else _takes(path, methods)
        beside = next((beginning for beginning in BESIDE if path.startswith(beginning)), "")
        request.route = self.routes.get(BESIDE[beside][0]) if beside else None  # whose errors its callers read
        return _no_route(path, BESIDE[beside][1] if beside else "")

    def _authenticate(self, request: Request) -> Failure | None:
        keys = self.keys
        if keys is None:
            request.identity = OPEN_KEY
            return None if self._is_known_host(request) else _foreign_host(request)
        secret = request.head.secret
        if not secret:
            return NotAuthenticated(
                "No API key was given. Send 'Authorization: Bearer sk-rf-…'; `ringfence keys create NAME` makes one."
            )
        key = keys.find(secret)
        if key is None:
            return NotAuthenticated(f"{WRONG_KEY}: it is unknown here, or no longer valid; see `ringfence keys list`.")
        try:
            request.head.agent = agent_of(key, request.head.agent)  # once a head: what it says is read but once
        except Forbidden as refused:
            return refused
        request.identity = key
        request.head.grant = Grant(keys.version, key, request.route)
        return _expired(key)

    def _is_known_host(self, request: Request) -> bool:
        """A web page elsewhere may point its own name at this address; it cannot pretend to be one of ours."""
        name = host_name(request.head)
        if not name or name == "localhost" or name.endswith(".localhost") or name in self.allowed_hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    # -- with the body ------------------------------------------------------------------------------------------

    def serve(self, request: Request) -> None:
        route, path = request.route, request.path
        if route is not None:
            if isinstance(route, Desk):
                route.serve(request)
            else:
                self.pipeline.serve(request, route)
            return
        if path.startswith(APP_PREFIXES) or path == "/":
            if self._app is None:
                self._app = self.apps()
            Visit(request).start(self._app)
        elif path in HEALTH_PATHS:
            _answer(request, 200, {"status": "ok"})
        elif path in READY_PATHS:
            ready = self.is_ready()
            _answer(request, 200 if ready else 503, {"status": "ready" if ready else "no model is ready"})
        elif path == "/metrics":
            content_type, body = self.metrics()
            request.answer(200, f"content-type: {content_type}\r\n".encode(), body)
        else:
            request.answer(204, b"", b"")


def _expired(key: Key) -> Failure | None:
    if key.expires_s is not None and time() >= key.expires_s:
        return NotAuthenticated(f"{WRONG_KEY}: it has expired; `ringfence keys create NAME` makes a new one.")
    return None


def _takes(path: str, methods: tuple[bytes, ...]) -> MethodNotAllowed:
    allowed = [method.decode() for method in methods]
    shown = " and ".join(method for method in allowed if method != "HEAD")
    return MethodNotAllowed(f"{path[:200]} takes {shown}.", headers=(("allow", ", ".join(allowed)),))


def _answer(request: Request, status: int, body: dict[str, Any]) -> None:
    request.answer(status, JSON_HEAD, orjson.dumps(body))


def _no_route(path: str, hint: str) -> NotFound:
    hint = " Set the client's base URL to end in one /v1." if "/v1/v1" in path else hint
    return NotFound(f"There is nothing at {path[:200]}.{hint} The console is at /console, the API under /v1.")


def _foreign_host(request: Request) -> Forbidden:
    return Forbidden(
        f"The host name '{host_name(request.head)[:100]}' is not one of this gateway's. Use its address, or list the "
        "name under server.allowed_hosts.",
        code="unknown_host",
    )
