"""The HTTP/1.1 server side: one asyncio protocol a connection, a C parser, and a limit on everything a client can do.

A `Request` is handed to the `Site` when its body is complete. Refusals that are known from the head alone (no key, no
such route, too large) are answered after the body was drained, so that clients see the answer and not a reset.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from time import monotonic, time
from typing import Any, Protocol
from urllib.parse import unquote

import httptools
import orjson

from ringfence.core.errors import BadRequest, Failure, Overloaded, TimedOut, TooLarge

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
MAX_DRAIN_BYTES = 256 * 1024 * 1024
MAX_PIPELINED = 16
LINGER_S = 2.0
SLOWEST_BODY_BYTES_PER_S = 1000
NEVER = float("inf")
STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
log = logging.getLogger("ringfence.http")
HOST_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")
SINGLE_HEADERS = (b"host", b"transfer-encoding", b"authorization", b"x-api-key", b"content-type")
JSON_HEAD = b"content-type: application/json\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take. Times in seconds, sizes in bytes; all bodies together share `body_memory_bytes`."""

    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    idle_timeout_s: float = 120.0
    write_timeout_s: float = 60.0
    max_body_bytes: int = 32 * 1024 * 1024
    body_memory_bytes: int = 96 * 1024 * 1024
    max_connections: int = 20_000


class Site(Protocol):
    """What answers requests."""

    def screen(self, request: Request) -> Failure | None:
        """Look at the head; a Failure is answered instead of `serve`, and the body is thrown away."""
        ...

    def serve(self, request: Request) -> None:
        """Start answering; must not block."""
        ...


class Head:
    """Everything before the body. A client that keeps its connection says the same each time: then it is read once."""

    __slots__ = (
        "expects", "failure", "grant", "headers", "is_http11", "keep_alive", "method", "path", "query", "request_id", "secret"
    )  # fmt: skip

    def __init__(self, method: bytes, headers: list[tuple[bytes, bytes]], *, is_http11: bool, keep_alive: bool) -> None:
        self.method = method
        self.headers = headers
        self.is_http11 = is_http11
        self.keep_alive = keep_alive
        self.path = ""
        self.query = b""
        self.secret = b""
        self.request_id = ""
        self.expects = False
        self.failure: Failure | None = None
        self.grant: Any = None
        """The site's: what it found out about this head, so that it need not find it out again."""

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Request:
    """One request and the way to answer it. Exactly one of `answer`, `fail` and `begin` … `finish` is called."""

    # Defaults live on the class: setting a dozen attributes per request would cost a microsecond for nothing.
    body = b""
    identity: Any = None
    route: Any = None
    discard = False
    is_answered = False
    refusal: Failure | None = None
    reserved_bytes = 0
    on_gone: Callable[[], object] | None = None
    on_pause: Callable[[], object] | None = None
    on_resume: Callable[[], object] | None = None
    _is_chunked = False

    def __init__(self, connection: Connection, head: Head, started_at: float) -> None:
        self.connection = connection
        self.head = head
        self.keep_alive = head.keep_alive
        self.started_at = started_at

    @property
    def peer(self) -> str:
        """The address of the client."""
        return self.connection.peer

    @property
    def path(self) -> str:
        return self.head.path

    @property
    def method(self) -> bytes:
        return self.head.method

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """A whole answer. `head` is complete header lines, each with CRLF, without content-length."""
        connection = self.connection
        self.is_answered = True
        if connection.is_gone:
            return
        size = b"content-length: %d\r\n\r\n" if self.keep_alive else b"connection: close\r\ncontent-length: %d\r\n\r\n"
        shown = b"" if self.head.method == b"HEAD" else body
        connection.write(b"".join((STATUS_LINES[status], connection.server.date, head, size % len(body), shown)))
        connection.finished(self)

    def fail(self, failure: Failure, head: bytes = b"") -> None:
        """An error answer in the OpenAI envelope."""
        self.answer(failure.status, head + failure_head(failure), orjson.dumps(failure.envelope()))

    def begin(self, status: int, head: bytes) -> None:
        """Start a streamed answer; the first `write` should follow at once."""
        connection = self.connection
        self.is_answered = True
        if connection.is_gone:
            return
        self._is_chunked = self.head.is_http11
        if self._is_chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing, self.keep_alive = b"", False
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        connection.write(b"%b%b%b%b%b" % (STATUS_LINES[status], connection.server.date, head, framing, end))

    def write(self, data: bytes) -> None:
        connection = self.connection
        if data and not connection.is_gone and self.method != b"HEAD":
            connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def finish(self) -> None:
        connection = self.connection
        if connection.is_gone:
            return
        if self._is_chunked:
            connection.write(b"0\r\n\r\n")
        connection.finished(self)

    def abort(self) -> None:
        """End a streamed answer so that the client knows it is not whole."""
        self.connection.abort()

    @property
    def is_gone(self) -> bool:
        return self.connection.is_gone


def failure_head(failure: Failure) -> bytes:
    """The header lines that go with an error."""
    lines = [JSON_HEAD]
    if failure.retry_after_s is not None:
        lines.append(b"retry-after: %d\r\n" % max(1, -int(-failure.retry_after_s // 1)))
    if failure.should_retry is not None:
        lines.append(b"x-should-retry: %b\r\n" % (b"true" if failure.should_retry else b"false"))
    lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in failure.headers]
    return b"".join(lines)


class Connection(asyncio.Protocol):
    """One client connection: parses, bounds, queues pipelined requests, and passes back-pressure on."""

    __slots__ = (
        "_draft", "_has_length", "_head", "_head_bytes", "_length", "_parser", "_parts", "_raw", "_received_bytes", "_rows",
        "_url", "_waiting", "_writing_since", "current", "deadline", "is_gone", "is_in_head", "is_lingering", "peer", "server",
        "transport", "write",
    )  # fmt: skip

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.is_gone = self.is_lingering = self.is_in_head = False
        self.current: Request | None = None
        self._draft: Request | None = None
        self._waiting: deque[Request] = deque()
        self._parser = httptools.HttpRequestParser(self)
        self._head_bytes = self._received_bytes = self._length = 0
        self._rows: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._url = b""
        self._raw: object = None
        self._head = NO_HEAD
        self._writing_since = NEVER
        self.peer = ""

    # -- asyncio ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.write = self.transport.write
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""
        self.deadline = monotonic() + self.server.limits.idle_timeout_s
        if not self.server.admit(self):
            self._refuse(Overloaded("Too many connections are open. Close some, or raise server.max_connections.", retry_after_s=5))

    def data_received(self, data: bytes) -> None:
        if self.is_lingering or self.is_gone or (self.is_in_head and not self._head_is_bounded(len(data))):
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # we speak HTTP/1.1 only: the request itself is answered as such
            if self.current is not None:
                self.current.keep_alive = False
        except httptools.HttpParserError as error:
            self._refuse(_failure_of(error))
        else:
            if self.is_in_head and not self._head_bytes:  # the head goes on in the next piece
                self._head_bytes = len(data)
                self.deadline = monotonic() + self.server.limits.header_timeout_s

    def eof_received(self) -> bool:
        return False  # closes the transport: a client that has hung up is not waiting for an answer

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_gone = True
        self.server.forget(self)
        for request in (self._draft, *self._waiting):
            self.server.release(request)
        self._waiting.clear()
        self._parts.clear()
        current, self.current = self.current, None
        if current is not None:
            self.server.release(current)
            if current.on_gone is not None:
                current.on_gone()

    def pause_writing(self) -> None:
        self._writing_since = monotonic()
        if self.current is not None and self.current.on_pause is not None:
            self.current.on_pause()

    def resume_writing(self) -> None:
        self._writing_since = NEVER
        if self.current is not None and self.current.on_resume is not None:
            self.current.on_resume()

    # -- httptools ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.is_in_head = True
        self._rows = []
        self._url = b""
        self._has_length = False
        self._length = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 14 and name.lower() == b"content-length":  # the one header that differs every time
            self._length = int(value)
            self._has_length = True
        else:
            self._rows.append((name, value))

    def on_headers_complete(self) -> None:
        self.is_in_head = False
        self._head_bytes = 0
        parser, server = self._parser, self.server
        raw = (parser.get_method(), parser.get_http_version(), self._url, self._rows)
        if raw == self._raw:
            head = self._head
        else:
            head = self._head = _read_head(*raw, parser.should_keep_alive())
            self._raw = raw
        draft = self._draft = Request(self, head, monotonic())
        self.deadline = draft.started_at + server.limits.body_timeout_s
        failure = head.failure or server.site.screen(draft)
        if failure is not None:
            draft.refusal = failure
            draft.discard = True
        elif self._length:
            self._reserve(draft, self._length)
        if head.failure is not None:
            raise head.failure  # what cannot be trusted is not drained either
        if head.expects:
            self._leave_to_send(draft)

    def on_body(self, data: bytes) -> None:
        draft = self._draft
        if draft is None:
            return
        if self._has_length and not self._parts and not draft.discard:
            self._parts.append(data)
            self._received_bytes = len(data)
            return
        self._received_bytes += len(data)
        now, limits = monotonic(), self.server.limits  # it comes in pieces: each buys time, at a bearable pace
        slowest = draft.started_at + limits.body_timeout_s + self._received_bytes / SLOWEST_BODY_BYTES_PER_S
        self.deadline = min(now + limits.body_timeout_s, slowest)
        if not draft.discard and self._received_bytes > draft.reserved_bytes:
            self._reserve(draft, self._received_bytes - draft.reserved_bytes)
        if not draft.discard:
            self._parts.append(data)
            return
        self._parts.clear()
        if self._received_bytes > MAX_DRAIN_BYTES:
            draft.keep_alive = False
            self._complete(draft)

    def on_message_complete(self) -> None:
        if self._draft is not None:
            self._complete(self._draft)

    # -- inside -------------------------------------------------------------------------------------------------

    def finished(self, request: Request) -> None:
        """An answer is on its way: free its place, go on with the next, or close."""
        server = self.server
        if request.reserved_bytes:
            server.release(request)
        self.current = None
        if not request.keep_alive or server.is_draining:
            self.close()
            return
        if self._draft is None:
            self.deadline = server.now + server.limits.idle_timeout_s
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start_next)

    def abort(self) -> None:
        self.transport.abort()

    def close(self) -> None:
        """End what we say, but go on reading for a moment: closing over unread bytes would reset the connection
        and could destroy the answer before the client has read it."""
        if self.is_lingering or self.transport.is_closing():
            return
        self.is_lingering = True
        self.deadline = monotonic() + LINGER_S
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()

    def expire(self, now: float) -> None:
        """Called by the server's timer: end what takes too long."""
        if now - self._writing_since > self.server.limits.write_timeout_s:
            self.transport.abort()
        elif self.deadline < now and self.current is None:
            if self.is_lingering or (self._draft is None and not self.is_in_head):
                self.transport.abort()
            else:
                self._refuse(TimedOut("The request did not arrive in time. Send it whole and without pauses."))

    def is_due(self, now: float) -> bool:
        return self.deadline < now or now - self._writing_since > 1

    def _head_is_bounded(self, size: int) -> bool:
        self._head_bytes += size
        if self._head_bytes <= MAX_HEAD_BYTES:
            return True
        self._refuse(BadRequest(f"The request head is larger than {MAX_HEAD_BYTES} bytes.", code="malformed_http"))
        return False

    def _leave_to_send(self, draft: Request) -> None:
        """Answer `Expect: 100-continue`. A client that waits for leave does not send what we would throw away."""
        if draft.discard:
            draft.keep_alive = False
            self._complete(draft)
        elif self.current is None:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _reserve(self, draft: Request, more_bytes: int) -> None:
        server = self.server
        size = draft.reserved_bytes + more_bytes
        if size <= server.limits.max_body_bytes and server.body_bytes + more_bytes <= server.limits.body_memory_bytes:
            server.body_bytes += more_bytes
            draft.reserved_bytes = size
            return
        if size > server.limits.max_body_bytes:
            draft.refusal = TooLarge(f"The body is larger than {server.limits.max_body_bytes} bytes (server.max_body_bytes).")
        else:
            draft.refusal = Overloaded("Too many large bodies at once. Try again shortly.", retry_after_s=1)
        draft.discard = True
        server.release(draft)

    def _complete(self, draft: Request) -> None:
        self._draft = None
        self.deadline = NEVER
        parts = self._parts
        if parts:
            draft.body = parts[0] if len(parts) == 1 else b"".join(parts)
            self._parts = []
        self._received_bytes = 0
        if self.current is None:
            self._start(draft)
            return
        self._waiting.append(draft)
        if len(self._waiting) >= MAX_PIPELINED:
            self.transport.pause_reading()

    def _start(self, request: Request) -> None:
        self.current = request
        if request.refusal is not None:
            request.fail(request.refusal)
            return
        try:
            self.server.site.serve(request)
        except Exception:  # a fault of ours: the client is told, and the others do not notice
            log.exception("%s could not be served", request.path)
            if not request.is_answered:
                request.fail(Failure("The gateway failed on this request; its log says why."))

    def _start_next(self) -> None:
        if self.current is None and self._waiting and not self.is_gone:
            following = self._waiting.popleft()
            if len(self._waiting) == MAX_PIPELINED - 1 and not self.transport.is_closing():
                self.transport.resume_reading()
            self._start(following)

    def _refuse(self, failure: Failure) -> None:
        """Answer what cannot be understood, and close: what follows on this connection cannot be trusted."""
        self.is_in_head = False
        if self.current is not None:  # the earlier request's answer is still to come; do not mix another into it
            self.current.keep_alive = False
            self.transport.pause_reading()
            return
        broken = self._draft or Request(self, NO_HEAD, monotonic())
        self._draft, self.current = None, broken
        broken.keep_alive = False
        broken.fail(failure)


class HttpServer:
    """Listens, counts connections and body bytes, and watches the clock for all of them with one timer."""

    def __init__(self, site: Site, limits: Limits) -> None:
        self.site = site
        self.limits = limits
        self.is_draining = False
        self.connections: set[Connection] = set()
        self.body_bytes = 0
        self.date = b""
        self.now = 0.0  # monotonic seconds, as of the last tick: good enough for deadlines of minutes
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int) -> int:
        """Start; returns the port (a free one for 0). OSError when it is taken."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), host, port, backlog=4096)
        self._servers.append(server)
        self._tick()
        return int(server.sockets[0].getsockname()[1])

    async def drain(self, timeout_s: float) -> None:
        """Take no more connections, let running answers end, then close the rest."""
        self.is_draining = True
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            if connection.current is None:
                connection.transport.close()
        until = monotonic() + timeout_s
        while self.connections and monotonic() < until:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()

    def admit(self, connection: Connection) -> bool:
        self.connections.add(connection)
        return len(self.connections) <= self.limits.max_connections

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def release(self, request: Request | None) -> None:
        if request is not None:
            self.body_bytes -= request.reserved_bytes
            request.reserved_bytes = 0

    def _tick(self) -> None:
        now = self.now = monotonic()
        self.date = f"date: {formatdate(time(), usegmt=True)}\r\n".encode()
        for connection in [each for each in self.connections if each.is_due(now)]:
            connection.expire(now)
        self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)


NO_HEAD = Head(b"GET", [], is_http11=True, keep_alive=False)


def _read_head(method: bytes, version: str, target: bytes, rows: list[tuple[bytes, bytes]], keep_alive: bool) -> Head:
    """What the head says. `failure` is set where it says something that must not be acted on."""
    headers = [(name.lower(), value) for name, value in rows]
    head = Head(method, headers, is_http11=version == "1.1", keep_alive=keep_alive)
    try:
        head.path, head.query = _split_target(target, method)
        _check_headers(head)
    except BadRequest as failure:
        head.failure = failure
        return head
    found = dict(headers)
    secret = found.get(b"authorization")
    if secret is None:
        secret = found.get(b"x-api-key") or found.get(b"api-key") or b""
    elif secret[:7].lower() == b"bearer ":
        secret = secret[7:]
    head.secret = secret.strip()
    head.request_id = _clean_id(found.get(b"x-request-id", b""))
    head.expects = found.get(b"expect", b"").lower() == b"100-continue"
    return head


def _check_headers(head: Head) -> None:
    """Headers that say what a request is must not be said twice: two readers could believe two different ones."""
    if len(head.headers) > MAX_HEADERS:
        raise BadRequest(f"More than {MAX_HEADERS} headers.", code="malformed_http")
    names = [name for name, _ in head.headers]
    for name in SINGLE_HEADERS:
        if names.count(name) > 1:
            raise BadRequest(f"The header '{name.decode()}' is given more than once.", code="malformed_http")
    host = head.header(b"host")
    if host is None:
        if head.is_http11:
            raise BadRequest("A Host header is needed.", code="malformed_http")
    elif not HOST_BYTES.issuperset(host) or not 0 < len(host) <= 255:
        raise BadRequest("The Host header is not a host name or address.", code="malformed_http")


def _split_target(target: bytes, method: bytes) -> tuple[str, bytes]:
    """Path (percent-decoded) and query of an origin-form target; anything else is refused."""
    if method == b"OPTIONS" and target == b"*":
        return "*", b""
    if not target.startswith(b"/") or method == b"CONNECT":
        raise BadRequest(
            "Only paths such as /v1/models can be asked for; this server is not a proxy for other addresses.",
            code="malformed_http",
        )
    path, _, query = target.partition(b"?")
    try:
        return (unquote(path, errors="strict") if b"%" in path else path.decode("ascii")), query
    except UnicodeDecodeError:
        raise BadRequest("The path is not valid UTF-8.", code="malformed_http") from None


def host_name(head: Head) -> str:
    """The name or address part of the Host header, lower case, without the port."""
    value = (head.header(b"host") or b"").decode("ascii", "replace").lower()
    if value.startswith("["):
        return value[1 : value.find("]")] if "]" in value else value
    return value.rpartition(":")[0] if ":" in value else value


_ID_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")


def _clean_id(value: bytes) -> str:
    return value.decode() if 0 < len(value) <= 128 and _ID_BYTES.issuperset(value) else ""


def _failure_of(error: httptools.HttpParserError) -> Failure:
    """The parser's complaint, or the failure that one of our callbacks raised inside it."""
    cause = error.__context__
    if isinstance(cause, Failure):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError):
        log.error("a request could not be handled", exc_info=cause)
        return Failure("The gateway failed on this request; its log says why.")
    reason = str(error).rstrip(".") or "it could not be parsed"
    return BadRequest(f"This is not a valid HTTP/1.1 request: {reason}.", code="malformed_http")
