"""Requests, engines and moments that are chosen to break the fence around windows."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any
from unittest.mock import AsyncMock

import pytest
from composed import CHAT, PATH, target

from ringfence.core.boundary import Boundary
from ringfence.core.identity import Key
from ringfence.core.route import House, Profile, Tier
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import chat
from ringfence.gateway.fitting import weigh
from ringfence.gateway.meters import Meters
from ringfence.testing.fake_dialects import FakeModel, words_in
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

WINDOW = 2048
LONG = [{"role": "user", "content": "word " * 6000}]
TOO_LONG = {
    "error": {
        "message": f"This model's maximum context length is {WINDOW} tokens. However, you requested 1 output tokens "
        "and your prompt contains at least 2048 input tokens, for a total of at least 2049 tokens.",
        "type": "BadRequestError", "code": 400,
    }
}  # fmt: skip


class Body(dict[str, Any]):
    """One that can be watched."""


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("levels", [230, 260, 900])
@pytest.mark.parametrize("field", ["metadata", "tools", "documents", "message"])
@pytest.mark.parametrize("messages", [CHAT["messages"], LONG], ids=["short", "long"])
async def test_what_is_nested_too_deep_is_a_fault_of_the_caller(
    serve: Any, messages: list[dict[str, Any]], field: str, levels: int
) -> None:
    async with FakeEngine("vllm", (FakeModel(window=WINDOW),)) as small:
        gateway = await serve(engine=small.endpoint, targets=(target(window=WINDOW),))
        client = await gateway.client()
        deep = nested(levels)
        more = {"messages": [{**messages[0], "x": deep}]} if field == "message" else {field: [deep]}
        reply = await client.ask(PATH, {"model": "fast", "messages": messages} | more)
        assert reply.status in (200, 400), reply.body
        if levels > 254:
            assert (reply.status, reply.error["code"]) == (400, "nested_too_deep")


def tightened(gateway: Any) -> None:
    """A reload after which nothing may leave this machine."""
    house = House({"default": Profile("default")}, {}, {})
    gateway.pipeline.settings = replace(gateway.pipeline.settings, house=house, decisions={})


@pytest.mark.parametrize("moment", ["while it is counted", "before it is asked again"])
async def test_a_reload_while_a_prompt_is_fitted_tightens_what_is_sent_next(
    serve: Callable[..., Any], moment: str
) -> None:
    async with FakeEngine("vllm", (FakeModel(window=WINDOW),)) as engine:
        far = replace(engine.endpoint, boundary=Boundary.MESH)
        wide = Profile("default", Boundary.CLOUD, Tier.SPEED_OPTIONAL)
        mesh = target(boundary=Boundary.MESH, window=WINDOW)
        gateway = await serve(engine=far, profile=wide, targets=(mesh,), retries=0)
        relay = gateway.relay
        if moment == "while it is counted":
            count = relay.count

            async def counting(*given: Any) -> int | None:
                told = await count(*given)
                tightened(gateway)
                return told

            relay.count = counting
        else:
            opened = relay.open
            engine.once(Behaviour(Fault.STATUS, status=400, body=TOO_LONG))

            async def opening(*given: Any) -> Any:
                try:
                    return await opened(*given)
                finally:
                    tightened(gateway)

            relay.open = opening
        client = await gateway.client()
        reply = await client.ask(PATH, CHAT | {"messages": LONG})
        assert (reply.status, reply.error["code"]) == (403, "boundary_refused")
        assert len(engine.calls) == (moment != "while it is counted"), "what was sent before, and nothing after it"
        asked = len(engine.counted)
        await asyncio.sleep(0.05)
        assert len(engine.counted) == asked


async def test_an_answer_with_images_does_not_teach_what_texts_weigh(gateway: Any, engine: FakeEngine) -> None:
    """Its tokens are the image's. Else those of one caller would have the texts of all taken for four times as long."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
    said = {"role": "user", "content": [{"type": "text", "text": "word " * 200}, image]}
    heavy = {"choices": [], "model": "fake-model", "usage": {"prompt_tokens": 16_000, "completion_tokens": 1}}
    client = await gateway.client()
    for _ in range(25):
        engine.once(Behaviour(Fault.STATUS, status=200, body=heavy))
        assert (await client.ask(PATH, {"model": "fast", "messages": [said]})).status in (200, 400)
    gateway.pipeline.reported.settle()
    assert gateway.pipeline.reported.ratios.estimate("seat/fast", 2000) is None


async def test_a_share_of_a_window_is_not_widened_by_a_refusal(serve: Any) -> None:
    """Two answers that share a context have half of it each, whatever the engine says that all of it is."""
    half = WINDOW // 2
    words = f"This model's maximum context length is {WINDOW} tokens. However, you requested 1100 tokens"
    said = {"error": {"message": words, "type": "BadRequestError", "code": 400}}
    async with FakeEngine("vllm", (FakeModel(window=WINDOW),)) as engine:
        at = target(window=WINDOW, shares_window=True)
        gateway = await serve(engine=engine.endpoint, targets=(at,), retries=0)
        client = await gateway.client()
        engine.once(Behaviour(Fault.STATUS, status=400, body=said))
        body = CHAT | {"n": 2, "messages": [{"role": "user", "content": "word " * 700}]}
        reply = await client.ask(PATH, body)
        assert reply.status == 200, reply.body
        assert len(engine.calls) == 2
        for call in engine.calls:
            assert words_in(call.body) + call.body["max_tokens"] <= half


async def test_more_output_than_a_window_has_does_not_use_up_a_limit(serve: Any, engine: FakeEngine) -> None:
    """What is held for a call while it runs is what it can use."""
    key = Key("key_1", "tests", tokens_per_minute=10_000)
    gateway = await serve(key=key)
    behaviour = Behaviour(between_s=0.02)
    engine.once(behaviour, behaviour)
    first, second = await gateway.client(), await gateway.client()
    wanted = CHAT | {"max_tokens": 10**15, "stream": True}
    one, two = await asyncio.gather(first.ask(PATH, wanted), second.ask(PATH, wanted))
    assert (one.status, two.status) == (200, 200)


async def test_a_window_of_nothing_is_not_learned(serve: Any) -> None:
    """It would be everybody's until the engine says another."""
    said = {"error": {"message": "This model's maximum context length is 0 tokens. However, you requested 5 tokens"}}
    async with FakeEngine("vllm", (FakeModel(window=WINDOW),)) as engine:
        gateway = await serve(engine=engine.endpoint, targets=(target(window=WINDOW),), retries=0)
        learned: list[int] = []
        gateway.relay.correct = lambda _target, window: learned.append(window)
        engine.always = Behaviour(Fault.STATUS, status=400, body=said)
        reply = await (await gateway.client()).ask(PATH, CHAT | {"messages": LONG})
        assert (reply.status, reply.error["code"], learned) == (400, "context_length_exceeded", [])
        assert len(engine.calls) <= 3


async def test_of_prompts_whose_clients_have_left_nothing_waits_to_be_shortened() -> None:
    """Threads are few: what stands before them would otherwise be kept, however many have left."""
    body = Body(messages=[{"role": "user", "content": "word " * 2000}])
    call = Call("c", Key("k", "k"), chat.DIALECT, "fast", body, 10_000, False, 0.0)
    loop, go = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    busy = loop.run_in_executor(None, go.wait)
    at = target(engine="openai_compatible", window=WINDOW)
    ask = AsyncMock(return_value=None)
    fitting = asyncio.create_task(weigh(call, at, ask, 0.3, Meters(monotonic), refuses=False, is_cut=True))
    await asyncio.sleep(0.01)
    held = weakref.ref(body)
    del call, body
    fitting.cancel()
    with suppress(asyncio.CancelledError):
        await fitting
    del fitting, ask
    await asyncio.sleep(0)
    gc.collect()
    left = held()
    go.set()
    await busy
    assert left is None
