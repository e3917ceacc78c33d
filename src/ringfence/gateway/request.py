"""One request and the way to answer it, whichever connection it came on."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from ringfence.core.errors import Failure
from ringfence.gateway.head import NO_HEAD, Head
from ringfence.gateway.ids import CallIds
from ringfence.gateway.refusal import OVERLOADED, told, told_midway
from ringfence.gateway.route import Route
from ringfence.gateway.voice import EVENT_HEAD, Voice

if TYPE_CHECKING:
    from ringfence.gateway.http import Connection

STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
STATUS_LINES[OVERLOADED] = b"HTTP/1.1 529 Overloaded\r\n"
IDS = CallIds()
"""For what was refused before it became a call."""
CHUNK = b"%x\r\n%b\r\n"


class Site(Protocol):
    """What answers requests."""

    def screen(self, request: Request) -> Failure | None:
        """Look at the head; a Failure is answered instead of `serve`, and the body is thrown away."""
        ...

    def serve(self, request: Request) -> None:
        """Start answering; must not block."""
        ...


class Request:
    """One request and the way to answer it. Exactly one of `answer`, `fail` and `begin` … `finish` is called."""

    # Defaults live on the class: setting a dozen attributes per request would cost a microsecond for nothing.
    body: bytes | bytearray = b""
    form: dict[str, Any] | None = None
    """The body where it was a form, and was read."""
    identity: Any = None
    route: Any = None
    voice: Voice | None = None
    """Tells the answer, where it was not asked for in a dialect that engines speak. What `answer` is given was told."""
    discard = False
    is_answered = False
    refusal: Failure | None = None
    reserved_bytes = 0
    on_gone: Callable[[], object] | None = None
    on_pause: Callable[[], object] | None = None
    on_resume: Callable[[], object] | None = None
    is_chunked = False
    _is_mute = False

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

    def fail(self, failure: Failure, call_id: str = "") -> None:
        """An error answer, in the shape that this caller reads; the end of a streamed one that was begun. It has an id
        though no call came of it, for callers who ask about it."""
        call_id = call_id or self.head.request_id or IDS.next(self.started_at)
        if self.is_answered:
            self.write(self.told_midway(failure, call_id))
            self.finish()
        elif isinstance(self.route, Route):
            self.answer(*self.route.told(failure, self.head, call_id))
        else:
            self.answer(*told(failure, self.head, call_id))

    def told_midway(self, failure: Failure, call_id: str) -> bytes:
        """The event with which a stream ends that broke; a voice is told it as it hears all else."""
        return told_midway(failure, NO_HEAD if self.voice is not None else self.head, call_id)

    def begin_events(self, head: bytes) -> None:
        """Start a stream of events, or of what the dialect has in their place. One that was begun goes on."""
        if not self.is_answered:
            self.begin(200, head + (EVENT_HEAD if self.voice is None else self.voice.stream_head))

    def begin(self, status: int, head: bytes) -> None:
        """Start a streamed answer; the first `write` should follow at once."""
        connection = self.connection
        self.is_answered = True
        if connection.is_gone:
            return
        self.is_chunked = self.head.is_http11
        self._is_mute = self.head.method == b"HEAD"
        if self.is_chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing, self.keep_alive = b"", False
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        connection.write(b"%b%b%b%b%b" % (STATUS_LINES[status], connection.server.date, head, framing, end))

    def write(self, data: bytes) -> None:
        """Go on with a streamed answer."""
        self.put(data if self.voice is None else self.voice.feed(data))

    def finish(self) -> None:
        """The end of a streamed answer."""
        if self.voice is not None:
            self.put(self.voice.end())
        self.close()

    def break_off(self, failure: Failure, call_id: str) -> None:
        """The end of a streamed answer that broke: with an event that says so, where that can still be told."""
        try:
            self.write(self.told_midway(failure, call_id))
            self.finish()
        except Exception:  # a voice that made nothing of what came may make nothing of that either
            self.abort()

    def put(self, data: bytes) -> None:
        """Send a part of an answer as it is."""
        connection = self.connection
        if self._is_mute or connection.is_gone or not data:
            return
        connection.write(CHUNK % (len(data), data) if self.is_chunked else data)

    def close(self) -> None:
        """Nothing more comes of this answer."""
        connection = self.connection
        if connection.is_gone:
            return
        if self.is_chunked and not self._is_mute:
            connection.write(b"0\r\n\r\n")
        connection.finished(self)

    def abort(self) -> None:
        """End a streamed answer so that the client knows it is not whole."""
        self.connection.abort()

    @property
    def is_gone(self) -> bool:
        return self.connection.is_gone
