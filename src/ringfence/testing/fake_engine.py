"""A fake engine on loopback that speaks an engine's dialect over real sockets, and misbehaves when told to.

async with FakeEngine("vllm") as engine:
    engine.once(Behaviour(Fault.CUT, after_events=2))
    ...
    assert engine.requests[-1].client_left_s is not None
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.testing import fake_media, fake_ollama
from ringfence.testing.fake_controls import Controls
from ringfence.testing.fake_dialects import Dialect, FakeModel, words_in
from ringfence.testing.fake_twists import Twist
from ringfence.testing.ports import listen

RANK = "/v1/rerank"
INFERENCE = frozenset(
    ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", RANK, *fake_ollama.ROUTES, *fake_media.ROUTES)
)
COUNTING = frozenset(("/v1/chat/completions/input_tokens", "/apply-template", "/tokenize"))
LOOK_EVERY_S = 0.005
WORDS = ("The", " quick", " brown", " fox", " jumps", ".")


class Fault(StrEnum):
    """What an engine can do wrong in one answer."""

    NONE = "none"
    HANG = "hang"
    STALL = "stall"
    CUT = "cut"
    RESET = "reset"
    DROP = "drop"
    STATUS = "status"
    BAD_JSON = "bad_json"
    BAD_SSE = "bad_sse"
    SLOW_HEAD = "slow_head"
    OVERSIZED = "oversized"
    GARBAGE = "garbage"
    REDIRECT = "redirect"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one request is answered. STALL, CUT and RESET come after `after_events` events of a stream.

    `body` and `headers` (whole lines) go with STATUS, `location` with REDIRECT, which is also for requests that look at
    the engine. A `twist` gets the right answer to send, and sends what it makes of it.
    `newline` and `byte_by_byte` shape the events of a stream; `between_s` is the pause between them, and between the
    pieces of a slow head.
    """

    fault: Fault = Fault.NONE
    status: int = 500
    body: Any = field(default=None, repr=False)
    headers: str = ""
    location: str = ""
    twist: Twist | None = None
    after_events: int = 2
    newline: bytes = b"\n"
    byte_by_byte: bool = False
    between_s: float = 0.0
    oversized_bytes: int = 16 * 1024 * 1024


@dataclass(slots=True)
class Recorded:
    """One request as it came in. Times are of time.monotonic(); `client_left_s` is None when the client stayed."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any] = field(repr=False)
    connection: int
    client_port: int
    began_s: float
    ended_s: float | None = None
    client_left_s: float | None = None
    parts: list[fake_media.Part] = field(default_factory=list[fake_media.Part], repr=False)
    """Of a form; `body` has its texts, and of a file the size."""


class _ClientLeft(Exception):
    """Nobody reads the answer any more."""


class _Hangup(Exception):
    """The connection must end now, as the behaviour says."""


class FakeEngine:
    """Start it with `async with` or `start` and `stop`. `always` is for every request that `once` says nothing of."""

    def __init__(
        self,
        kind: str = "vllm",
        models: tuple[FakeModel, ...] = (FakeModel(),),
        *,
        slots: int = 4,
        api_key: str | None = None,
        words: tuple[str, ...] = WORDS,
    ) -> None:
        self.kind = kind
        self.controls = Controls(Dialect(kind, models, slots, words))
        self.api_key = api_key
        self.lacks: frozenset[str] = frozenset()
        """Paths that this version does not have."""
        self.always = Behaviour()
        self.requests: list[Recorded] = []
        self.connections = 0
        self.open_connections = 0
        self._next: deque[Behaviour] = deque()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    async def __aenter__(self) -> FakeEngine:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, port: int = 0, address: str = "127.0.0.1") -> None:
        """Listen; a fixed port is for coming back after `stop`."""
        self._is_stopped = False
        if port:
            self._server = await asyncio.start_server(self.serve, address, port)
        else:
            self._server = await listen(self.serve, address)

    async def stop(self) -> None:
        """Refuse new connections and break the open ones."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self._is_stopped = True
        self.drop_connections()
        if self._answering:
            await asyncio.wait(self._answering, timeout=1.0)
        await server.wait_closed()

    def drop_connections(self) -> None:
        """Break the open ones; new ones are taken."""
        for writer in list(self._writers):
            writer.transport.abort()

    @property
    def dialect(self) -> Dialect:
        """What it says; of an Ollama, the models that are loaded change with what it is told."""
        return self.controls.dialect

    @dialect.setter
    def dialect(self, dialect: Dialect) -> None:
        self.controls.dialect = dialect

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the fake engine is not running")
        return self._server.sockets[0].getsockname()[1]

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port, Boundary.HOST, api_key=self.api_key)

    @property
    def calls(self) -> list[Recorded]:
        """The inference requests, without those that look at the engine or have it count."""
        return [request for request in self.requests if request.method == "POST" and request.path in INFERENCE]

    @property
    def counted(self) -> list[Recorded]:
        """The requests that have it count the tokens of a text."""
        return [request for request in self.requests if request.path in COUNTING]

    def once(self, *behaviours: Behaviour) -> None:
        """The next inference requests are answered so, one each."""
        self._next.extend(behaviours)

    def as_usual(self) -> None:
        """What `once` said and did not come about is forgotten."""
        self._next.clear()

    # -- one connection -------------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, also one that came in through another's door."""
        if self._is_stopped:  # it was taken just before, and nobody knew of it yet
            writer.transport.abort()
            return
        self.connections += 1
        self.open_connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        if task is not None:
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        number, port = self.connections, writer.get_extra_info("peername")[1]
        request: Recorded | None = None
        try:
            while (request := await _read(reader, number, port)) is not None:
                self.requests.append(request)
                await self._answer(request, _Wire(reader, writer))
                request.ended_s = time.monotonic()
                if request.headers.get("connection", "").lower() == "close":
                    break
        except _ClientLeft:
            if request is not None:  # this connection's own: another may have come in meanwhile
                request.client_left_s = time.monotonic()
        except (_Hangup, OSError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self.open_connections -= 1
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, request: Recorded, wire: _Wire) -> None:
        if self.api_key is not None and request.headers.get("authorization") != f"Bearer {self.api_key}":
            said = {"message": "Invalid API Key", "type": "authentication_error", "code": 401}
            return await wire.json(401, {"error": said})
        if (told := self.controls.told(request.method, request.path, request.body)) is not None:
            return await wire.json(*told)
        if request.method == "GET":
            page = self.dialect.description(request.path)
            if self.always.fault is Fault.HANG:
                await wire.until_gone()
            if self.always.fault is Fault.REDIRECT:
                return await wire.redirect(self.always.location)
            missing = {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}
            return await wire.json(404, missing) if page is None else await wire.json(200, page)
        if not self._is_inference(request):
            if self.always.fault is Fault.HANG:
                await wire.until_gone()
            told = None if request.path in self.lacks else self.dialect.told(request.path, request.body)
            missing = {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}
            status = self.dialect.lacking(request.path)
            return await wire.json(status, missing) if told is None else await wire.json(200, told)
        behaviour = self._next.popleft() if self._next else self.always
        return await self._infer(request, wire, behaviour)

    def _is_inference(self, request: Recorded) -> bool:
        """A ranking without documents only asks whether there are any."""
        if request.path == RANK and "documents" not in request.body:
            return False
        return request.path in INFERENCE and (self.kind == "ollama" or request.path not in fake_ollama.ROUTES)

    async def _infer(self, request: Recorded, wire: _Wire, behaviour: Behaviour) -> None:
        while self.controls.asleep:  # whatever comes in waits until it is woken
            await wire.pause(LOOK_EVERY_S)
        await _before_answer(wire, behaviour)
        if await _refused(wire, behaviour):
            return None
        if request.path in fake_ollama.ROUTES:
            return await self._infer_as_ollama(request, wire, behaviour)
        body = request.body
        model = self.dialect.find(body.get("model"))
        refused = self.dialect.refusal(model, body)
        if model is None or refused is not None:
            return await wire.json(*(refused or (404, None)))
        if request.path in fake_media.ROUTES:
            return await _in_sounds_and_pictures(wire, request, behaviour)
        route = request.path.removeprefix("/v1/").replace("chat/completions", "chat")
        if body.get("stream") and route not in ("embeddings", "rerank"):
            return await _stream(wire, self.dialect.events(route, model, body), behaviour)
        answer = json.dumps(self.dialect.answer(route, model, body)).encode()
        return await _whole(wire, answer, behaviour)

    async def _infer_as_ollama(self, request: Recorded, wire: _Wire, behaviour: Behaviour) -> None:
        """By the routes of its own, which tell errors in another form and stream lines."""
        route, body = fake_ollama.ROUTES[request.path], request.body
        model = self.dialect.find(body.get("model"))
        if model is None:
            return await wire.json(404, {"error": f"model '{body.get('model')}' not found"})
        try:
            asked = fake_ollama.heard(route, body)
        except fake_ollama.Wrong as wrong:
            return await wire.json(400, {"error": str(wrong)})
        tokens = words_in(asked)
        if refused := fake_ollama.refusal(route, body, asked, tokens, model.window):
            return await wire.json(400, {"error": refused})
        if asked["stream"]:
            lines = fake_ollama.lines(route, self.dialect.events(route, model, asked))
            return await _stream(wire, lines, behaviour, "application/x-ndjson")
        answer = json.dumps(fake_ollama.whole(route, self.dialect.answer(route, model, asked))).encode()
        return await _whole(wire, answer, behaviour)


async def _in_sounds_and_pictures(wire: _Wire, request: Recorded, behaviour: Behaviour) -> None:
    body = request.body
    if request.path == fake_media.SPEECH and body.get("stream_format") == "sse":
        return await _stream(wire, fake_media.spoken_events(str(body.get("input"))), behaviour)
    if request.path == fake_media.SPEECH:
        return await _stream(wire, fake_media.spoken(str(body.get("input"))), behaviour, fake_media.SOUND_KIND)
    if body.get("stream") == "true":
        return await _stream(wire, fake_media.heard(body), behaviour)
    kind, answer = fake_media.told(request.path, body)
    return await _whole(wire, answer, behaviour, kind)


async def _refused(wire: _Wire, behaviour: Behaviour) -> bool:
    """Whether it is told off as the behaviour says."""
    if behaviour.fault is Fault.REDIRECT:
        await wire.redirect(behaviour.location)
    elif behaviour.fault is Fault.STATUS:
        said = {"error": {"message": "as told", "type": "server_error", "code": behaviour.status}}
        body = said if behaviour.body is None else behaviour.body
        await wire.json(behaviour.status, body, behaviour.headers)
    else:
        return False
    return True


async def _before_answer(wire: _Wire, behaviour: Behaviour) -> None:
    """Faults that come before the first byte."""
    match behaviour.fault:
        case Fault.HANG:
            await wire.until_gone()
        case Fault.DROP:
            raise _Hangup
        case Fault.GARBAGE:
            await wire.send(b"\x16\x03\x01 this is no HTTP at all\r\n\r\n")
            raise _Hangup
        case Fault.RESET if behaviour.after_events == 0:
            wire.reset()
        case _:
            pass


async def _twisted(wire: _Wire, parts: list[bytes], twist: Twist, is_stream: bool) -> None:
    if not await twist(wire, parts, is_stream):
        raise _Hangup


async def _whole(wire: _Wire, answer: bytes, behaviour: Behaviour, kind: str = "application/json") -> None:
    if behaviour.twist is not None:
        return await _twisted(wire, [answer], behaviour.twist, False)
    match behaviour.fault:
        case Fault.BAD_JSON:
            answer = answer[: len(answer) // 2] + b"}}"
        case Fault.OVERSIZED:
            answer = answer[:-1] + b', "padding": "' + b"x" * behaviour.oversized_bytes + b'"}'
        case Fault.CUT | Fault.RESET | Fault.STALL:
            await wire.send(wire.head(200, kind, len(answer)) + answer[: len(answer) // 2])
            return await _break(wire, behaviour.fault)
        case _:
            pass
    head = wire.head(200, kind, len(answer))
    await _send_head(wire, head, behaviour)
    await wire.send(answer)
    return None


async def _stream(wire: _Wire, events: Iterator[bytes], behaviour: Behaviour, kind: str = "text/event-stream") -> None:
    if behaviour.twist is not None:
        return await _twisted(wire, list(events), behaviour.twist, True)
    await _send_head(wire, wire.head(200, kind, None), behaviour)
    for number, event in enumerate(events):
        if number == behaviour.after_events:
            match behaviour.fault:
                case Fault.CUT | Fault.RESET | Fault.STALL:
                    return await _break(wire, behaviour.fault)
                case Fault.BAD_SSE:
                    await wire.chunk(b'data: {"choices": [{"delta": {"content": \n\nno field at all\n\n')
                    break
                case Fault.OVERSIZED:
                    await wire.chunk(b"data: " + b"x" * behaviour.oversized_bytes)
                case _:
                    pass
        shaped = event.replace(b"\n", behaviour.newline)
        for piece in (bytes((byte,)) for byte in shaped) if behaviour.byte_by_byte else (shaped,):
            await wire.chunk(piece)
        if behaviour.between_s:
            await wire.pause(behaviour.between_s)
    await wire.send(b"0\r\n\r\n")
    return None


async def _send_head(wire: _Wire, head: bytes, behaviour: Behaviour) -> None:
    if behaviour.fault is not Fault.SLOW_HEAD:
        return await wire.send(head)
    for line in head.splitlines(keepends=True):
        await wire.send(line)
        await wire.pause(behaviour.between_s)
    return None


async def _break(wire: _Wire, fault: Fault) -> None:
    if fault is Fault.STALL:
        await wire.until_gone()
    if fault is Fault.RESET:
        wire.reset()
    raise _Hangup


class _Wire:
    """The way back to the client; it notices when nobody is there."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def head(self, status: int, content_type: str, length: int | None, headers: str = "") -> bytes:
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        return f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\n{headers}{framing}\r\n\r\n".encode()

    async def json(self, status: int, body: Any, headers: str = "") -> None:
        """Or a page of text."""
        data, kind = (
            (body.encode(), "text/plain") if type(body) is str else (json.dumps(body).encode(), "application/json")
        )
        await self.send(self.head(status, kind, len(data), headers) + data)

    async def redirect(self, location: str) -> None:
        await self.send(f"HTTP/1.1 307 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def send(self, data: bytes) -> None:
        if self._is_gone():
            raise _ClientLeft
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError:
            raise _ClientLeft from None

    async def pause(self, seconds: float) -> None:
        """Waits, unless the client leaves meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._is_gone():
                raise _ClientLeft
            await asyncio.sleep(min(LOOK_EVERY_S, left))

    async def until_gone(self) -> None:
        """Never answers."""
        await self.pause(float("inf"))

    def reset(self) -> None:
        """RST instead of FIN."""
        raw: socket.socket | None = self._writer.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        raise _Hangup

    def _is_gone(self) -> bool:
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.is_closing()


async def _read(reader: asyncio.StreamReader, connection: int, port: int) -> Recorded | None:
    """One request, or None when the client is done."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = head.decode("latin-1").split("\r\n")
    method, path, _version = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest) if name}
    body: Any = {}
    parts: list[fake_media.Part] = []
    if size := int(headers.get("content-length", "0")):
        data = await reader.readexactly(size)
        if headers.get("content-type", "").startswith("multipart/"):
            parts = fake_media.parts_of(headers["content-type"], data)
            body = fake_media.fields_of(parts)
        else:
            body = json.loads(data)
    asked = body if isinstance(body, dict) else {}
    return Recorded(method, path, headers, asked, connection, port, time.monotonic(), parts=parts)
