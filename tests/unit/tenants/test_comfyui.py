"""ComfyUI's adapter against a fake of its server, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from ringfence import tenants
from ringfence.core.ports import Ask, Fetch, Fetched
from ringfence.core.registry import adapters
from ringfence.egress.permit import Permit
from ringfence.egress.pool import Pool
from ringfence.tenants.comfyui import ADAPTER, ComfyUi
from ringfence.testing.fake_comfyui import GIB, IDLE_BYTES, SECRET_PROMPT, FakeComfyUi


@pytest.fixture
async def comfy() -> AsyncIterator[FakeComfyUi]:
    async with FakeComfyUi() as comfy:
        yield comfy


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def fetch(comfy: FakeComfyUi, pool: Pool) -> Fetch:
    return partial(pool.fetch, comfy.endpoint)


@pytest.fixture
def ask(comfy: FakeComfyUi, pool: Pool) -> Ask:
    at = comfy.endpoint
    permit = Permit("tenant", at.boundary, at.boundary)

    async def ask(path: str, body: dict[str, Any]) -> Fetched:
        return await pool.ask(at, permit, path, body, 2.0)

    return ask


def test_it_is_found_by_being_there() -> None:
    assert adapters(tenants) == {"comfyui": ADAPTER}


async def test_its_queue_makes_it_busy(comfy: FakeComfyUi, fetch: Fetch) -> None:
    assert await ADAPTER.busy(fetch) is False
    comfy.submit()
    comfy.submit()
    assert await ADAPTER.busy(fetch) is True
    comfy.finish()
    assert await ADAPTER.busy(fetch) is True
    comfy.finish()
    assert await ADAPTER.busy(fetch) is False


async def test_what_it_keeps_is_what_torch_reserved(comfy: FakeComfyUi, fetch: Fetch) -> None:
    assert await ADAPTER.memory(fetch) == IDLE_BYTES
    comfy.submit()
    assert await ADAPTER.memory(fetch) == 9 * GIB
    comfy.finish()
    assert await ADAPTER.memory(fetch) == 9 * GIB


async def test_memory_of_a_processor_is_not_its_own(comfy: FakeComfyUi, fetch: Fetch) -> None:
    comfy.device_type = "cpu"
    assert await ADAPTER.memory(fetch) is None


async def test_it_gives_back_what_it_keeps_between_two_jobs(comfy: FakeComfyUi, fetch: Fetch, ask: Ask) -> None:
    comfy.submit()
    assert await ADAPTER.release(ask)
    assert comfy.freed == [{"unload_models": True, "free_memory": True}]
    assert await ADAPTER.memory(fetch) == 9 * GIB
    comfy.finish()
    assert await ADAPTER.memory(fetch) == IDLE_BYTES


async def test_nothing_is_asked_that_tells_what_it_works_on(comfy: FakeComfyUi, fetch: Fetch, ask: Ask) -> None:
    comfy.submit()
    await ADAPTER.busy(fetch)
    await ADAPTER.memory(fetch)
    await ADAPTER.release(ask)
    assert comfy.paths == ["GET /prompt", "GET /system_stats", "POST /free"]
    assert SECRET_PROMPT in repr((await fetch("/queue")).body)


async def test_who_is_gone_or_is_something_else_says_nothing(comfy: FakeComfyUi, fetch: Fetch, ask: Ask) -> None:
    await comfy.stop()
    assert await ADAPTER.busy(fetch) is None
    assert await ADAPTER.memory(fetch) is None
    assert not await ADAPTER.release(ask)


@pytest.mark.parametrize(
    "body",
    [None, "text", [], {}, {"exec_info": None}, {"exec_info": {"queue_remaining": "1"}}, {"devices": None},
     {"devices": ["x", {"type": "cuda"}, {"type": "cuda", "torch_vram_total": "much"}]}],
)  # fmt: skip
async def test_answers_of_any_kind(body: Any) -> None:
    async def fetch(path: str, *, about: dict[str, str] | None = None) -> Fetched:
        return Fetched(200, body)

    assert await ComfyUi().busy(fetch) is None
    assert await ComfyUi().memory(fetch) is None
