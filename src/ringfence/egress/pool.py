"""Keep-alive HTTP/1.1 to engines on loopback and mesh: asyncio protocols and a C parser, callbacks and no tasks.

A `Line` is one connection. It carries one exchange at a time and tells a `Receiver` what arrives. Deadlines of all
lines are checked by one timer that runs only while something is in flight.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections import deque
from time import monotonic
from typing import Any, Protocol

import httptools
import orjson

from ringfence.core.boundary import Boundary, Network, boundary_of
from ringfence.core.catalog import Endpoint
from ringfence.core.errors import BoundaryRefused
from ringfence.core.ports import Fetched
from ringfence.egress.peer import peer_uid
from ringfence.egress.permit import Permit

TICK_S = 0.05
MAX_HEAD_BYTES = 64 * 1024
"""Of an answer that is an error."""
ERROR = 400
IN_BODY = -1
NOT_WHOLE = -1
IDLE_LINES = 256
FULL_QUEUE_S = 0.005
NEVER = float("inf")
log = logging.getLogger("ringfence.egress")


class Receiver(Protocol):
    """Who waits for an answer. Exactly one of `on_end` and `on_lost` is called, last."""

    def on_piece(self, data: bytes) -> None:
        """Part of the body; the line's `status` is known from here on."""
        ...

    def on_end(self) -> None: ...
    def on_lost(self, reason: str) -> None:
        """`reason`: stale (a reused connection died before any byte), lost, first_byte_timeout, stalled, malformed."""
        ...


class Line(asyncio.Protocol):
    """One connection to one endpoint."""

    __slots__ = (
        "_begun",
        "_between_s",
        "_feed",
        "_head_bytes",
        "_keep",
        "_parser",
        "_pieces",
        "_pool",
        "_refusal",
        "_whole",
        "endpoint",
        "expires_at",
        "keeps_head",
        "on_body",
        "receiver",
        "reused",
        "status",
        "transport",
    )

    def __init__(self, pool: Pool, endpoint: Endpoint) -> None:
        self._pool = pool
        self.endpoint = endpoint
        self.receiver: Receiver | None = None
        self.transport: asyncio.Transport
        self.reused = self.keeps_head = False
        self.expires_at = NEVER

    # -- what the relay calls ---------------------------------------------------------------------------------

    def ask(
        self,
        receiver: Receiver,
        permit: Permit,
        head: bytes,
        body: bytes,
        first_byte_s: float,
        between_s: float,
        keep: bool,
    ) -> None:
        """Send one request. The permit must cover the address that this very connection reaches."""
        reached = self.endpoint.boundary
        call_id, allowed, permitted = permit
        if permitted is not reached or reached > allowed:
            raise BoundaryRefused(f"the permit of call {call_id} does not cover an address at {reached.name}")
        pool = self._pool
        self.receiver = receiver
        self._between_s = between_s
        self._keep = keep
        self.expires_at = (pool.now if pool.timer is not None else pool.start_clock()) + first_byte_s
        pool.active.add(self)
        if len(body) < 16384:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))

    def cancel(self) -> None:
        """The caller is gone: close now, so that the engine stops working on it."""
        self.receiver = None
        self._pool.active.discard(self)
        self.transport.abort()

    def pause(self) -> None:
        """The client reads slower than the engine writes: stop reading; the engine is not to blame meanwhile."""
        if self._whole >= 0 or self.receiver is None:  # all is here: nothing would start the reading again for the next
            return
        self.expires_at = NEVER
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.receiver is not None and not self.transport.is_closing():
            self.expires_at = self._pool.start_clock() + self._between_s
            self.transport.resume_reading()

    # -- asyncio ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._pieces: list[bytes] = []  # of a body, as they lie in what was read last
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data
        self.status = self._parser.get_status_code
        self._head_bytes = 0  # received of an answer's head; IN_BODY after it
        self._begun = self._refusal = b""  # a head that came in several reads; one of an answer that is an error
        self._whole = NOT_WHOLE  # pieces of the last read up to the end of the answer

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:  # an answer nobody asked for
            self.transport.abort()
            return
        is_broken = False
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            is_broken = _is_of_theirs(error)
        pieces = self._pieces
        if self._head_bytes != IN_BODY and (pieces or self._whole >= 0):
            self._head_is_over(data)
        if pieces:
            if self._whole >= 0:
                del pieces[self._whole :]  # beyond the end of the answer
            if self.expires_at != NEVER:  # not paused; before it is passed on, as that may pause this line
                self.expires_at = self._pool.now + self._between_s
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            receiver.on_piece(body)
            receiver = self.receiver  # it may have put another in its place
            if receiver is None:  # or have had enough
                return
        if self._whole >= 0:
            self.receiver = None
            self._whole = NOT_WHOLE
            pool = self._pool
            pool.active.discard(self)
            if self._keep and not is_broken:
                self._head_bytes = 0
                self.reused = True
                pool.keep(self)
            else:  # more came than was asked for: it is not used again
                self.transport.close()
            receiver.on_end()
        elif is_broken:
            self._lose("malformed")
        elif self._head_bytes != IN_BODY:
            self._head_goes_on(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        if self.receiver is not None:
            self._lose("lost" if self._head_bytes or not self.reused else "stale")

    # -- httptools ----------------------------------------------------------------------------------------------

    # Header lines are not looked at, but for those of errors: what an answer is shows in its status and its first
    # byte. `on_body` only gathers what one read brought, often many small chunks, so that they are looked at, and sent
    # on, once.

    def on_message_complete(self) -> None:
        if self._whole >= 0:  # a second answer to one question
            self._keep = False
        elif self.status() >= 200:  # else 100 Continue
            self._whole = len(self._pieces)
            self._keep = self._keep and self._parser.should_keep_alive()

    # -- inside -------------------------------------------------------------------------------------------------

    def _head_is_over(self, data: bytes) -> None:
        """Of an error the head is kept: it may say when to come again."""
        self._head_bytes = IN_BODY
        if self.status() != 200 or self.keeps_head:
            self._refusal = self._begun + data
        self._begun = b""

    def _head_goes_on(self, data: bytes) -> None:
        self._begun += data
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._lose("malformed")

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name, of an answer that is an error, or where the line keeps them all."""
        head, _, _ = self._refusal.partition(b"\r\n\r\n")
        fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        return next((value.strip() for known, _, value in fields if known.lower() == name), None)

    def expire(self) -> None:
        self._lose("stalled" if self._head_bytes else "first_byte_timeout")

    def _lose(self, reason: str) -> None:
        receiver, self.receiver = self.receiver, None
        self._pool.active.discard(self)
        self.transport.abort()
        if receiver is not None:
            receiver.on_lost(reason)


def _is_of_theirs(error: Exception) -> bool:
    """Always: what cannot be taken is broken. A fault of ours is told to the log."""
    if isinstance(error, httptools.HttpParserCallbackError):
        log.error("an answer could not be taken", exc_info=error.__context__)
    return True


class HeadedLine(Line):
    """A line that also takes in the header lines of an answer: to the egress process, and from there to a cloud."""

    __slots__ = ("_is_in_head", "headers", "idle_since_s")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self._is_in_head = False
        self.idle_since_s = monotonic()
        super().connection_made(transport)

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name, of the answer that is coming or came last."""
        return next((value for known, value in self.headers if known == name), None)

    def on_message_begin(self) -> None:
        self.headers = []
        self._is_in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:  # else a trailer: those come too late to say what an answer is
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._is_in_head = False

    def on_message_complete(self) -> None:
        self.idle_since_s = monotonic()
        super().on_message_complete()


class Pool:
    """Idle lines by endpoint, and the deadlines of those in flight."""

    def __init__(self, connect_s: float = 2.0, mesh: tuple[Network, ...] = ()) -> None:
        self.connect_s = connect_s
        self.mesh = mesh
        self._idle: dict[str, deque[Line]] = {}
        self.active: set[Line] = set()
        self.now = 0.0
        """Monotonic seconds, as of the last tick while lines are in flight: good enough for time-outs, and free."""
        self.timer: asyncio.TimerHandle | None = None

    def take(self, endpoint: Endpoint) -> Line | None:
        """An idle line, youngest first; None when there is none."""
        idle = self._idle.get(endpoint.authority)
        while idle:
            line = idle.pop()
            if not line.transport.is_closing() and line.endpoint.boundary is endpoint.boundary:
                return line
            line.transport.abort()
        return None

    async def dial(self, endpoint: Endpoint) -> Line:
        """A new connection, to the pinned address; OSError or TimeoutError when there is none within `connect_s`."""
        if endpoint.is_socket:
            return await self._dial_socket(endpoint)
        if boundary_of(endpoint.address, self.mesh) > endpoint.boundary:
            raise BoundaryRefused(f"{endpoint.address} lies beyond {endpoint.boundary.name}, which its endpoint claims")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self.connect_s):
            _, line = await loop.create_connection(lambda: Line(self, endpoint), endpoint.address, endpoint.port)
        return line

    async def _dial_socket(self, endpoint: Endpoint) -> Line:
        """To the egress process on this machine: whatever is said there may go to a cloud, so it lies at CLOUD.

        PermissionError when another user's process listens there: it is told nothing.
        """
        if endpoint.boundary is not Boundary.CLOUD:
            raise BoundaryRefused(f"{endpoint.address} lies beyond {endpoint.boundary.name}, which its endpoint claims")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self.connect_s):
            while True:
                try:
                    _, line = await loop.create_unix_connection(lambda: HeadedLine(self, endpoint), endpoint.address)
                    break
                except BlockingIOError:  # many dial at once: unlike TCP, a full queue of a Unix socket does not wait
                    await asyncio.sleep(FULL_QUEUE_S)
        if line.transport.is_closing():  # the end of it is told where it is asked something
            return line
        uid = peer_uid(line.transport)
        if uid != os.geteuid():
            line.transport.abort()
            log.error("%s belongs to another user (uid %d): nothing is said there", endpoint.address, uid)
            raise PermissionError(errno.EACCES, "another user listens there", endpoint.address)
        return line

    def keep(self, line: Line) -> None:
        """Put an idle line back. Those at the far end, which are used least, go first when there are too many."""
        idle = self._idle.get(line.endpoint.authority)
        if idle is None:
            idle = self._idle[line.endpoint.authority] = deque()
        idle.append(line)
        if len(idle) > IDLE_LINES:
            idle.popleft().transport.abort()

    def forget(self, line: Line) -> None:
        idle = self._idle.get(line.endpoint.authority)
        if idle is not None:
            if line in idle:
                idle.remove(line)
            if not idle:
                del self._idle[line.endpoint.authority]

    def start_clock(self) -> float:
        """To be called when a line begins to be in flight; returns `now`."""
        if self.timer is None:
            self.now = monotonic()
            self.timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        return self.now

    def close(self) -> None:
        """Drop every connection; receivers in flight are told that they lost theirs."""
        for line in list(self.active):
            line.transport.abort()
        for idle in list(self._idle.values()):
            for line in list(idle):
                line.transport.abort()

    def _tick(self) -> None:
        now = self.now = monotonic()
        self.timer = asyncio.get_running_loop().call_later(TICK_S, self._tick) if self.active else None
        for line in [line for line in self.active if line.expires_at < now]:
            line.expire()

    # -- control requests ---------------------------------------------------------------------------------------

    async def fetch(
        self, endpoint: Endpoint, path: str, timeout_s: float = 2.0, *, about: dict[str, Any] | None = None
    ) -> Fetched:
        """One JSON document of an engine, for probing: GET, or POST of `about`, which names a model. Carries no text of
        any call, so it needs no permit."""
        permit = Permit("probe", endpoint.boundary, endpoint.boundary)
        data = orjson.dumps(about) if about is not None else b""
        try:
            return await self._exchange(endpoint, permit, "POST" if data else "GET", path, data, timeout_s)
        except BoundaryRefused:  # what lies too far is not even looked at
            return Fetched(0)

    async def ask(self, endpoint: Endpoint, permit: Permit, path: str, body: Any, timeout_s: float) -> Fetched:
        """POST of what holds text of a call, for a question about that text. Under the permit of the call, and no
        other: BoundaryRefused where that does not cover the address."""
        return await self._exchange(endpoint, permit, "POST", path, orjson.dumps(body), timeout_s)

    async def _exchange(
        self, endpoint: Endpoint, permit: Permit, method: str, path: str, data: bytes, timeout_s: float
    ) -> Fetched:
        gathering = _Gathering()
        length = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(data) if method == "POST" else b""
        try:
            async with asyncio.timeout(timeout_s):
                line = await self.dial(endpoint)
                try:
                    if line.transport.is_closing():  # it died as soon as it was made: nobody would tell us
                        return Fetched(0)
                    start = f"{method} {endpoint.prefix}{path} HTTP/1.1\r\n".encode("ascii")
                    head = start + endpoint.head + length + b"accept: application/json\r\nconnection: close\r\n\r\n"
                    gathering.line = line
                    line.ask(gathering, permit, head, data, timeout_s, timeout_s, keep=False)
                    await gathering.done
                finally:
                    line.cancel()
        except (OSError, TimeoutError):
            return Fetched(0)
        return gathering.result()


class _Gathering:
    """A receiver for small control answers."""

    LIMIT_BYTES = 8 * 1024 * 1024

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.line: Line
        self._status = 0
        self._body = bytearray()

    def on_piece(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self.LIMIT_BYTES:
            self._body = bytearray()
            self._finish()

    def on_end(self) -> None:
        self._status = self.line.status()
        self._finish()

    def on_lost(self, reason: str) -> None:
        """An answer that ends with its connection is whole when it can be read."""
        self._status = self.line.status() if reason == "lost" and self._body else 0
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def result(self) -> Fetched:
        body: Any = None
        try:
            body = orjson.loads(self._body) if self._body else None
        except orjson.JSONDecodeError:
            body = self._body.decode("utf-8", "replace") if self._status == 200 else None
        return Fetched(self._status, body)
