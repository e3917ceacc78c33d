"""One cell of the matrix: a gateway over real sockets in front of what breaks, one request, and what came of it."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composed import Gateway, Reply, target
from matrix import BROKEN_OFF, OTHER, ROWS, WELL, Row
from outgoing import KEY, away, provider
from spoken import SAID, SPOKEN

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.route import Profile
from ringfence.gateway.cloud import Cloud
from ringfence.gateway.relay import Timeouts
from ringfence.providers import openai
from ringfence.routing.health import BROKEN
from ringfence.testing.fake_cloud import Certificate
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine

QUICK = Timeouts(first_byte_s=0.5, between_bytes_s=0.5, answer_s=0.5)
PATIENT = Timeouts(first_byte_s=20, between_bytes_s=20, answer_s=20)
MOST_AT_ONCE = 50
"""Calls of rented clouds: more of them, and on a busy machine one is late that should not be."""
NOBODY = Endpoint("127.0.0.1", 9, Boundary.HOST)
MODEL = "fast"
AGAIN_AND_AGAIN = re.compile("(The)*( quick)*")
"""What a stream without end says."""


@dataclass
class Came:
    """What came of one request, in the words of the table."""

    seen: str
    ledger: str
    counts: str


def watched(gateway: Gateway) -> Counter[str]:
    """What is told to the health of targets from now on."""
    counts: Counter[str] = Counter()
    health = gateway.pipeline.health
    record, ended = health.record, health.ended

    def recorded(target: Any, reason: str, *more: Any) -> None:
        counts[reason] += 1
        record(target, reason, *more)

    def has_ended(target: Any, outcome: str, *more: Any) -> None:
        if outcome in BROKEN:
            counts[f"{outcome} after the first byte"] += 1
        ended(target, outcome, *more)

    health.record, health.ended = recorded, has_ended  # type: ignore[method-assign]
    return counts


async def asked(gateway: Gateway, way: tuple[str, bool], timeout_s: float = 25.0) -> Reply:
    name, is_stream = way
    client = await gateway.client()
    async with asyncio.timeout(timeout_s):
        stream = {"stream": is_stream} if SPOKEN[name].piece else {}
        head, body = SPOKEN[name].asked({"model": MODEL, **stream})
        reply = await client.ask(SPOKEN[name].path, body, head=head)
    client.leave()
    return reply


def seen(reply: Reply, way: tuple[str, bool]) -> str:
    """What the caller got. Whatever is neither a whole answer nor a clear error is told as it is."""
    name, is_stream = way
    if not reply.is_whole:
        is_beginning = SPOKEN[name].is_sound and reply.status == 200
        return BROKEN_OFF if is_beginning else f"HALF: {reply}"
    if reply.status != 200:
        later = reply.head.get("retry-after")
        status, code = SPOKEN[name].refused(reply)
        return f"{status} `{code}`" + (f", retry-after {later}" if later else "")
    is_other = reply.head["x-ringfence-target"] == "seat/well"
    if not is_stream:
        said = SPOKEN[name].said(reply.body if SPOKEN[name].is_sound else reply.json)
        return f"SHOWN AS WHOLE: {said!r}" if said != SAID else OTHER if is_other else WELL
    piece = SPOKEN[name].piece
    assert piece is not None
    told = SPOKEN[name].streamed(reply)
    said = "".join(map(piece, told.events))
    if not told.is_whole:
        is_beginning = SAID.startswith(said) or AGAIN_AND_AGAIN.fullmatch(said)
        return f"error event `{told.code}`" if told.code and is_beginning else f"NO END: {reply.body!r}"
    return f"SHOWN AS WHOLE: {said!r}" if said != SAID else OTHER if is_other else WELL


def written(gateway: Gateway) -> str:
    """The one row of the ledger."""
    (answered,) = gateway.answered
    if answered.usage is None:
        return answered.kind.outcome
    return f"{answered.kind.outcome}, usage {'estimated' if answered.usage.estimated else 'told'}"


def counted(counts: Counter[str]) -> str:
    return ", ".join(
        reason.removesuffix(" after the first byte") + ("" if "after" in reason else f" x{count}")
        for reason, count in counts.items()
    ) or "-"  # fmt: skip


class Rented:
    """The clouds of the matrix: for each row one that has its fault, behind one egress process."""

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        self._folder = folder
        self._certificate = certificate
        self._stack = AsyncExitStack()
        self.engines: dict[str, FakeEngine] = {}
        self.urls: dict[str, str] = {}
        self._few = asyncio.Semaphore(MOST_AT_ONCE)
        self.endpoint: Endpoint

    async def __aenter__(self) -> Rented:
        try:
            for row in (row for row in ROWS if row.cloud):
                await self._open(row)
            told = [provider(url, _named(fault)) for fault, url in self.urls.items()]
            timeouts = {
                "connect_s": 5.0, "first_byte_s": 5.0, "between_bytes_s": 5.0, "answer_s": 5.0, "call_s": 20.0,
            }  # fmt: skip
            outside = await self._stack.enter_async_context(away(self._folder, *told, timeouts=timeouts))
        except BaseException:
            await self._stack.aclose()
            raise
        self.endpoint = outside.endpoint
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self, row: Row) -> None:
        engine = FakeEngine("vllm", (FakeModel("fake-large"),), api_key=KEY)
        self.engines[row.fault] = await self._stack.enter_async_context(engine)
        engine.always = row.always
        port = engine.port
        if row.refuses:
            await engine.stop()
        elif row.place == "untrusted":  # by nobody: this egress process has no authority of ours
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(self._certificate.cert_path, self._certificate.key_path)
            server = await asyncio.start_server(engine.serve, "127.0.0.1", 0, ssl=tls)
            self._stack.callback(server.close)
            port = server.sockets[0].getsockname()[1]
        elif row.place == "plain":
            server = await asyncio.start_server(_refuses_tls, "127.0.0.1", 0)
            self._stack.callback(server.close)
            port = server.sockets[0].getsockname()[1]
        scheme = "https" if row.place in ("untrusted", "plain") else "http"
        # A label of more than 63 characters is refused by the resolver itself, which asks nobody.
        host = f"https://{'long' * 16}.invalid" if row.place == "nowhere" else f"{scheme}://127.0.0.1:{port}"
        self.urls[row.fault] = f"{host}/v1"

    async def tried(self, row: Row, way: tuple[str, bool], *, has_second: bool) -> str:
        """What the caller sees."""
        name, url = _named(row.fault), self.urls[row.fault]
        rented = target(
            "rented/broken", model=MODEL, engine_model="fake-large", provider=name, boundary=Boundary.CLOUD, engine=""
        )
        targets = (rented, *([target("seat/well", model="well")] if has_second else []))
        async with self._few, FakeEngine("vllm") as well:
            gateway = Gateway(
                self.endpoint, targets=targets, timeouts=PATIENT, profile=Profile("default", Boundary.CLOUD)
            )
            gateway.relay.clouds[name] = Cloud(openai.ADAPTER, url, 100)
            gateway.seats.elsewhere["seat/well"] = well.endpoint
            async with gateway:
                if row.once:
                    self.engines[row.fault].once(*row.once)
                return seen(await asked(gateway, way), way)


async def _refuses_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a server of plain HTTP answers what it cannot read."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    writer.close()


def _named(fault: str) -> str:
    """A name that a provider may have."""
    return re.sub(r"[^a-z0-9]+", "-", fault.lower())[:60].strip("-")


async def tried(row: Row, way: tuple[str, bool], *, has_second: bool) -> Came:
    """One request to a target that breaks as `row` says; `has_second`: to a chain with another one, which is well."""
    targets = (target("seat/broken", model=MODEL), *([target("seat/well", model="well")] if has_second else []))
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(FakeEngine("vllm"))
        is_sound = SPOKEN[way[0]].is_sound
        engine.always = row.in_sound if is_sound and row.in_sound is not None else row.always
        engine.once(*row.once)
        endpoint = NOBODY if row.refuses else engine.endpoint
        timeouts = QUICK if row.is_slow else PATIENT
        gateway = await stack.enter_async_context(Gateway(endpoint, targets=targets, timeouts=timeouts))
        if has_second:
            well = await stack.enter_async_context(FakeEngine("vllm"))
            gateway.seats.elsewhere["seat/well"] = well.endpoint
        counts = watched(gateway)
        reply = await asked(gateway, way)
        await gateway.assert_at_rest()
        ledger = written(gateway)
        return Came(seen(reply, way), ledger if SPOKEN[way[0]].counts else ledger.partition(",")[0], counted(counts))
