"""Lines of batches that name the model that thinks, and what a batch tells of what it used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batched import Desk, batched, line
from composed import Gateway, until
from openai.types import Batch
from thinking_inside import BOUNDS, HARD, OF_SMALL, OF_THOUGHT, Says, Script, settled, thinks, thought

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.route import Profile, Urgency
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

HERE = Profile("default", Boundary.MESH)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def thinking(stack: AsyncExitStack, folder: Path, profile: Profile, at: Boundary) -> tuple[Desk, Script, Script]:
    """With a small model here, and one that reasons `at` some place."""
    small, deep = [await stack.enter_async_context(Script()) for _ in range(2)]
    small.says(thinks("Why is it so?"), Says("It is so."))
    deep.says(thought("Because."))
    gateway = await stack.enter_async_context(Gateway(small.endpoint))
    gateway.pipeline.settings = settled(BOUNDS, profile, at)
    gateway.seats.elsewhere["seat/deep"] = Endpoint("127.0.0.1", deep.port, at)
    desk = await stack.enter_async_context(batched(gateway, folder))
    desk.running.settings = replace(desk.running.settings, at_once=1, quiet_s=0.1)
    return desk, small, deep


def hard(number: int) -> dict[str, Any]:
    return line(number) | {"body": HARD}


async def test_lines_think_in_the_background_and_their_usage_is_that_of_all_turns(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    desk, small, deep = await thinking(stack, tmp_path, HERE, Boundary.HOST)
    batch = await desk.ended(await desk.begin([hard(1)]))
    assert batch["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    [answered] = await desk.content(batch["output_file_id"])
    assert answered["response"]["body"]["choices"][0]["message"]["content"] == "It is so."
    assert (len(small.calls), len(deep.calls)) == (2, 1)
    assert "Because." in str(small.calls[1].body["messages"])
    told = {name: 2 * OF_SMALL[name] + OF_THOUGHT[name] for name in ("prompt_tokens", "completion_tokens")}
    usage = batch["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == tuple(told.values())
    assert usage["output_tokens_details"] == {"reasoning_tokens": OF_THOUGHT["completion_tokens"]}
    assert batch["model"] == "orchestrator"
    assert [one.kind.outcome for one in desk.gateway.answered] == ["ok"] * 4, "each turn, the thought, and the line"


async def test_a_thought_of_a_line_goes_no_further_than_the_line(stack: AsyncExitStack, tmp_path: Path) -> None:
    desk, small, deep = await thinking(stack, tmp_path, Profile("default", Boundary.HOST), Boundary.MESH)
    batch = await desk.ended(await desk.begin([hard(1)]))
    assert batch["request_counts"]["completed"] == 1
    assert (len(small.calls), len(deep.calls)) == (2, 0)


async def test_a_caller_comes_before_a_thought(stack: AsyncExitStack, tmp_path: Path) -> None:
    """The line is stopped in the midst of it, and begun anew; nothing of it is left behind."""
    desk, small, deep = await thinking(stack, tmp_path, HERE, Boundary.MESH)
    deep.as_usual()
    deep.once(Behaviour(Fault.HANG))
    small.says(thinks("Why?"), Says("Me first."), thinks("Why?"), Says("It is so."))
    batch_id = await desk.begin([hard(1)])
    await until(lambda: len(deep.calls) == 1)
    [inner] = [call for call in desk.gateway.pipeline.running.values() if call.within]
    assert inner.urgency is Urgency.BACKGROUND
    asked = {"model": "deep", "messages": [{"role": "user", "content": "hello"}]}
    assert (await desk.ask("POST", "/v1/chat/completions", asked)).status == 200
    await until(lambda: deep.calls[0].client_left_s is not None)
    batch = await desk.ended(batch_id)
    assert batch["request_counts"] == {"total": 1, "completed": 1, "failed": 0}


async def test_the_usage_of_a_batch_is_that_of_its_lines(tmp_path: Path) -> None:
    async with (
        FakeEngine("llamacpp") as engine, Gateway(engine.endpoint) as gateway, batched(gateway, tmp_path) as desk,
    ):  # fmt: skip
        batch_id = await desk.begin([line(n, model=("fast", "quick")[n % 2]) for n in range(6)])
        batch = await desk.ended(batch_id)
        output = await desk.content(batch["output_file_id"])
        used = [row["response"]["body"]["usage"] for row in output]
        usage = batch["usage"]
        assert usage["input_tokens"] == sum(one["prompt_tokens"] for one in used) > 0
        assert usage["output_tokens"] == sum(one["completion_tokens"] for one in used) == 6 * 6
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert batch["model"] is None, "they name several"
        told = Batch.model_validate(batch, strict=True)
        assert told.usage is not None and told.usage.to_dict() == usage
        one = await desk.ended(await desk.begin([line(1), line(2, stream=True)]))
        assert one["model"] == "fast" and one["request_counts"]["failed"] == 1
        assert one["usage"]["output_tokens"] == 6
