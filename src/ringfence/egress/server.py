"""HTTP/1.1 on a Unix socket, for one kind of caller: a gateway of the same user. One call at a time on a connection.

Whoever breaks that form is cut off rather than argued with. A caller that goes away is noticed while its call runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import httptools
import orjson

from ringfence.egress.caps import MAX_PERMIT_BYTES, Refused
from ringfence.egress.peer import peer_uid

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
BODY_MEMORY_BYTES = 128 * 1024 * 1024
MAX_CALLERS = 2000
BACKLOG = 1024
REQUEST_S = 30.0
PHRASES = {status.value: status.phrase for status in HTTPStatus}
CHUNK = b"%x\r\n%b\r\n"
log = logging.getLogger("ringfence.egress.server")


class Asked:
    """One request, whole, and the way to answer it: `refuse` or `answer`, or `begin`, `write` … `finish` or `abort`."""

    on_gone: Callable[[], object] | None = None
    on_pause: Callable[[], object] | None = None
    on_resume: Callable[[], object] | None = None

    def __init__(self, caller: Caller, method: bytes, path: bytes, permit: bytes, body: bytes) -> None:
        self._caller = caller
        self.method = method
        self.path = path
        self.permit = permit
        self.body = body

    @property
    def is_gone(self) -> bool:
        """True when nobody waits for the answer any more."""
        return self._caller.asked is not self

    @property
    def is_paused(self) -> bool:
        """True while the caller reads slower than we write."""
        return self._caller.is_paused

    def refuse(self, refused: Refused) -> None:
        """An answer of egress itself, told apart from a cloud's by its header."""
        head = [(b"x-egress-refused", refused.code.encode("ascii"))]
        if refused.retry_after_s is not None:
            head.append((b"retry-after", b"%d" % max(1, -int(-refused.retry_after_s // 1))))
        self.answer(refused.status, {"error": {"code": refused.code, "message": refused.message}}, head)

    def answer(self, status: int, body: object, head: list[tuple[bytes, bytes]] | None = None) -> None:
        """A whole answer in JSON."""
        if self.is_gone:
            return
        data = orjson.dumps(body)
        lines = [(b"content-type", b"application/json"), *(head or []), (b"content-length", b"%d" % len(data))]
        self._caller.transport.write(_head(status, lines) + data)
        self._caller.finished(self)

    def begin(self, status: int, head: list[tuple[bytes, bytes]]) -> None:
        """Start an answer whose length is not known."""
        if not self.is_gone:
            self._caller.transport.write(_head(status, [*head, (b"transfer-encoding", b"chunked")]))

    def write(self, data: bytes) -> None:
        if data and not self.is_gone:
            self._caller.transport.write(CHUNK % (len(data), data))

    def finish(self) -> None:
        if not self.is_gone:
            self._caller.transport.write(b"0\r\n\r\n")
            self._caller.finished(self)

    def abort(self) -> None:
        """End an answer that was begun so that the caller knows it is not whole."""
        if not self.is_gone:
            self._caller.cut_off()


class Caller(asyncio.Protocol):
    """One connection of a gateway."""

    def __init__(self, server: SocketServer) -> None:
        self._server = server
        self.transport: asyncio.Transport
        self.asked: Asked | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._deadline: asyncio.TimerHandle | None = None
        self.is_paused = False
        self._reserved_bytes = 0
        self._start()

    def _start(self) -> None:
        self._url = b""
        self._permits: list[bytes] = []
        self._lengths: list[bytes] = []
        self._parts: list[bytes] = []
        self._head_bytes = 0
        self._is_head_read = False
        self._refusal: Refused | None = None

    # -- asyncio ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        if not self._server.admit(self):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.asked is not None:  # it was told to wait for its answer
            self.transport.abort()
            return
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(REQUEST_S, self.transport.abort)
        if not self._is_head_read:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._break_off(cause if isinstance(cause, Refused) else _unreadable("it is not valid HTTP/1.1"))
            return
        except httptools.HttpParserUpgrade:
            self._break_off(_unreadable("no other protocol is spoken here"))
            return
        if not self._is_head_read and self._head_bytes > MAX_HEAD_BYTES:
            self._break_off(_unreadable(f"its head is larger than {MAX_HEAD_BYTES} bytes"))

    def eof_received(self) -> bool:
        return False  # who hangs up does not wait for an answer

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self._server.forget(self)
        self._let_go()
        asked, self.asked = self.asked, None
        if asked is not None and asked.on_gone is not None:
            asked.on_gone()

    def pause_writing(self) -> None:
        self.is_paused = True
        if self.asked is not None and self.asked.on_pause is not None:
            self.asked.on_pause()

    def resume_writing(self) -> None:
        self.is_paused = False
        if self.asked is not None and self.asked.on_resume is not None:
            self.asked.on_resume()

    # -- httptools ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.asked is not None:
            raise _unreadable("one call at a time")
        self._start()
        self._head_bytes = 1

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"x-permit":
            self._permits.append(value)
        elif name == b"content-length":
            self._lengths.append(value)
        elif name == b"transfer-encoding":
            raise _unreadable("a body needs a content-length")

    def on_headers_complete(self) -> None:
        self._is_head_read = True
        length = int(self._lengths[0]) if self._lengths and self._lengths[0].isdigit() else 0
        if length > MAX_BODY_BYTES:
            self._refusal = Refused(413, "too_large", f"The body is larger than {MAX_BODY_BYTES} bytes.")
        elif self._server.reserve(length):
            self._reserved_bytes = length
        else:
            message = "Too many large bodies at once. Try again shortly."
            self._refusal = Refused(503, "overloaded", message, retry_after_s=1)

    def on_body(self, data: bytes) -> None:
        if self._refusal is None:  # else read to its end, so that the answer is not lost with the connection
            self._parts.append(data)

    def on_message_complete(self) -> None:
        self._stop_clock()
        permit = self._permits[0] if len(self._permits) == 1 else b""
        body, self._parts = b"".join(self._parts), []
        asked = self.asked = Asked(self, self._parser.get_method(), self._url, permit[: MAX_PERMIT_BYTES + 1], body)
        if self._refusal is not None:
            asked.refuse(self._refusal)
        else:
            self._server.serve(asked)

    # -- inside -------------------------------------------------------------------------------------------------

    def finished(self, asked: Asked) -> None:
        """An answer is on its way; the next request may come."""
        if self.asked is asked:
            self.asked = None
            self._let_go()
            if not self._parser.should_keep_alive() or self._server.is_closing:
                self.transport.close()

    def cut_off(self) -> None:
        """End the connection in the middle of an answer."""
        self.asked = None
        self._let_go()
        self.transport.abort()

    def _break_off(self, refused: Refused) -> None:
        """Say why, and close: what follows on this connection cannot be trusted. A call under way is given up."""
        if self.asked is not None:
            self.transport.abort()
            return
        self.asked = Asked(self, b"", b"", b"", b"")
        self.asked.refuse(refused)
        self.transport.close()

    def _let_go(self) -> None:
        self._server.release(self._reserved_bytes)
        self._reserved_bytes = 0

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class SocketServer:
    """Listens on a path that only this user can reach, and lets in only this user."""

    def __init__(self, serve: Callable[[Asked], object]) -> None:
        self.serve = serve
        self.callers: set[Caller] = set()
        self.is_closing = False
        self._body_bytes = 0
        self._listening: asyncio.Server | None = None

    async def listen(self, path: Path) -> None:
        """Take the place of a socket that was left behind; the caller holds a claim on it. Raises OSError."""
        _clear(path)
        before = os.umask(0o177)
        try:
            self._listening = await asyncio.get_running_loop().create_unix_server(
                lambda: Caller(self), path, backlog=BACKLOG
            )
        finally:
            os.umask(before)

    def admit(self, caller: Caller) -> bool:
        """False for another user, and for one connection too many."""
        uid = peer_uid(caller.transport)
        if uid != os.geteuid():
            log.warning("a connection of another user (uid %d) was refused", uid)
            return False
        self.callers.add(caller)
        return len(self.callers) <= MAX_CALLERS

    def forget(self, caller: Caller) -> None:
        self.callers.discard(caller)

    def reserve(self, size: int) -> bool:
        if self._body_bytes + size > BODY_MEMORY_BYTES:
            return False
        self._body_bytes += size
        return True

    def release(self, size: int) -> None:
        self._body_bytes -= size

    def stop_listening(self) -> None:
        """No new caller, and no new call of an old one; calls under way go on."""
        self.is_closing = True
        if self._listening is not None:
            self._listening.close()
        for caller in list(self.callers):
            if caller.asked is None:
                caller.transport.close()

    def close(self) -> None:
        """Cut off whoever is left."""
        for caller in list(self.callers):
            caller.transport.abort()


def _clear(path: Path) -> None:
    if path.is_socket():
        path.unlink()


def _head(status: int, lines: list[tuple[bytes, bytes]]) -> bytes:
    start = f"HTTP/1.1 {status} {PHRASES.get(status, 'Unknown')}\r\n".encode("ascii")
    return b"".join((start, *(b"%b: %b\r\n" % line for line in lines), b"\r\n"))


def _unreadable(why: str) -> Refused:
    return Refused(400, "malformed_request", f"This request cannot be read: {why}.")
