"""The whole gateway over real sockets, in forty lines, and a client that says exactly the bytes it is told to say.

Run as a program it serves until it is killed, for tests that measure a process: `composed.py '{"engine": 8000}'`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import uvloop

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Endpoint, Model, Target
from ringfence.core.identity import Key
from ringfence.core.ledger import CallRow, HoldRow, Spent
from ringfence.core.registry import adapters
from ringfence.core.route import House, Profile
from ringfence.egress.pool import Pool
from ringfence.engines import llamacpp, ollama, openai_compatible, vllm
from ringfence.gateway import dialects
from ringfence.gateway.admission import Admission
from ringfence.gateway.counting import messages_counting
from ringfence.gateway.deciding import Settings
from ringfence.gateway.dialects import messages
from ringfence.gateway.http import HttpServer, Limits
from ringfence.gateway.ids import CallIds
from ringfence.gateway.limits import RateLimits
from ringfence.gateway.listing import Models
from ringfence.gateway.ollama_pages import OllamaPages
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.relay import Relay, Timeouts
from ringfence.gateway.site import Front
from ringfence.placement.lease import Lease, Users
from ringfence.routing.health import Health
from ringfence.telemetry.events import Answered, Events

ENGINES: dict[str, Any] = {each.ADAPTER.kind: each.ADAPTER for each in (llamacpp, ollama, openai_compatible, vllm)}
SECRET = b"sk-test"
MIB = 1024 * 1024


class Keys:
    """One key, unless told otherwise."""

    version = 1

    def __init__(self, key: Key) -> None:
        self.known = {SECRET: key}

    def find(self, secret: bytes) -> Key | None:
        return self.known.get(secret)


class Seats:
    """Placement with one instance per target, all at the same endpoint; counts leases as the real one does."""

    def __init__(self, endpoint: Endpoint | None) -> None:
        self.endpoint = endpoint
        self.elsewhere: dict[str, Endpoint] = {}
        self.users = Users()
        self.failures: list[tuple[str, str]] = []
        self.misses: list[str] = []
        self.ready: asyncio.Event | None = None

    def take(self, target: Target) -> Lease | None:
        endpoint = self.elsewhere.get(target.name, self.endpoint)
        return Lease(self.users, endpoint) if endpoint is not None and self.ready is None else None

    async def lease(self, target: Target, timeout_s: float, urgency: int = 0) -> Lease:
        if self.ready is not None:
            await asyncio.wait_for(self.ready.wait(), timeout_s)
        endpoint = self.elsewhere.get(target.name, self.endpoint)
        assert endpoint is not None
        return Lease(self.users, endpoint)

    def estimate_s(self, target: Target) -> float | None:
        return None

    def is_here(self, target: Target) -> bool:
        return self.ready is None and self.elsewhere.get(target.name, self.endpoint) is not None

    def missed(self, target: Target, urgency: int = 0) -> None:
        self.misses.append(target.name)

    def failed(self, target: Target, reason: str) -> None:
        self.failures.append((target.name, reason))


class Notes:
    """What is held for calls to clouds, and the rows that they end with; on no disk."""

    def __init__(self) -> None:
        self.standing: dict[str, HoldRow] = {}
        self.rows: list[CallRow] = []

    async def hold(self, row: HoldRow) -> None:
        self.standing[row.id] = row

    def release(self, hold_id: str) -> None:
        del self.standing[hold_id]

    def record(self, row: CallRow) -> None:
        self.rows.append(row)
        del self.standing[row.hold_id or ""]

    async def spent_since(self, since_s: float) -> list[Spent]:
        return []

    async def holds(self) -> list[HoldRow]:
        return list(self.standing.values())


def target(name: str = "seat/fast", **changes: Any) -> Target:
    told: dict[str, Any] = {
        "model": "fast", "engine": "vllm", "engine_model": "fake-model", "boundary": Boundary.HOST, "window": 4096,
        "slots": 8, "abilities": frozenset(Ability),
    }  # fmt: skip
    return Target(name, **(told | changes))


@dataclass
class Gateway:
    """Composed of the real parts; only keys and placement are doubles."""

    engine: Endpoint | None
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    targets: tuple[Target, ...] = (target(),)
    key: Key | None = field(default_factory=lambda: Key("key_1", "tests"))
    retries: int = 2
    queue: int = 16
    wait_s: float = 5.0
    profile: Profile = field(default_factory=lambda: Profile("default"))
    app: Any = None

    def __post_init__(self) -> None:
        self.happened: list[object] = []
        self.faults: list[dict[str, Any]] = []
        self.events = Events((self.happened.append,))
        self.seats = Seats(self.engine)
        self.pool = Pool()
        self.relay = Relay(self.pool, self.timeouts, ENGINES)
        self.admission = Admission(self.queue, self.wait_s)
        self.rate_limits = RateLimits(time.monotonic)
        catalog = Catalog.of([Model("fast", self.targets, aliases=("quick",))])
        self.pipeline = Pipeline(
            Settings(catalog, House({"default": self.profile}, {}, {}), retries=self.retries, lease_wait_s=2.0),
            limits=self.rate_limits,
            admission=self.admission,
            placement=self.seats,
            relay=self.relay,
            health=Health(time.monotonic),
            emit=self.events.emit,
            ids=CallIds(),
        )
        self.pipeline.money.rows = Notes()
        self.keys = Keys(self.key) if self.key is not None else None
        self.front = Front(
            self.pipeline,
            list(adapters(dialects, "DIALECT", "name").values()),
            self.keys,
            apps=lambda: self.app,
            metrics=lambda: ("text/plain", b"up 1\n"),
            is_ready=lambda: True,
            emit=self.events.emit,
        )
        self.front.desks = [
            Models(self.pipeline), OllamaPages(self.pipeline), messages_counting(self.pipeline, messages.DIALECT),
        ]  # fmt: skip
        self.server = HttpServer(self.front, self.limits)
        self.port = 0

    async def __aenter__(self) -> Gateway:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.faults.append(context))
        self.port = await self.server.listen("127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.assert_at_rest()
        finally:
            for connection in list(self.server.connections):
                connection.abort()
            await self.server.drain(1.0)
            self.pool.close()
        if kind is None:
            assert self.faults == []

    @property
    def answered(self) -> list[Answered]:
        self.events.flush()
        return [event for event in self.happened if type(event) is Answered]

    def held(self) -> dict[str, object]:
        """Whatever somebody still has; empty at rest."""
        lanes = {name: (lane.running, len(lane.waiting)) for name, lane in self.admission.lanes.items()}
        found = {
            "body bytes": self.server.body_bytes,
            "calls": list(self.pipeline.running),
            "places": {name: busy for name, busy in lanes.items() if busy != (0, 0)},
            "leases": self.seats.users.count,
            "lines": len(self.pool.active),
        }
        return {name: what for name, what in found.items() if what}

    async def assert_at_rest(self, timeout_s: float = 25.0) -> None:
        """Everything that any request held was given back."""
        until = time.monotonic() + timeout_s
        while self.held() and time.monotonic() < until:
            await asyncio.sleep(0.01)
        assert self.held() == {}

    async def client(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=64 * MIB)
        return Client(reader, writer)


@dataclass
class Reply:
    """One answer as it came over the wire. `is_whole` is False when it ended before its framing said so."""

    status: int
    head: dict[str, str]
    body: bytes = b""
    is_whole: bool = True
    version: str = "1.1"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object; fails when it does not have OpenAI's shape."""
        assert self.head["content-type"] == "application/json"
        assert list(self.json) == ["error"]
        found = self.json["error"]
        assert set(found) == {"message", "type", "param", "code"}
        assert isinstance(found["message"], str) and found["message"] and isinstance(found["type"], str)
        return found

    @property
    def events(self) -> list[str]:
        """The data of each server-sent event."""
        assert self.head["content-type"].startswith("text/event-stream")
        *whole, rest = self.body.decode().split("\n\n")
        assert rest == ""
        return [event.removeprefix("data: ") for event in whole]

    @property
    def text(self) -> str:
        """What was said, of a chat stream."""
        chunks = [json.loads(event) for event in self.events if event.startswith("{")]
        return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk.get("choices", ()))


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Reply:
        """Status line and headers of the next answer."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        matched = re.fullmatch(r"HTTP/(\d\.\d) (\d{3}) [A-Za-z' -]+", first)
        assert matched, first
        pairs = [line.split(": ", 1) for line in lines]
        assert len({name for name, _ in pairs}) == len(pairs), "a header is given twice"
        return Reply(int(matched[2]), dict(pairs), version=matched[1])

    async def answer(self, *, is_head: bool = False) -> Reply:
        """The next whole answer, read as its framing says."""
        reply = await self.head()
        if is_head or reply.status == 100:
            return reply
        try:
            if reply.head.get("transfer-encoding") == "chunked":
                reply.body = await self._chunks()
            elif "content-length" in reply.head:
                reply.body = await self.reader.readexactly(int(reply.head["content-length"]))
            else:
                reply.body = await self.reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            reply.is_whole = False
        return reply

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int((await self.reader.readuntil(b"\r\n"))[:-2], 16)
            parts.append((await self.reader.readexactly(size + 2))[:-2])
            if size == 0:
                return b"".join(parts)

    async def chunk(self) -> bytes:
        """One chunk of a streamed answer whose head was read."""
        size = int((await self.reader.readuntil(b"\r\n"))[:-2], 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def ask(self, *args: Any, **kwargs: Any) -> Reply:
        await self.send(request(*args, **kwargs))
        return await self.answer()

    async def is_closed(self, timeout_s: float = 25.0) -> bool:
        """Whether the server ends the connection, with nothing more to say."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    async def is_served(self) -> bool:
        """Whether this connection still works."""
        return (await self.ask("/health", method="GET")).status == 200

    def leave(self) -> None:
        """At once, without a word."""
        self.writer.transport.abort()


CHAT: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": "hello there"}]}
STREAM: dict[str, Any] = CHAT | {"stream": True}
PATH = "/v1/chat/completions"


def request(
    path: str = PATH,
    body: Any = None,
    *,
    method: str = "POST",
    head: bytes = b"",
    version: str = "1.1",
    secret: bytes = SECRET,
) -> bytes:
    """The bytes of one request; `body` is bytes or JSON, `head` is more header lines."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    length = b"content-length: %d\r\n" % len(data) if method == "POST" else b""
    key = b"authorization: Bearer %b\r\n" % secret if secret else b""
    return b"%b %b HTTP/%b\r\nhost: localhost\r\n%b%b%b\r\n%b" % (
        method.encode(), path.encode(), version.encode(), key, length, head, data
    )  # fmt: skip


async def refused(client: Client, status: int, code: str) -> Reply:
    """The next answer is this error, in OpenAI's shape, and the connection ends."""
    reply = await client.answer()
    assert (reply.status, reply.error["code"]) == (status, code), reply.body
    assert reply.head["connection"] == "close"
    assert await client.is_closed()
    return reply


@asynccontextmanager
async def scripted(*pieces: bytes | float, then_close: bool = True) -> AsyncIterator[Endpoint]:
    """An engine that reads a request and says exactly these bytes; a number is a pause in seconds."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
                for piece in pieces:
                    if isinstance(piece, bytes):
                        writer.write(piece)
                    else:
                        await asyncio.sleep(piece)
                if then_close:
                    break
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], Boundary.HOST)
    finally:
        server.close()


@asynccontextmanager
async def recorded(answer: bytes) -> AsyncIterator[tuple[Endpoint, list[dict[str, Any]]]]:
    """An engine that says the same to every request, and what it was asked."""
    bodies: list[dict[str, Any]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(size))
                if b" /v1/" in head.partition(b"\r\n")[0]:  # and not to a question of the gateway's own
                    bodies.append(body)
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], Boundary.HOST), bodies
    finally:
        server.close()


def event(text: str, **more: Any) -> bytes:
    return (
        b"data: "
        + json.dumps({"model": "m", "choices": [{"index": 0, "delta": {"content": text}}]} | more).encode()
        + b"\n\n"
    )


EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


async def until(claim: Callable[[], object], timeout_s: float = 25.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not claim():
            await asyncio.sleep(0.005)


async def _serve(told: dict[str, Any]) -> None:
    engine = Endpoint("127.0.0.1", told["engine"], Boundary.HOST) if "engine" in told else None
    targets = (target(window=told.get("window", 4096)),)
    async with Gateway(engine, limits=Limits(**told.get("limits", {})), targets=targets) as gateway:
        gc.collect()
        gc.freeze()
        print(gateway.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(json.loads(sys.argv[1])))
