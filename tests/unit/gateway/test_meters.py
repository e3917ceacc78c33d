"""How targets are measured: their templates by their engines' counts, their images by their families."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.gateway.count import UNMEASURED, chat_bound
from ringfence.gateway.meters import HOLDS_S, Meters, counted, media_bytes, media_tokens

Body = dict[str, Any]
TARGET = Target("a/m", "m", "llamacpp", "m", Boundary.HOST, window=2048)
CHAT: Body = {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who are you?"}]}
PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAIAAAAG+GGPAAAAFElEQVR4nGM8wcXFgAGYMIWoIgoAYCIA5sHZx4oAAAAASUVO"
    "RK5CYII="
)
IMAGE = {"type": "image_url", "image_url": {"url": PNG}}


class Engine:
    """Writes ChatML, and counts a token for a byte."""

    def __init__(self) -> None:
        self.asked: list[Body] = []
        self.default_system = 20

    async def ask(self, body: Body) -> int | None:
        self.asked.append(body)
        return self.tokens(body)

    def tokens(self, body: Body) -> int:
        messages = body["messages"]
        total = 3 + (0 if messages[0]["role"] == "system" else self.default_system)
        for message in messages:
            total += 5 + len(message["content"]) + 30 * len(message.get("tool_calls", ()))
        tools = body.get("tools", ())
        return total + (100 + 60 * len(tools) if tools else 0)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def meters(now: list[float]) -> Meters:
    return Meters(lambda: now[0])


async def test_a_template_is_measured_once_a_minute(engine: Engine, meters: Meters, now: list[float]) -> None:
    assert meters.measured(TARGET, CHAT) is None
    assert await meters.measure(TARGET, engine.ask)
    asked = len(engine.asked)
    assert all(body["model"] == "m" for body in engine.asked)
    found = meters.measured(TARGET, CHAT)
    assert found is not None
    bound = chat_bound(CHAT, found)
    assert bound is not None
    assert engine.tokens(CHAT) <= bound < engine.tokens(CHAT) + 100
    assert meters.of(TARGET).template is UNMEASURED, "what nobody tried keeps the usual allowance"
    assert not await meters.measure(TARGET, engine.ask)
    assert len(engine.asked) == asked
    now[0] += HOLDS_S
    assert meters.measured(TARGET, CHAT) is None, "the engine may be another by now"
    assert await meters.measure(TARGET, engine.ask)


async def test_what_was_not_tried_is_not_measured_by_it(engine: Engine, meters: Meters) -> None:
    await meters.measure(TARGET, engine.ask)
    assert meters.measured(TARGET, {**CHAT, "tools": []}) is not None
    for body in (
        {**CHAT, "documents": [{"text": "x"}]},
        {**CHAT, "response_format": {"type": "json_object"}},
        {"messages": [{"role": "developer", "content": "x"}]},
    ):
        assert meters.measured(TARGET, body) is None


@pytest.mark.parametrize("turns", [1, 2, 7, 40])
@pytest.mark.parametrize("tools", [0, 1, 9])
@pytest.mark.parametrize("default_system", [0, 300])
async def test_never_below_the_engines_own_count(
    turns: int, tools: int, default_system: int, engine: Engine, meters: Meters
) -> None:
    engine.default_system = default_system
    await meters.measure(TARGET, engine.ask)
    body: Body = {"messages": [{"role": "user", "content": "x" * 9}, {"role": "assistant", "content": "y"}] * turns}
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": f"t{index}"}} for index in range(tools)]
    found = meters.measured(TARGET, body)
    assert found is not None
    assert (chat_bound(body, found) or 0) >= engine.tokens(body)


async def test_it_is_dropped_when_the_engine_reads_more(engine: Engine, meters: Meters, now: list[float]) -> None:
    await meters.measure(TARGET, engine.ask)
    meters.distrust("another")
    assert meters.measured(TARGET, CHAT) is not None
    meters.distrust(TARGET.name)
    assert meters.measured(TARGET, CHAT) is None
    now[0] += 10 * HOLDS_S
    assert not await meters.measure(TARGET, engine.ask), "for good"
    assert not await meters.measure(replace(TARGET, window=4096), engine.ask), "as for a share of its window"
    fresh = replace(TARGET, digest="ab12")
    assert await meters.measure(fresh, engine.ask), "until it is another"


async def test_nothing_is_asked_where_it_is_not_worth_it(engine: Engine, meters: Meters) -> None:
    for window in (None, 16_384, 131_072):
        assert not await meters.measure(replace(TARGET, window=window), engine.ask)
    assert engine.asked == []


async def test_an_engine_that_does_not_count_is_asked_once(meters: Meters) -> None:
    asked: list[Body] = []

    async def silent(body: Body) -> int | None:
        asked.append(body)
        return None

    for _ in range(3):
        assert not await meters.measure(TARGET, silent)
    assert len(asked) == 1
    assert meters.measured(TARGET, CHAT) is None


def test_images_by_name_by_what_the_engine_tells_and_by_setting(meters: Meters) -> None:
    def tokens(**known: Any) -> int:
        return meters.of(replace(TARGET, **known)).media(IMAGE)

    assert tokens(engine_model="gemma3:4b") == 260
    assert tokens(family="gemma3") == 260
    assert tokens(image_tokens=77) == 77
    assert tokens() > 3000


async def test_where_an_engine_counts_texts_alone_images_are_added(engine: Engine, meters: Meters) -> None:
    meter = meters.of(replace(TARGET, family="gemma3"))
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, IMAGE, IMAGE]}]}

    async def texts_alone(asked: Body) -> int | None:
        return None if "base64" in str(asked) else 40

    assert await counted(texts_alone, meter, body) == 40 + 2 * (260 + 8)

    async def all_of_it(asked: Body) -> int | None:
        return 555

    assert await counted(all_of_it, meter, body) == 555

    async def nothing(asked: Body) -> int | None:
        return None

    assert await counted(nothing, meter, body) is None
    assert await counted(engine.ask, meter, CHAT) == engine.tokens(CHAT)


def test_size_of_images() -> None:
    body = {"messages": [{"role": "user", "content": [IMAGE, {"type": "text", "text": "x"}]}]}
    assert media_bytes(body) == len(PNG)
    assert media_bytes(CHAT) == media_bytes({"prompt": "x"}) == 0


def test_what_is_no_part_at_all_has_a_number_too(meters: Meters) -> None:
    assert media_tokens(["odd", 5], meters.of(TARGET)) > 4
