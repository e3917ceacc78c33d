"""A fake cloud on loopback: OpenAI's or Anthropic's API over real sockets, as strict as the real one; TLS if asked.

async with FakeCloud("anthropic", api_key="secret", certificate=make_certificate(folder)) as cloud:
    cloud.once(Conduct(Misdeed.ERROR_EVENT, after_events=3))
    ...
    assert cloud.calls[-1].headers["x-api-key"] == "secret"
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

from ringfence.testing import fake_cloud_answers as answers
from ringfence.testing.fake_cloud_answers import Saying
from ringfence.testing.fake_cloud_batches import FakeBatches
from ringfence.testing.fake_cloud_message_batches import FakeMessageBatches
from ringfence.testing.fake_cloud_rules import ANTHROPIC_VERSIONS, Refused, check_anthropic, check_openai
from ringfence.testing.ports import listen

KINDS = ("openai", "anthropic")
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
MAX_BODY_BYTES = 32 * 1024 * 1024


class Misdeed(StrEnum):
    """What a cloud can do wrong in one answer. ERROR_EVENT and DROP come after `after_events` events of a stream."""

    NONE = "none"
    STATUS = "status"
    REDIRECT = "redirect"
    ERROR_EVENT = "error_event"
    DROP = "drop"
    CLOSE = "close"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Conduct:
    """How one request is answered. `status`, `body` and `headers` go with STATUS, `location` with REDIRECT.

    DROP breaks the connection, CLOSE ends the stream in order but too early. `piece_bytes` cuts a stream into pieces.
    """

    misdeed: Misdeed = Misdeed.NONE
    status: int = 500
    body: Any = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    location: str = "http://127.0.0.1:1/elsewhere"
    after_events: int = 2
    piece_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body_bytes: bytes = field(repr=False)
    connection: int

    @property
    def body(self) -> Any:
        return json.loads(self.body_bytes)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM. A client that is to trust the cloud takes `cert_path` for its authority."""

    cert_path: Path
    key_path: Path


def make_certificate(folder: Path, names: tuple[str, ...] = ("localhost",)) -> Certificate:
    """A self-signed certificate for `names` and 127.0.0.1, for two days. Needs the openssl program; blocks."""
    cert, key = folder / "cloud.pem", folder / "cloud.key"
    alternatives = ",".join([*(f"DNS:{name}" for name in names), "IP:127.0.0.1"])
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={names[0]}",
            "-addext",
            f"subjectAltName={alternatives}",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    key.chmod(0o600)
    return Certificate(cert, key)


class FakeCloud:
    """Start it with `async with`. `says` is what its models answer, `always` how, where `once` says nothing."""

    def __init__(
        self,
        kind: str = "openai",
        *,
        api_key: str = "cloud-key",
        models: tuple[str, ...] = ("fake-large",),
        reasoning: tuple[str, ...] = (),
        window: int = 4096,
        most_output: int = 1024,
        certificate: Certificate | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"a fake cloud is one of {', '.join(KINDS)}")
        self.kind = kind
        self.api_key = api_key
        self.models = frozenset((*models, *reasoning))
        self.reasoning = frozenset(reasoning)
        self.window = window
        self.most_output = most_output
        self.says = Saying()
        self.always = Conduct()
        self.requests: list[Asked] = []
        self.connections = 0
        self.open_connections = 0
        self.bytes_in = 0
        self.batches = FakeBatches(self._line_answered)
        """Of a cloud of OpenAI's kind."""
        self.message_batches = FakeMessageBatches(self._message_answered)
        """Of a cloud of Anthropic's kind."""
        self._address = address
        self._certificate = certificate
        self._next: deque[Conduct] = deque()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._answering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FakeCloud:
        context: ssl.SSLContext | None = None
        if self._certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._certificate.cert_path, self._certificate.key_path)
        self._server = await listen(self._connected, self._address, ssl=context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        if self._answering:
            await asyncio.wait(self._answering, timeout=1.0)
        await server.wait_closed()

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the fake cloud is not running")
        return self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """Without a version; clients of OpenAI's want '/v1' behind it."""
        return f"http://{self._address}:{self.port}" if self._certificate is None else f"https://localhost:{self.port}"

    @property
    def calls(self) -> list[Asked]:
        """The requests for answers."""
        return [asked for asked in self.requests if asked.method == "POST"]

    def once(self, *conducts: Conduct) -> None:
        """The next requests are answered so, one each."""
        self._next.extend(conducts)

    # -- one connection -------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        if task is not None:
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        number = self.connections
        try:
            while (asked := await self._read(reader, number)) is not None:
                self.requests.append(asked)
                if not await self._answer(asked, reader, writer):
                    break
                await writer.drain()
                if asked.headers.get("connection", "").lower() == "close":
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            self.open_connections -= 1
            self._writers.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> Asked | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as cut:
            self.bytes_in += len(cut.partial)
            return None
        self.bytes_in += len(head)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _version = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
        size = int(headers.get("content-length", "0"))
        if size > MAX_BODY_BYTES:
            raise ValueError("too large")
        body = await reader.readexactly(size)
        self.bytes_in += size
        return Asked(method, path, headers, body, connection)

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False when the connection must end."""
        conduct = self._next.popleft() if self._next else self.always
        if conduct.misdeed is Misdeed.HANG:
            await reader.read()  # until the client is gone
            return False
        if conduct.misdeed in (Misdeed.STATUS, Misdeed.REDIRECT):
            writer.write(self._told(conduct))
            return True
        return await self._answered(asked, conduct, writer)

    async def _answered(self, asked: Asked, conduct: Conduct, writer: asyncio.StreamWriter) -> bool:
        """As `_answer`, by what is asked."""
        try:
            batches = self.batches if self.kind == "openai" else self.message_batches
            if batches.serves(asked.path):
                return self._batch_answered(batches, asked, conduct, writer)
            body = self._checked(asked)
        except Refused as refused:
            writer.write(_whole(refused.status, self._error(refused), conduct.headers))
            return True
        if body.get("stream"):
            return await self._stream(body, conduct, writer)
        if conduct.misdeed in (Misdeed.DROP, Misdeed.CLOSE):
            return False
        answer = answers.openai_answer if self.kind == "openai" else answers.anthropic_answer
        writer.write(_whole(200, answer(body, self.says), conduct.headers))
        return True

    def _told(self, conduct: Conduct) -> bytes:
        if conduct.misdeed is Misdeed.REDIRECT:
            status = conduct.status if 300 <= conduct.status < 400 else 307
            return _whole(status, {}, (("location", conduct.location), *conduct.headers))
        body = conduct.body
        if body is None:
            body = self._error(Refused("as told", conduct.status, "api_error"))
        return _whole(conduct.status, body, conduct.headers)

    async def _stream(self, body: dict[str, Any], conduct: Conduct, writer: asyncio.StreamWriter) -> bool:
        events = answers.openai_events if self.kind == "openai" else answers.anthropic_events
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
            + _lines(conduct.headers) + b"\r\n"
        )  # fmt: skip
        for number, event in enumerate(events(body, self.says)):
            if number == conduct.after_events and conduct.misdeed in (Misdeed.DROP, Misdeed.CLOSE, Misdeed.ERROR_EVENT):
                if conduct.misdeed is Misdeed.DROP:
                    await writer.drain()
                    return False
                if conduct.misdeed is Misdeed.ERROR_EVENT:
                    broken = answers.openai_break() if self.kind == "openai" else answers.anthropic_break()
                    writer.write(b"%x\r\n%b\r\n" % (len(broken), broken))
                break
            for piece in _cut(event, conduct.piece_bytes):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        return True

    # -- what is refused ------------------------------------------------------------------------------------------

    def _error(self, refused: Refused) -> dict[str, Any]:
        return answers.openai_error(refused) if self.kind == "openai" else answers.anthropic_error(refused)

    def _checked(self, asked: Asked) -> dict[str, Any]:
        self._check_key(asked.headers)
        if asked.method != "POST" or asked.path != PATHS[self.kind]:
            raise Refused(f"Invalid URL ({asked.method} {asked.path})", 404, self._named("not_found_error"))
        version = self._check_version(asked.headers)
        if not asked.headers.get("content-type", "").startswith("application/json"):
            raise Refused("the content type must be application/json")
        try:
            body = asked.body
        except ValueError:
            raise Refused("We could not parse the JSON body of your request.") from None
        if not isinstance(body, dict):
            raise Refused("the body must be an object")
        if self.kind == "openai":
            check_openai(body, self.models, self.reasoning, self.window)
        else:
            check_anthropic(body, version, self.models, self.window, self.most_output)
        return body

    def _batch_answered(
        self, batches: FakeBatches | FakeMessageBatches, asked: Asked, conduct: Conduct, writer: asyncio.StreamWriter
    ) -> bool:
        """False where it was done, and nobody is to hear of it. Raises Refused."""
        self._check_key(asked.headers)
        self._check_version(asked.headers)
        found = batches.served(asked.method, asked.path, asked.headers, asked.body_bytes)
        if conduct.misdeed is Misdeed.DROP:
            return False
        writer.write(_whole(200, found, conduct.headers))
        return True

    def _line_answered(self, body: dict[str, Any]) -> dict[str, Any]:
        """Of a line of a batch."""
        check_openai(body, self.models, self.reasoning, self.window)
        return answers.openai_answer(body, self.says)

    def _message_answered(self, body: dict[str, Any]) -> dict[str, Any]:
        """Of a line of a batch of messages."""
        check_anthropic(body, "2023-06-01", self.models, self.window, self.most_output)
        return answers.anthropic_answer(body, self.says)

    def _check_version(self, headers: dict[str, str]) -> str:
        version = headers.get("anthropic-version")
        if self.kind == "anthropic" and version not in ANTHROPIC_VERSIONS:
            raise Refused("anthropic-version: header is required" if version is None else "anthropic-version: invalid")
        return str(version)

    def _check_key(self, headers: dict[str, str]) -> None:
        shown = headers.get("authorization", "").removeprefix("Bearer ")
        if self.kind == "anthropic":
            shown = headers.get("x-api-key", shown)
            if shown != self.api_key:
                raise Refused("invalid x-api-key", 401, "authentication_error")
        elif shown != self.api_key:  # as the real one, it quotes the ends of what it was shown
            masked = f"{shown[:3]}{'*' * 8}{shown[-4:]}"
            raise Refused(f"Incorrect API key provided: {masked}.", 401, code="invalid_api_key")

    def _named(self, type_: str) -> str:
        return type_ if self.kind == "anthropic" else "invalid_request_error"


def _cut(event: bytes, size: int) -> Iterator[bytes]:
    if not size:
        yield event
        return
    for start in range(0, len(event), size):
        yield event[start : start + size]


def _lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")


def _whole(status: int, body: Any, headers: tuple[tuple[str, str], ...]) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n".encode()
    return head + _lines(headers) + b"\r\n" + data
