"""A gateway that claims isolation tries its wall again and again: T1 is refused, and stays parked, while it is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from parked import TICKET
from whole import Reply, ask, question

from ringfence.config.load import load
from ringfence.egress.attempt import Attempt
from ringfence.runtime import parts
from ringfence.runtime.isolation import CLAIM, Fenced
from ringfence.runtime.parts import Origin, Runtime
from ringfence.testing.fake_engine import FakeEngine

OFTEN_S = 0.05
CONFIG = """
discovery: {{adopt: false}}
server: {{port: 0}}
isolation: {{probe: "192.0.2.7:443"}}
models:
  near: {{url: "http://127.0.0.1:{port}", engine: vllm, engine_model: fake-model}}
profiles:
  private: {{tier: T1, chain: [near], ending: park}}
  personal: {{tier: T2, boundary: host, chain: [near]}}
"""


class Wall:
    """Stands for the network."""

    def __init__(self) -> None:
        self.is_open = False
        self.tried = 0

    async def __call__(self, address: str, port: int, timeout_s: float) -> Attempt:
        assert (address, port) == ("192.0.2.7", 443)
        self.tried += 1
        return Attempt(self.is_open, "so it was")


class House:
    """A gateway in this process, and its keys."""

    def __init__(self, runtime: Runtime, wall: Wall, engine: FakeEngine) -> None:
        self.runtime, self.wall, self.engine = runtime, wall, engine
        self.keys: dict[str, str] = {}

    async def ask(self, profile: str, method: str = "POST", path: str = "", headers: Any = None) -> Reply:
        body = question("hello", "near") if method == "POST" else None
        words = (method, path or "/v1/chat/completions", body, self.keys[profile], 10.0, headers)
        return await asyncio.to_thread(ask, self.runtime.base_url, *words)

    async def until(self, profile: str, status: int) -> Reply:
        until_s = monotonic() + 25
        while (reply := await self.ask(profile)).status != status:
            assert monotonic() < until_s, f"{profile} never got {status}"
            await asyncio.sleep(0.02)
        return reply


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with FakeEngine("vllm") as engine:
        file, settings = tmp_path / "ringfence.yaml", {"state_dir": str(tmp_path / "state")}
        file.write_text(CONFIG.format(port=engine.port))
        (tmp_path / "state").mkdir(mode=0o700)
        runtime, wall = Runtime(load(file, overrides=settings), Origin(file, settings, tmp_path / "log")), Wall()
        runtime.fenced = Fenced({CLAIM: "1"}, wall)
        await runtime.start(lambda _step: None)
        house = House(runtime, wall, engine)
        for profile in ("private", "personal"):
            house.keys[profile] = (await runtime.create_key(name=profile, profile=profile))[1]
        yield house
        await runtime.stop(1.0)


def test_it_is_tried_each_minute() -> None:
    assert parts.TRY_WALL_EVERY_S == 60


async def test_a_wall_that_opens_is_seen_without_a_word_from_anybody(house: House) -> None:
    runtime, wall = house.runtime, house.wall
    assert (await house.ask("private")).status == 200 and wall.tried == 1
    again = next(task for task in runtime._tasks if task.get_name() == "try the wall")
    again.cancel()  # a minute is long
    runtime._tasks.append(asyncio.create_task(runtime._every(OFTEN_S, runtime._try_wall)))
    wall.is_open = True
    refused = await house.until("private", 403)
    assert refused.code == "not_isolated" and wall.tried > 1
    assert (await house.ask("personal")).status == 200
    wall.is_open = False
    await house.until("private", 200)


@pytest.mark.parametrize("was_open", [True, False])
async def test_a_reload_tries_it_at_once(house: House, was_open: bool) -> None:
    runtime, wall = house.runtime, house.wall
    wall.is_open = was_open
    assert (await runtime.reload()).ok
    assert (await house.ask("private")).status == (403 if was_open else 200)
    wall.is_open = not was_open
    assert (await runtime.reload()).ok and wall.tried == 3
    assert (await house.ask("private")).status == (200 if was_open else 403)


async def test_what_is_parked_waits_for_the_wall_as_for_a_target(house: House) -> None:
    runtime, wall, engine = house.runtime, house.wall, house.engine
    port = engine.port
    await engine.stop()
    ticket = (await house.ask("private", headers=TICKET)).json["id"]
    wall.is_open = True
    await runtime.reload()
    await engine.start(port)
    assert (await house.until("personal", 200)).headers["x-ringfence-target"]
    asked = len(engine.calls)
    for _ in range(5):
        runtime.parking.look()
        await asyncio.sleep(0.02)
    path = f"/v1/parked/{ticket}"
    assert (await house.ask("private", "GET", path)).status == 202 and len(engine.calls) == asked
    wall.is_open = False
    await runtime.reload()
    until_s = monotonic() + 25
    while (reply := await house.ask("private", "GET", path)).status == 202 and monotonic() < until_s:
        await asyncio.sleep(0.02)
    assert reply.status == 200 and reply.text
