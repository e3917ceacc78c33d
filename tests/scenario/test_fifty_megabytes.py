"""A request of 50 MB: it is answered from within the window, soon, in bounded memory, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest
from composed import CHAT, MIB, PATH, Client, request

from ringfence.testing import fake_dialects
from ringfence.testing.fake_engine import FakeEngine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SIZE = 50_000_000
WINDOW = 32_768
BYTES_A_TOKEN = 3
ATTEMPTS = 4
MOST_S, MOST_BYTES, MOST_WAIT_S = 2.0, 400 * MIB, 0.25
MOST_STALL_S = 0.75
"""The body is parsed at one go, which nobody can interrupt: 2 ms a MB, 5 where a character takes four bytes."""
CHINESE = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地"
Body = dict[str, Any]


def sentences(size: int, seed: int = 7) -> str:
    """Lines of words and numbers, about so many bytes."""
    draw = Random(seed)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 10))) for _ in range(5000)]
    lines = [f"{' '.join(draw.choices(words, k=14))} {draw.randint(0, 10**6)}.\n" for _ in range(5000)]
    each = sum(map(len, lines)) / len(lines)
    return "".join(draw.choices(lines, k=int(size / each)))


def user(text: str) -> list[Body]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


def tool_result(text: str) -> list[Body]:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return [
        {"role": "user", "content": "Which worker lost its lease?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": text},
    ]


def many_messages() -> list[Body]:
    text = sentences(SIZE // 8)
    each, draw = SIZE // 20_000, Random(1)
    starts = [draw.randrange(len(text) - each) for _ in range(20_000)]
    return [
        {"role": ("user", "assistant")[at % 2], "content": text[start : start + each]}
        for at, start in enumerate(starts[:-1])
    ]


def one_line_json() -> str:
    draw = Random(3)
    notes = sentences(SIZE // 50).splitlines()
    rows = [json.dumps({"id": draw.randint(1, 10**8), "note": note, "took_ms": draw.random()}) for note in notes]
    each = sum(map(len, rows)) / len(rows) + 1
    return '{"rows":[' + ",".join(draw.choices(rows, k=int(SIZE / each / 1.09))) + "]}"


VARIANTS: dict[str, Callable[[], list[Body]]] = {
    "one message of a user": lambda: user(sentences(SIZE)),
    "one result of a tool": lambda: tool_result(sentences(SIZE)),
    "20,000 messages": many_messages,
    "one line of JSON": lambda: tool_result(one_line_json()),
    "one word": lambda: user("x" * SIZE),
    "Chinese": lambda: user("".join(Random(5).choices(CHINESE, k=60)) * (SIZE // 180)),
    "English with an emoji": lambda: user(sentences(SIZE // 2) + "\N{GRINNING FACE}" + sentences(SIZE // 2, 8)),
}  # fmt: skip


def posted(port: int, data: bytes) -> tuple[float, int, dict[str, str], bytes]:
    """Seconds from the last byte of the request to the first of the answer; status, headers and body."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(data)
        sent = monotonic()
        raw = line.recv(65_536)
        took = monotonic() - sent
        while b"\r\n\r\n" not in raw:
            raw += line.recv(65_536)
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(one.split(": ", 1) for one in lines)
        while len(body) < int(headers["content-length"]):
            body += line.recv(65_536)
    return took, int(first.split()[1]), headers, body


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeEngine]:
    monkeypatch.setattr(fake_dialects, "words_in", counted)
    async with FakeEngine("vllm", (fake_dialects.FakeModel(window=WINDOW),)) as engine:
        yield engine


async def small_ones(client: Client, done: asyncio.Event) -> list[float]:
    """How long each of another client's requests took, one after the other until the event."""
    waited: list[float] = []
    while not done.is_set():
        began = monotonic()
        assert (await client.ask(PATH, CHAT)).status == 200
        waited.append(monotonic() - began)
        await asyncio.sleep(0.005)
    return waited


@pytest.mark.parametrize("name", VARIANTS)
async def test_it_is_answered_and_nobody_waits(name: str, process: Any, engine: FakeEngine) -> None:
    server = await process(window=WINDOW, max_body_bytes=64 * MIB, body_memory_bytes=128 * MIB)
    client = await connected(server.port)
    data = request(body=json.dumps({"model": "fast", "messages": VARIANTS[name]()}, ensure_ascii=False).encode())
    for attempt in range(ATTEMPTS):  # the wall clock is everybody's: of several attempts the calmest
        for _ in range(20):
            assert (await client.ask(PATH, CHAT)).status == 200
        engine.requests.clear()
        seen = await watched(server, client, data)
        print(f"{name}: {len(data) / 1e6:.0f} MB, {seen}")
        assert seen.status == 200, seen.body
        [sent] = [each.body for each in engine.calls if counted(each.body) > 100]
        assert counted(sent) + sent["max_tokens"] <= WINDOW
        assert counted(sent) > WINDOW // 4
        assert seen.head["x-ringfence-window"].startswith(("compressed", "truncated"))
        assert seen.processor_s < MOST_S
        if attempt == 0:
            assert seen.grown_bytes <= MOST_BYTES
        if seen.waited[-1] < MOST_STALL_S and seen.waited[-3] < MOST_WAIT_S:
            break
    else:
        pytest.fail(f"others waited: {seen}")


@dataclass
class Seen:
    """What was seen of one large request. `processor_s` is all that the gateway worked meanwhile; `wait_s` is how long
    another client's requests waited, but for one in a hundred."""

    took_s: float
    processor_s: float
    grown_bytes: int
    status: int
    head: dict[str, str]
    body: bytes
    waited: list[float]

    @property
    def wait_s(self) -> float:
        return self.waited[int(len(self.waited) * 0.99)]

    def __str__(self) -> str:
        half, last = self.waited[len(self.waited) // 2], self.waited[-1]
        return (
            f"answered after {self.took_s:.2f} s, {self.processor_s:.2f} s of a processor, "
            f"{self.grown_bytes / MIB:.0f} MiB more; {len(self.waited)} others: half waited {half * 1000:.0f} ms, "
            f"99 % {self.wait_s * 1000:.0f} ms, the last {last * 1000:.0f} ms; {self.head.get('x-ringfence-window')}"
        )


async def watched(server: Any, client: Client, data: bytes) -> Seen:
    held, worked = server.bytes("VmRSS"), processor_s(server.pid)
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak starts anew
    done = asyncio.Event()
    others = asyncio.create_task(small_ones(client, done))
    took_s, status, head, body = await asyncio.to_thread(posted, server.port, data)
    done.set()
    waited = sorted(await others)
    return Seen(
        took_s, processor_s(server.pid) - worked, server.bytes("VmHWM") - held, status, head, body, waited
    )  # fmt: skip


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def counted(body: Body) -> int:
    """What the stand-in counts."""
    return len(json.dumps(body["messages"], ensure_ascii=False).encode()) // BYTES_A_TOKEN


async def connected(port: int) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port))
