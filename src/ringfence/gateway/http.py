"""The HTTP/1.1 server side: one asyncio protocol a connection, a C parser, and a limit on everything a client can do.

A `Request` is handed to the `Site` when its body is complete. Refusals that are known from the head alone (no key, no
such route, too large) are answered after the body was drained, so that clients see the answer and not a reset.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from email.utils import formatdate
from time import monotonic, time

import httptools

from ringfence.core.errors import BadRequest, Failure, Overloaded, TimedOut, TooLarge
from ringfence.gateway.head import MAX_HEAD_BYTES, NO_HEAD, NO_MOULD, Head, mould_of, read_head
from ringfence.gateway.request import Request, Site

LARGE_BYTES = 1024 * 1024
MAX_DRAIN_BYTES = 256 * 1024 * 1024
MAX_PIPELINED = 16
LINGER_S = 2.0
SLOWEST_BODY_BYTES_PER_S = 1000
NEVER = float("inf")

log = logging.getLogger("ringfence.http")


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


class Connection(asyncio.Protocol):
    """One client connection: parses, bounds, queues pipelined requests, and passes back-pressure on."""

    __slots__ = (
        "_draft", "_due_bytes", "_has_length", "_head", "_head_bytes", "_length", "_mould", "_parser", "_parts",
        "_received_bytes", "_rows", "_url", "_waiting", "_writing_since", "current", "deadline", "is_gone",
        "is_in_head", "is_lingering", "is_shut", "peer", "server", "transport", "write",
    )  # fmt: skip

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.is_gone = self.is_lingering = self.is_in_head = self._has_length = False
        self.is_shut = False  # no request may be begun now: the answers before it are not read, or were the last
        self.current: Request | None = None
        self._draft: Request | None = None
        self._waiting: deque[Request] = deque()
        self._parser = httptools.HttpRequestParser(self)
        self._head_bytes = self._received_bytes = self._length = 0
        self._rows: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes | bytearray] = []
        self._url = b""
        self._head = NO_HEAD
        self._mould = NO_MOULD
        self._due_bytes = 0  # of a body whose head came out of the mould: it does not pass the parser
        self._writing_since = NEVER
        self.peer = ""

    # -- asyncio ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.write = self.transport.write
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if name else ""
        self.deadline = monotonic() + self.server.limits.idle_timeout_s
        if not self.server.admit(self):
            self._refuse(
                Overloaded(
                    "Too many connections are open. Close some, or raise server.max_connections.", retry_after_s=5
                )
            )

    def data_received(self, data: bytes) -> None:
        if self._draft is None and self.current is None and not self._waiting:
            length, rest = self._mould.read(data)
            if rest is not None and len(rest) <= length:
                self._begin_again(length, rest)
                return
        if self.is_lingering or self.is_gone:
            return
        if self._due_bytes:
            self._body_goes_on(data)
            return
        is_fresh = self._draft is None and not self.is_in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:  # we speak HTTP/1.1 only: the same request, without the offer
            self._parser = httptools.HttpRequestParser(self)
            self.data_received(self._head_without_offer() + data[offered.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(_failure_of(error))
        else:
            if self.is_in_head:
                self._head_goes_on(len(data))
            elif is_fresh and self._has_length and not self._head.expects:
                body_bytes = self._length if self._draft is None else self._received_bytes
                self._mould = mould_of(data, body_bytes)

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
        self.is_shut = True
        if self.current is not None and self.current.on_pause is not None:
            self.current.on_pause()
        else:
            self.transport.pause_reading()  # who does not read the answers need not ask for more

    def resume_writing(self) -> None:
        self._writing_since = NEVER
        self.is_shut = self.is_lingering
        if self.current is not None and self.current.on_resume is not None:
            self.current.on_resume()
        elif len(self._waiting) < MAX_PIPELINED and not self.transport.is_closing():
            self.transport.resume_reading()
        self._start_next()

    # -- httptools ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.is_in_head = True
        self._mould = NO_MOULD
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
        parser = self._parser
        head = self._head = read_head(
            parser.get_method(), parser.get_http_version(), self._url, self._rows, parser.should_keep_alive()
        )
        draft = self._begin(head, self._length)
        self.deadline = draft.started_at + self.server.limits.body_timeout_s
        if head.failure is not None:
            raise head.failure  # what cannot be trusted is not drained either
        if head.expects:
            self._leave_to_send(draft)

    def on_chunk_header(self) -> None:
        """What follows is a chunk, or after the last one trailers: those are bounded as a head is, and not acted on."""
        self._rows = []
        self.is_in_head = True
        self._head_bytes = 1

    def on_chunk_complete(self) -> None:
        self.is_in_head = False
        self._head_bytes = 0

    def on_body(self, data: bytes) -> None:
        draft = self._draft
        if draft is None:
            return
        if self._has_length and not self._parts and not draft.discard:
            self._parts.append(data)
            self._received_bytes = len(data)
            return
        self._received_bytes += len(data)
        self.is_in_head = False
        now, limits = monotonic(), self.server.limits  # it comes in pieces: each buys time, at a bearable pace
        slowest = draft.started_at + limits.body_timeout_s + self._received_bytes / SLOWEST_BODY_BYTES_PER_S
        self.deadline = min(now + limits.body_timeout_s, slowest)
        if not draft.discard and self._received_bytes > draft.reserved_bytes:
            self._reserve(draft, self._received_bytes - draft.reserved_bytes)
        if not draft.discard:
            if self._received_bytes <= LARGE_BYTES:
                self._parts.append(data)
            else:
                self._gather(data)
            return
        self._parts.clear()
        if self._received_bytes > MAX_DRAIN_BYTES:
            draft.keep_alive = False
            self._complete(draft)

    def _gather(self, data: bytes) -> None:
        """A large body grows in one place: to join its pieces at its end would hold everybody up."""
        if not isinstance(self._parts[0], bytearray):
            self._parts[:] = [bytearray().join(self._parts)]
        self._parts[0] += data

    def on_message_complete(self) -> None:
        if self._draft is not None:
            self._complete(self._draft)

    # -- a head that is known -----------------------------------------------------------------------------------

    def _begin_again(self, length: int, rest: bytes) -> None:
        """The same head as before, with a body of `length` bytes of which `rest` is here."""
        draft = self._begin(self._head, length)
        if len(rest) == length and not draft.discard and not self.is_shut:
            draft.body = rest
            self._draft = None
            self.deadline = NEVER
            self._start(draft)
            return
        self.deadline = draft.started_at + self.server.limits.body_timeout_s
        self._has_length = True
        self._due_bytes = length
        if rest or not length:
            self._body_goes_on(rest)

    def _body_goes_on(self, data: bytes) -> None:
        """As the parser would tell it: what belongs to the body, its end, and what comes after."""
        due_bytes = self._due_bytes
        after = data[due_bytes:]
        self._due_bytes = due_bytes - len(data) if len(data) < due_bytes else 0
        if data:
            self.on_body(data[:due_bytes] if after else data)
        if not self._due_bytes:
            self.on_message_complete()
            if after:
                self.data_received(after)

    # -- inside -------------------------------------------------------------------------------------------------

    def _begin(self, head: Head, length: int) -> Request:
        """A head is there: have it screened, and set memory aside for its body."""
        server = self.server
        draft = self._draft = Request(self, head, monotonic())
        try:
            failure = head.failure or server.site.screen(draft)
        except Exception:  # a fault of ours
            log.exception("%s could not be screened", head.path)
            failure = Failure("The gateway failed on this request; its log says why.")
        if failure is not None:
            draft.refusal = failure
            draft.discard = True
        elif length <= server.limits.max_body_bytes and server.body_bytes + length <= server.limits.body_memory_bytes:
            server.body_bytes += length
            draft.reserved_bytes = length
        else:
            self._refuse_body(draft, length)
        return draft

    def finished(self, request: Request) -> None:
        """An answer is on its way: free its place, go on with the next, or close."""
        server = self.server
        server.body_bytes -= request.reserved_bytes
        request.reserved_bytes = 0
        self.current = None
        if not request.keep_alive or server.is_draining:
            self.close()
            return
        if self._draft is None:
            self.deadline = server.idle_until
        elif self._draft.head.expects:
            self._leave_to_send(self._draft)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start_next)

    def abort(self) -> None:
        self.transport.abort()

    def close(self) -> None:
        """End what we say, but go on reading for a moment: closing over unread bytes would reset the connection
        and could destroy the answer before the client has read it."""
        if self.is_lingering or self.transport.is_closing():
            return
        self.is_lingering = self.is_shut = True
        self._mould = NO_MOULD
        self.deadline = monotonic() + LINGER_S
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()

    def expire(self, now: float) -> None:
        """Called by the server's timer: end what takes too long."""
        if now - self._writing_since > self.server.limits.write_timeout_s:
            self.transport.abort()
        elif self.deadline < now and self.current is None:
            if self.is_lingering and self.transport.get_write_buffer_size() and self._may_still_read(now):
                return
            if self.is_lingering or (self._draft is None and not self.is_in_head):
                self.transport.abort()
            else:
                self._refuse(TimedOut("The request did not arrive in time. Send it whole and without pauses."))

    def _may_still_read(self, now: float) -> bool:
        """A last answer that is still on its way has as long as any other."""
        return now < self.deadline + self.server.limits.write_timeout_s

    def is_due(self, now: float) -> bool:
        return self.deadline < now or now - self._writing_since > 1

    def _head_goes_on(self, size: int) -> None:
        """The head is not whole yet. Of the piece in which it began, the most may belong to requests before it."""
        if not self._head_bytes:
            self._head_bytes = 1
            self.deadline = monotonic() + self.server.limits.header_timeout_s
            return
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(BadRequest(f"The request head is larger than {MAX_HEAD_BYTES} bytes.", code="malformed_http"))

    def _leave_to_send(self, draft: Request) -> None:
        """Answer `Expect: 100-continue`. A client that waits for leave does not send what we would throw away."""
        if self._parser.should_upgrade():  # it comes again, without the offer
            self._draft = None
            self.server.release(draft)
        elif draft.discard:
            draft.keep_alive = False
            self._complete(draft)
        elif self.current is None and not self._waiting and draft.head.header(b"expect"):
            draft.started_at = monotonic()
            self.deadline = draft.started_at + self.server.limits.body_timeout_s
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _head_without_offer(self) -> bytes:
        """The head that was just read, as a client would send it that offers no other protocol."""
        head, rows = self._head, [row for row in self._rows if row[0].lower() != b"upgrade"]
        if self._has_length:
            rows.append((b"content-length", b"%d" % self._length))
        version = b"1.1" if head.is_http11 else b"1.0"
        lines = b"".join(b"%b: %b\r\n" % row for row in rows)
        return b"%b %b HTTP/%b\r\n%b\r\n" % (head.method, self._url, version, lines)

    def _reserve(self, draft: Request, more_bytes: int) -> None:
        server = self.server
        size = draft.reserved_bytes + more_bytes
        if size <= server.limits.max_body_bytes and server.body_bytes + more_bytes <= server.limits.body_memory_bytes:
            server.body_bytes += more_bytes
            draft.reserved_bytes = size
        else:
            self._refuse_body(draft, size)

    def _refuse_body(self, draft: Request, size: int) -> None:
        server = self.server
        if size > server.limits.max_body_bytes:
            draft.refusal = TooLarge(
                f"The body is larger than {server.limits.max_body_bytes} bytes (server.max_body_bytes)."
            )
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
        if self.current is None and not self._waiting and not self.is_shut:
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
        if self.current is None and self._waiting and not self.is_gone and not self.is_shut:
            following = self._waiting.popleft()
            if len(self._waiting) == MAX_PIPELINED - 1 and not self.transport.is_closing():
                self.transport.resume_reading()
            self._start(following)

    def _refuse(self, failure: Failure) -> None:
        """Answer what cannot be understood, and close: what follows on this connection cannot be trusted."""
        self.is_in_head = False
        if self.is_lingering:
            return
        broken = self._draft or Request(self, NO_HEAD, monotonic())
        self._draft = None
        broken.keep_alive = False
        if self.current is not None or self._waiting:  # earlier answers are still to come
            broken.refusal = failure
            self._waiting.append(broken)
            self.transport.pause_reading()
            return
        self.current = broken
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
        self.idle_until = 0.0  # as of the last tick: good enough for a deadline of minutes
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
        while self.connections and monotonic() < until:  # noqa: ASYNC110  (each ends in a callback of its own)
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
        now = monotonic()
        self.idle_until = now + self.limits.idle_timeout_s
        self.date = f"date: {formatdate(time(), usegmt=True)}\r\n".encode()
        self._timer = asyncio.get_running_loop().call_later(1.0, self._tick)
        for connection in [each for each in self.connections if each.is_due(now)]:
            connection.expire(now)


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
