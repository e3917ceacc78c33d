"""A request in Anthropic's dialect is fitted as the chat that it becomes: what an engine is sent never overflows."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import orjson
from conversations import Conversations, prompt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Target
from ringfence.core.errors import BadRequest
from ringfence.core.identity import Key
from ringfence.gateway.call import Call
from ringfence.gateway.count import byte_length
from ringfence.gateway.dialects.messages import DIALECT
from ringfence.gateway.fitting import prepared, surely
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.meters import Meters
from ringfence.gateway.shrink import SHAPES, fit_request
from ringfence.gateway.window import output_asked

Body = dict[str, Any]
FIT = partial(settings, deadline=None, database=None, suppress_health_check=list(HealthCheck))
SIGNATURE = "RW1" * 40


def drawn(random: Random, window: int) -> Body:
    """A conversation with everything that the dialect has, in Anthropic's words."""
    draw = Conversations(random.randint, window)

    def blocks(kind: str) -> Any:
        if random.random() < 0.5:
            return draw.text()
        marker: Body = {"cache_control": {"type": "ephemeral"}} if random.random() < 0.3 else {}
        found: list[Body] = [{"type": "text", "text": draw.text(), **marker} for _ in range(random.randint(1, 3))]
        if kind == "assistant" and random.random() < 0.5:
            signed = random.choice(("", SIGNATURE))
            found.insert(0, {"type": "thinking", "thinking": draw.text(), "signature": signed})
        return found

    messages: list[Body] = []
    for number in range(random.randint(1, 8)):
        messages.append({"role": "user", "content": blocks("user")})
        if random.random() < 0.4:
            use = {"type": "tool_use", "id": f"toolu_{number}", "name": "look", "input": {"q": draw.word()}}
            result = {"type": "tool_result", "tool_use_id": use["id"], "content": blocks("user")}
            failed = {"is_error": True} if random.random() < 0.3 else {}
            messages += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result | failed]}]
        messages.append({"role": "assistant", "content": blocks("assistant")})
    messages.append({"role": "user", "content": draw.text() or "x"})
    body: Body = {"model": "m", "max_tokens": random.choice((1, 64, 4096, 1_000_000)), "messages": messages}
    if random.random() < 0.6:
        body["system"] = blocks("system")
    if random.random() < 0.3:
        function = draw.tool(0)["function"]
        body["tools"] = [{"name": "look", "description": draw.word(), "input_schema": function["parameters"]}]
    if random.random() < 0.3:
        body["thinking"] = random.choice(({"type": "adaptive"}, {"type": "disabled"}))
    return body


def tokens(body: Body) -> int:
    """As a model whose tokens are bytes reads it, its thoughts included."""
    messages: list[Body] = body["messages"]
    thoughts = sum(byte_length(message.get("reasoning_content") or "") for message in messages)
    return thoughts + byte_length(prompt(body | {"messages": [{**message, "mark": ""} for message in messages]}))


@FIT(max_examples=120)
@given(
    seed=st.integers(0, 2**64), window=st.integers(1536, 65_536), engine=st.sampled_from(["llamacpp", "vllm", "ollama"])
)
def test_what_an_engine_is_sent_fits_its_window(seed: int, window: int, engine: str) -> None:
    asked = drawn(Random(seed), min(window, 8192))
    raw, body = orjson.dumps(asked), DIALECT.heard(asked, NO_HEAD).body
    key, chat = Key("key_1", "tests"), DIALECT.goes_as
    call = Call("c", key, chat, "m", body, len(raw), False, 0.0, is_bare=chat.check(body), spoken="messages")
    call.asked, call.output = asked, output_asked(body)
    target = Target(
        "seat/m", model="m", engine=engine, engine_model="m", boundary=Boundary.HOST, window=window,
        abilities=frozenset(Ability),
    )  # fmt: skip
    meters = Meters(lambda: 0.0)
    fitted = surely(call, target, meters, refuses=False)
    if fitted is None:
        try:
            fitted = fit_request(body, SHAPES["chat"], window, call.output, meters.of(target))
        except BadRequest as refused:
            assert refused.code == "context_length_exceeded"
            return
    sent = prepared(call, target, fitted)
    assert 1 <= sent["max_tokens"] <= asked["max_tokens"]
    assert tokens(sent) + sent["max_tokens"] <= window
    assert orjson.dumps(asked) == raw, "the caller's own body is asked again where it was parked"
