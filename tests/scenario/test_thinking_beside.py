"""Deep reasoning as a tool, with what else there is: requests that wait, dialects that are translated, slow readers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from composed import EVENTS, event, request, scripted
from parked_inside import PRIVATE, Waiting
from thinking_inside import (
    ANSWER,
    BOUNDS,
    HARD,
    Says,
    Script,
    settled,
    thinking,
    thinks,
)

from ringfence.core.boundary import Boundary
from ringfence.gateway.dialects import chat
from ringfence.gateway.head import Head
from ringfence.gateway.route import Foreign, Heard
from ringfence.gateway.voice import events


@pytest.mark.parametrize("stream", [False, True])
async def test_one_that_was_parked_thinks_when_its_turn_comes(
    waits: Waiting, small: Script, deep: Script, stream: bool
) -> None:
    gateway = waits.gateway
    gateway.pipeline.settings = settled(BOUNDS, PRIVATE, Boundary.HOST)
    ticket = await waits.park(HARD | {"stream": stream})
    small.says(thinks("Why?"), Says(ANSWER))
    gateway.seats.elsewhere["seat/deep"] = deep.endpoint
    waits.back(small.endpoint)
    reply = await waits.answered(ticket)
    assert reply.status == 200 and b"so." in reply.body, reply.body
    assert (len(small.calls), len(deep.calls)) == (2, 1)


async def test_a_thought_does_not_wait_for_what_is_not_there(waits: Waiting, small: Script, deep: Script) -> None:
    """Under a profile that would rather wait than go further."""
    gateway = waits.gateway
    gateway.pipeline.settings = settled(BOUNDS, PRIVATE, Boundary.MESH)
    small.says(thinks("Why?"), Says(ANSWER))
    waits.back(small.endpoint)
    reply = await waits.ask(body=HARD)
    assert reply.json["choices"][0]["message"]["content"] == ANSWER and deep.calls == []
    assert "Thinking is not available now" in small.bodies[1]["messages"][-1]["content"]


class Aloud:
    """A voice that tells the text alone, and last what was used."""

    stream_head = b"content-type: text/plain\r\n"

    def __init__(self) -> None:
        self.used = b""

    def answer(self, body: bytes) -> bytes:
        fields = json.loads(body)
        return f"{fields['choices'][0]['message']['content']} {fields['usage']['total_tokens']}".encode()

    def feed(self, data: bytes) -> bytes:
        said: list[str] = []
        for fields in filter(None, events(data)):
            said += [choice["delta"].get("content") or "" for choice in fields["choices"]]
            self.used = str(fields["usage"]["total_tokens"]).encode() if "usage" in fields else self.used
        return "".join(said).encode()

    def end(self) -> bytes:
        return self.used


class Spoken(Foreign):
    name, paths, goes_as = "spoken", ("/v1/spoken",), chat.DIALECT

    def heard(self, body: dict[str, Any], head: Head) -> Heard:
        return Heard(HARD | {"stream": body["stream"], "stream_options": {"include_usage": True}}, Aloud())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dialect_that_is_translated_hears_one_answer(
    serve: Any, small: Script, deep: Script, stream: bool
) -> None:
    gateway = await thinking(serve, small, deep)
    gateway.front.routes["/v1/spoken"] = Spoken()
    small.says(thinks("Why?"), Says(ANSWER))
    client = await gateway.client()
    reply = await client.ask("/v1/spoken", {"model": HARD["model"], "stream": stream})
    assert reply.body == b"It is so. 180"
    assert {row.kind.dialect for row in gateway.answered} == {"spoken"}


ASKED: dict[str, Any] = {
    "model": HARD["model"], "max_tokens": 99, "thinking": {"type": "enabled", "budget_tokens": 2048},
    "output_config": {"effort": "max"},
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Look.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
            {"type": "tool_use", "id": "a", "name": "look", "input": {}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "no", "is_error": True}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
async def test_engines_are_sent_nothing_that_only_anthropic_knows(
    serve: Any, small: Script, deep: Script, stream: bool
) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(thinks("Why?"), Says(ANSWER))
    client = await gateway.client()
    reply = await client.ask("/v1/messages", ASKED | {"stream": stream})
    assert reply.status == 200 and b"It" in reply.body
    for body in small.bodies:
        assert "thinking" not in body and body["reasoning_effort"] == "high"
        sent = json.dumps(body)
        assert not any(name in sent for name in ("cache_control", "thinking_blocks", "is_error"))
    assert len(small.bodies) == 2 and len(deep.bodies) == 1


async def test_what_was_begun_for_the_model_is_gone_on_with_and_not_thought_about(
    serve: Any, small: Script, deep: Script
) -> None:
    gateway = await thinking(serve, small, deep)
    small.says(Says(ANSWER))
    client = await gateway.client()
    begun = [*ASKED["messages"], {"role": "assistant", "content": "It"}]
    assert (await client.ask("/v1/messages", ASKED | {"messages": begun})).status == 200
    assert [body["continue_final_message"] for body in small.bodies] == [True] and "tools" not in small.bodies[0]


async def test_a_thought_without_an_answer_is_none(serve: Any, small: Script) -> None:
    data = b'{"choices":[]}'
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)
    async with scripted(whole) as endpoint:
        gateway = await thinking(serve, small, small)
        gateway.seats.elsewhere["seat/deep"] = endpoint
        small.says(thinks("Why?"), Says(ANSWER))
        client = await gateway.client()
        reply = await client.ask(body=HARD)
    assert reply.json["choices"][0]["message"]["content"] == ANSWER
    assert "Thinking is not available now" in small.bodies[1]["messages"][-1]["content"]


async def test_a_reader_that_is_slow_holds_up_what_thinks(serve: Any, small: Script, deep: Script) -> None:
    """As with any other stream: what nobody takes is not piled up here."""
    gateway = await thinking(serve, small, deep)
    small.says(thinks("Why?"), Says(ANSWER))
    long = event("word " * 20_000) * 130 + b"data: [DONE]\n\n"
    async with scripted(EVENTS + b"connection: close\r\n\r\n" + long) as engine:
        gateway.seats.elsewhere["seat/deep"] = engine
        client = await gateway.client()
        await client.send(request(body=HARD | {"stream": True}))
        client.writer.transport.pause_reading()
        (connection,) = gateway.server.connections
        for _ in range(10):
            await asyncio.sleep(0.05)
            assert connection.transport.get_write_buffer_size() < 2 * 1024 * 1024
        client.writer.transport.resume_reading()
        reply = await client.answer()
    assert reply.is_whole and reply.text == f"{ANSWER} "
    assert len(reply.body) > len(long)
