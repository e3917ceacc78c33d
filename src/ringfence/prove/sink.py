"""The sink: `python -m ringfence.prove.sink`, in a namespace of its own, to which every packet of the house comes.

It counts each one, answers every name, plays every cloud and every engine of the mesh, whatever their address, and says
whether a text that it was told of has arrived. Driven over standard input and output, a line of JSON each.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import struct
import sys
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from ringfence.prove.network import RESOLVER, SINK_LINK, open_sink
from ringfence.prove.packets import NAMES_PORT, Flow, Packet, answer, question, read_packet
from ringfence.testing import fake_cloud_answers as clouds
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine, Recorded
from ringfence.tether import die_with_parent

ALL_PROTOCOLS = 3  # ETH_P_ALL of if_ether.h
SOL_PACKET, PACKET_STATISTICS = 263, 6  # if_packet.h
STATISTICS = struct.Struct("2I")  # struct tpacket_stats: packets, drops
BUFFER_BYTES = 8 * 1024 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
ENGINE_MODEL = "decoy"
TLS_HANDSHAKE = b"\x16"  # RFC 8446, 5.1: the content type of a first record
LOOK_HEADERS = {"accept": "application/json", "connection": "close"}
"""All that a look at an engine carries, besides the host that is looked at."""
SHOW_PATH = "/api/show"
"""Of an Ollama: a page about one model, which is named in a body."""


class Sink:
    """What has come, and what is answered."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names
        self.packets: Counter[Packet] = Counter()
        self.texts: list[str] = []
        self.arrived: set[str] = set()
        self.engines: dict[int, FakeEngine] = {}
        """By the port on which each is found, whatever the address."""
        self._no_engine: set[Flow] = set()
        """Connections that speak TLS or ended without a word: nothing will be asked of an engine on them."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._missed = 0
        self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._raw.bind((SINK_LINK, 0))
        self._raw.setblocking(False)

    async def open(self, tls: ssl.SSLContext, ports: set[int]) -> None:
        """Answer on these ports and on those of the engines. Raises OSError."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._raw, self._count)
        await loop.create_datagram_endpoint(lambda: _Names(self), local_addr=(RESOLVER, NAMES_PORT))
        for port in sorted(ports | self.engines.keys()):
            for family, every in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 in a network of its own
                listener = socket.create_server((every, port), family=family)
                listener.setblocking(False)
                self._begin(self._accept(listener, port, tls))

    def told(self) -> dict[str, Any]:
        """Everything since the start; whoever asks takes differences. `missed` packets came and were not looked at."""
        self._count()
        for engine in self.engines.values():
            for request in engine.requests:
                self.look_for_texts(json.dumps([request.path, request.headers, request.body]))
        looks, unsaid = self._flows()
        return {
            "packets": [[*packet, count] for packet, count in self.packets.items()], "missed": self._missed,
            "arrived": sorted(self.arrived), "looks": looks, "unsaid": unsaid,
        }  # fmt: skip

    def _flows(self) -> tuple[list[Flow], int]:
        """Connections to engines of the mesh that only look at them, and how many have not asked anything yet."""
        engines = self.engines
        looks: list[Flow] = []
        unsaid = 0
        for flow in {(packet.address, packet.source, packet.port) for packet in self.packets if packet.port in engines}:
            engine = engines[flow[2]]
            asked = [request for request in engine.requests if request.client_port == flow[1]]
            if not asked:
                unsaid += flow not in self._no_engine
            elif all(self._is_look(engine, flow[0], request) for request in asked):
                looks.append(flow)
        return looks, unsaid

    def _is_look(self, engine: FakeEngine, address: str, request: Recorded) -> bool:
        """One of the engine's pages, asked for with nothing more than it takes: all else could carry something."""
        host = (urlsplit(f"//{request.headers.get('host', '')}").hostname or "").lower()
        more = {k: v for k, v in request.headers.items() if k != "host"}
        if request.method == "POST":  # the name of one of its models, and nothing that could be said beside it
            names = [{"model": model.name} for model in engine.dialect.models]
            is_page = request.path == SHOW_PATH and engine.kind == "ollama" and request.body in names
            more = {k: v for k, v in more.items() if k not in ("content-type", "content-length")}
        else:
            is_page = request.method == "GET" and engine.dialect.description(request.path) is not None
        is_bare = "?" not in request.path and LOOK_HEADERS.items() >= more.items()
        return is_page and is_bare and (host == address or host in self.names)

    def look_for_texts(self, data: str) -> None:
        """As they are, or as they stand in an address."""
        read = (data, unquote_plus(data))
        self.arrived |= {text for text in self.texts if any(text in one for one in read)}

    def _count(self) -> None:
        with suppress(BlockingIOError):
            while True:
                frame, address = self._raw.recvfrom(65536)
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                if packet := read_packet(frame):
                    self.packets[packet] += 1
        _, dropped = STATISTICS.unpack(self._raw.getsockopt(SOL_PACKET, PACKET_STATISTICS, STATISTICS.size))
        self._missed += dropped  # since it was asked last

    # -- who is asked ----------------------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket, port: int, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            self._begin(self._take(connection, port, tls))

    async def _take(self, connection: socket.socket, port: int, tls: ssl.SSLContext) -> None:
        """A cloud speaks TLS and an engine does not: both may be at one port, at different addresses."""
        with suppress(OSError):
            first = await _first_byte(connection)
            if first in (b"", TLS_HANDSHAKE):
                self._no_engine.add((connection.getsockname()[0], connection.getpeername()[1], port))
            is_engine = first != TLS_HANDSHAKE and port in self.engines
            serve = self.engines[port].serve if is_engine else self._serve
            protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, connection, ssl=tls if first == TLS_HANDSHAKE else None
            )

    # -- every cloud ----------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").lower().split("\r\n")
                size = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
                body = await reader.readexactly(min(size, MAX_BODY_BYTES))
                self.look_for_texts((head + body).decode("latin-1"))
                for piece in _cloud_answer(lines[0].split(" ")[1], body):
                    writer.write(piece)
                await writer.drain()
        writer.close()


async def _first_byte(connection: socket.socket) -> bytes:
    """Without taking it away; empty when none comes any more. Raises OSError."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    is_there: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection, lambda: is_there.done() or is_there.set_result(None))
    try:
        await is_there
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK)


class _Names(asyncio.DatagramProtocol):
    """Answers every name: those that it knows, and nothing for others. The question alone is a leak by then."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        transport: Any = self._transport
        transport.sendto(answer(data, self._sink.names.get(question(data))), addr)


def _cloud_answer(path: str, raw: bytes) -> Iterator[bytes]:
    """In the dialect that the path belongs to; anything else gets an empty object. Files are not taken, once read."""
    if path.endswith("/files"):
        yield b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        return
    body: dict[str, Any] = json.loads(raw) if raw else {}
    says = clouds.Saying()
    is_chat, is_messages = path.endswith("/chat/completions"), path.endswith("/messages")
    if body.get("stream") and (is_chat or is_messages):
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        for event in (clouds.openai_events if is_chat else clouds.anthropic_events)(body, says):
            yield b"%x\r\n%b\r\n" % (len(event), event)
        yield b"0\r\n\r\n"
        return
    told: dict[str, Any] = {}
    if is_chat or is_messages:
        told = (clouds.openai_answer if is_chat else clouds.anthropic_answer)(body, says)
    elif path.endswith("/embeddings"):
        vector = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
        told = {"object": "list", "data": vector, "model": body.get("model"), "usage": {"prompt_tokens": 1}}
    elif path.endswith("/completions"):
        choice = {"index": 0, "text": "Hello.", "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        told = {"object": "text_completion", "model": body.get("model"), "choices": [choice], "usage": usage}
    data = json.dumps(told).encode()
    yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)


async def _drive(spec: dict[str, Any]) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(spec["certificate"], spec["key"])
    sink = Sink(spec["names"])
    sink.engines |= {port: FakeEngine("vllm", (FakeModel(ENGINE_MODEL),)) for port in spec["engine_ports"]}
    await sink.open(tls, {*spec["tls_ports"], *spec["plain_ports"]})
    _say({"ready": True})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        sink.names.update(order.get("names", {}))
        sink.texts += order.get("texts", [])
        _say(sink.told())


def main() -> None:
    """Says that it is there, waits for the cable and what to play, and then answers each line with what has come."""
    die_with_parent(os.getppid())
    _say({"pid": os.getpid()})
    spec = json.loads(sys.stdin.readline())
    open_sink()
    asyncio.run(_drive(spec))
    os._exit(0)  # a thread may still wait for input


def _say(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
