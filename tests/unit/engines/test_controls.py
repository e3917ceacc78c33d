"""Sleeping, loading and unloading, against fakes that answer as the engines' sources do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ringfence.core.ports import Ask, Fetch, Fetched, Loads, Sleeps
from ringfence.egress.permit import issue
from ringfence.egress.pool import Pool
from ringfence.engines import llamacpp, lmstudio, ollama, openai_compatible, vllm
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import FakeEngine

SLEEP, LOAD = vllm.ADAPTER.controls, ollama.ADAPTER.controls


def ways(fake: FakeEngine) -> tuple[Ask, Fetch]:
    pool, at = Pool(), fake.endpoint

    async def ask(path: str, body: dict[str, Any]) -> Fetched:
        return await pool.ask(at, issue("control", at.boundary, at), path, body, 2.0)

    return ask, partial(pool.fetch, at)


def test_who_can_what() -> None:
    assert isinstance(SLEEP, Sleeps)
    assert not isinstance(SLEEP, Loads)
    assert isinstance(LOAD, Loads)
    assert [one.ADAPTER.controls for one in (llamacpp, lmstudio, openai_compatible)] == [None] * 3


@pytest.mark.parametrize("level", [1, 2])
async def test_a_vllm_sleeps_and_wakes(level: int) -> None:
    async with FakeEngine("vllm") as fake:
        fake.controls.asleep = False
        ask, fetch = ways(fake)
        assert await SLEEP.is_asleep(fetch) is False
        assert await SLEEP.sleep(ask, level)
        assert (await SLEEP.is_asleep(fetch), fake.controls.level) == (True, level)
        assert await SLEEP.wake(ask)
        assert await SLEEP.is_asleep(fetch) is False


async def test_a_call_to_one_that_sleeps_waits_for_it() -> None:
    async with FakeEngine("vllm") as fake:
        fake.controls.asleep = False
        ask, _ = ways(fake)
        await SLEEP.sleep(ask)
        call = asyncio.create_task(ask("/v1/chat/completions", {"model": "fake-model", "messages": []}))
        await asyncio.sleep(0.05)
        assert not call.done()
        await SLEEP.wake(ask)
        assert (await call).status == 200


async def test_one_that_was_started_without_says_so() -> None:
    async with FakeEngine("vllm") as fake:
        ask, fetch = ways(fake)
        assert await SLEEP.is_asleep(fetch) is None
        assert not await SLEEP.sleep(ask)
        assert not await SLEEP.wake(ask)


async def test_one_that_is_only_half_awake_is_not_awake() -> None:
    async def ask(path: str, body: dict[str, Any]) -> Fetched:
        return Fetched(200, {"status": "sleeping", "tags": ["weights"]})

    async def older(path: str, body: dict[str, Any]) -> Fetched:
        return Fetched(200, None)

    assert not await SLEEP.wake(ask)
    assert await SLEEP.wake(older)


@pytest.mark.parametrize("embeds", [False, True])
async def test_an_ollama_loads_and_unloads(embeds: bool) -> None:
    models = (FakeModel("big", is_loaded=False, embeds=embeds, vram_bytes=5 << 30), FakeModel("small"))
    async with FakeEngine("ollama", models) as fake:
        ask, fetch = ways(fake)
        assert await LOAD.loaded(fetch) == {"small": 0}
        assert await LOAD.load(ask, "big")
        assert await LOAD.loaded(fetch) == {"big": 5 << 30, "small": 0}
        assert fake.requests[-2].body["keep_alive"] == -1
        assert await LOAD.unload(ask, "big")
        assert await LOAD.loaded(fetch) == {"small": 0}
        assert not [request for request in fake.requests if request.body.get("prompt")], "nothing was generated"


async def test_an_ollama_says_what_it_does_not_have() -> None:
    async with FakeEngine("ollama") as fake:
        ask, _ = ways(fake)
        assert not await LOAD.load(ask, "nobody")
        assert not await LOAD.unload(ask, "nobody")


ODD: list[Callable[[], Any]] = [
    lambda: None, lambda: [], lambda: {"models": None}, lambda: {"is_sleeping": "yes"}, lambda: {"error": {}},
    lambda: {"models": [{"name": 3}, {"name": "a", "size_vram": "x"}]},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
async def test_odd_answers_never_raise(odd: Callable[[], Any]) -> None:
    async def fetch(path: str, *, about: dict[str, str] | None = None) -> Fetched:
        return Fetched(200, odd())

    async def ask(path: str, body: dict[str, Any]) -> Fetched:
        return Fetched(400, odd())

    assert await SLEEP.is_asleep(fetch) is None
    assert await LOAD.loaded(fetch) in (None, {"a": 0})
    assert not await LOAD.load(ask, "a")
    assert not await SLEEP.wake(ask)
