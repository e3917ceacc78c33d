"""What callers notice of a batch: their 95th percentile moves by less than a tenth.

The engine works on all of its requests in turns, as one device does: two at a time take each twice as long. How long a
call takes is told in pieces of work that the device does from its question to its answer: other guests of the machine
do not move that. Rounds with and without a batch take turns.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batched import CHAT, Desk, batched, line
from composed import Gateway

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint

PIECE_S, PIECES = 0.003, 20
ROUNDS, ASKED, APART_S = 5, 16, 0.03
MOST = 1.10
ANSWER: dict[str, Any] = {
    "id": "x", "object": "chat.completion", "created": 1, "model": "fake-model",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "so it is"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": PIECES, "total_tokens": 3 + PIECES},
}  # fmt: skip


class Device:
    """One piece of work at a time, for whoever is next; who has gone is not worked for."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.answered = self.left = self.pieces = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = json.dumps(ANSWER).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(asked.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
                for _ in range(PIECES):
                    async with self.turn:
                        if reader.at_eof():
                            self.left += 1
                            raise ConnectionError
                        await asyncio.sleep(PIECE_S)
                        self.pieces += 1
                self.answered += 1
                writer.write(head + data)
        writer.close()


@asynccontextmanager
async def device() -> AsyncIterator[tuple[Endpoint, Device]]:
    made = Device()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], Boundary.HOST), made
    finally:
        server.close()


async def asked(desk: Desk, device: Device) -> list[int]:
    """How many pieces of work were done during each of some requests of a person."""
    took: list[int] = []
    for _ in range(ASKED):
        before = device.pieces
        body = {"model": "fast", "messages": [{"role": "user", "content": "and this?"}]}
        assert (await desk.ask("POST", CHAT, body)).status == 200
        took.append(device.pieces - before)
        await asyncio.sleep(APART_S)
    return took


def p95(took: list[int]) -> float:
    return statistics.quantiles(took, n=20)[-1]


async def measured(folder: Path, quiet_s: float, rounds: int = ROUNDS) -> tuple[float, float, int]:
    """The 95th percentile without and with a batch, and how many lines that answered."""
    alone: list[int] = []
    beside: list[int] = []
    async with device() as (endpoint, worked), Gateway(endpoint) as gateway, batched(gateway, folder) as desk:
        desk.running.settings = replace(desk.running.settings, quiet_s=quiet_s)
        await asked(desk, worked)
        for number in range(rounds):
            alone += await asked(desk, worked)
            batch_id = await desk.begin([line(n) for n in range(500)], metadata={"round": str(number)})
            await asyncio.sleep(quiet_s + 0.4)
            assert worked.answered > len(alone) or desk.running.lines_going
            beside += await asked(desk, worked)
            await desk.ask("POST", f"/v1/batches/{batch_id}/cancel")
            await desk.ended(batch_id)
        lines = worked.answered - ASKED - len(alone) - len(beside)
    return p95(alone), p95(beside), lines


@pytest.mark.slow
@pytest.mark.timed
async def test_callers_do_not_notice_a_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone, beside, lines = await measured(tmp_path, quiet_s=0.5)
    with capsys.disabled():
        sys.stdout.write(f"\np95 {alone:.1f} pieces alone, {beside:.1f} beside; {lines} lines meanwhile")
    assert lines > 0
    assert beside < MOST * alone


@pytest.mark.slow
@pytest.mark.timed
async def test_without_quiet_they_would(tmp_path: Path) -> None:
    """What the other test measures is there to be measured."""
    alone, beside, _ = await measured(tmp_path, quiet_s=0, rounds=2)
    assert beside > 1.5 * alone
