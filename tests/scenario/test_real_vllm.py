"""A real vLLM, where there is one: `RINGFENCE_TEST_VLLM` is the command that starts it, such as

    RINGFENCE_TEST_VLLM="/opt/vllm/bin/python -m vllm.entrypoints.openai.api_server"

One on the processor does: it starts, tells the window that fits, and keeps salted prompts apart. It frees nothing when
it sleeps, and refuses to be started for that; the routes are there all the same.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ringfence.core.errors import TargetFailed
from ringfence.core.ports import Fetched
from ringfence.egress.permit import issue
from ringfence.egress.pool import Pool
from ringfence.engines import vllm_start
from ringfence.engines.vllm import ADAPTER
from ringfence.placement.launch import Launch, Seat
from ringfence.placement.launch_vllm import vllm
from ringfence.placement.lifecycle import Pace
from ringfence.placement.supervisor import Supervisor
from ringfence.testing.tiny_folder import tiny_folder

COMMAND = shlex.split(os.environ.get("RINGFENCE_TEST_VLLM", ""))
GIB = 1 << 30
RAM = Seat(("cpu",), (3 * GIB,), (16 * GIB,))
TOO_LONG = 8_000_000
START_S = 300.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not COMMAND, reason="RINGFENCE_TEST_VLLM names no vLLM"),
]


@pytest.fixture
async def started() -> AsyncIterator[Any]:
    keepers: list[Supervisor] = []
    pool = Pool()

    def started(launch: Launch) -> Supervisor:
        pace = Pace(start_base_s=START_S)
        keeper = Supervisor("tiny", launch, ADAPTER, lambda at: partial(pool.fetch, at), lambda _: None, pace=pace)
        keepers.append(keeper)
        keeper.start()
        return keeper

    yield started
    for keeper in keepers:
        await keeper.stop()


async def test_it_starts_with_the_window_that_fits_and_keeps_prompts_apart(
    started: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_start, "ENVIRONMENT", {**vllm_start.ENVIRONMENT, **vllm_start.SLEEP_ENVIRONMENT})
    folder = tiny_folder(tmp_path / "tiny", window=2 * TOO_LONG)
    asked = vllm(
        COMMAND, folder, "tiny", further=["--dtype", "float32", "--enforce-eager"], window=TOO_LONG,
        seat=RAM, lora_slots=2, lora_rank=8,
    )  # fmt: skip
    keeper = started(asked)
    try:
        endpoint = await keeper.wait_ready(3 * START_S)
    except TargetFailed:
        raise AssertionError("\n".join((keeper.reason, *keeper.output.lines))) from None
    window = keeper.launch.window
    assert 0 < window < TOO_LONG, "the second time with what fits"
    assert [(offer.engine_model, offer.window, offer.device) for offer in keeper.offers] == [("tiny", window, "cpu")]

    pool = Pool()
    fetch = partial(pool.fetch, endpoint)

    async def ask(path: str, body: dict[str, Any]) -> Fetched:
        return await pool.ask(endpoint, issue("test", endpoint.boundary, endpoint), path, body, 30.0)

    async def cached(salt: str) -> int:
        told = {"role": "user", "content": "one question after the other " * 30}
        chat = {"model": "tiny", "messages": [told], "max_tokens": 2, ADAPTER.salt_field: salt}
        usage = (await ask("/v1/chat/completions", chat)).body["usage"]
        return (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0

    assert [await cached(salt) for salt in ("a", "b")] == [0, 0], "the same prompt, and nothing of it is shared"
    assert await cached("a") > 100
    assert [await ADAPTER.controls.is_asleep(fetch), await ADAPTER.controls.sleep(ask)] == [False, True]
    assert await ADAPTER.controls.is_asleep(fetch) is True
    assert await ADAPTER.controls.wake(ask)
    assert await ADAPTER.controls.is_asleep(fetch) is False
    assert (await pool.fetch(replace(endpoint, api_key="another"), "/v1/models")).status == 401


async def test_sleep_is_refused_where_there_is_no_gpu(started: Any, tmp_path: Path) -> None:
    keeper = started(vllm(COMMAND, tiny_folder(tmp_path / "tiny"), "tiny", window=512, sleeps=True, seat=RAM))
    with pytest.raises(TargetFailed):
        await keeper.wait_ready(START_S)
    assert any("leep mode is not supported" in line for line in keeper.output.lines)
