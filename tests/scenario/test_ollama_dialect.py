"""Ollama's own API as callers speak it, in front of each kind of engine."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from composed import ENGINES, Client, Gateway, Reply, target

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

SAID = "The quick brown fox jumps."
HI: list[dict[str, Any]] = [{"role": "user", "content": "hello there"}]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
KINDS = ("vllm", "llamacpp", "ollama")
DONE_FIELDS = [
    "model", "created_at", "message", "done", "done_reason", "total_duration", "load_duration", "prompt_eval_count",
    "prompt_eval_duration", "eval_count", "eval_duration",
]  # fmt: skip


class Side:
    def __init__(self, engine: FakeEngine, gateway: Gateway, client: Client) -> None:
        self.engine = engine
        self.gateway = gateway
        self.client = client

    async def ask(self, path: str, **body: Any) -> Reply:
        return await self.client.ask(path, {"model": "fast", **body})

    @property
    def sent(self) -> dict[str, Any]:
        """The last body that the engine got for an answer."""
        paths = ("/v1/", "/api/chat", "/api/generate", "/api/embed")
        found = [one for one in self.engine.requests if one.method == "POST" and one.path.startswith(paths)]
        return [one for one in found if "input_tokens" not in one.path][-1].body


def engine_of(kind: str) -> FakeEngine:
    return FakeEngine(kind, (FakeModel("fake-model"),))


@pytest.fixture(params=KINDS)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    assert request.param in ENGINES
    async with engine_of(request.param) as engine:
        targets = (target(engine=request.param),)
        async with Gateway(engine.endpoint, targets=targets) as gateway:
            client = await gateway.client()
            yield Side(engine, gateway, client)
            client.leave()


def lines(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply
    assert reply.head["content-type"] == "application/x-ndjson"
    assert reply.is_whole and reply.body.endswith(b"\n")
    return [json.loads(line) for line in reply.body.splitlines()]


async def test_a_chat_is_streamed_unless_it_says_otherwise(side: Side) -> None:
    *said, last = lines(await side.ask("/api/chat", messages=HI))
    assert "".join(one["message"]["content"] for one in said) == SAID
    assert all(one["done"] is False and one["message"]["role"] == "assistant" for one in said)
    assert {tuple(one) for one in said} == {("model", "created_at", "message", "done")}
    assert list(last) == DONE_FIELDS
    assert (last["model"], last["done"], last["done_reason"]) == ("fast", True, "stop")
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["prompt_eval_count"], last["eval_count"]) == (2, 6)
    assert last["total_duration"] >= last["eval_duration"] > 0
    (row,) = side.gateway.answered
    assert (row.kind.dialect, row.kind.stream, row.kind.outcome) == ("ollama_chat", True, "ok")


async def test_a_chat_in_one_piece(side: Side) -> None:
    reply = await side.ask("/api/chat", messages=HI, stream=False)
    assert (reply.status, reply.head["content-type"]) == (200, "application/json")
    told = reply.json
    assert list(told) == DONE_FIELDS
    assert told["message"] == {"role": "assistant", "content": SAID}
    assert (told["done"], told["done_reason"], told["prompt_eval_count"], told["eval_count"]) == (True, "stop", 2, 6)
    assert reply.head["x-ringfence-target"] == "seat/fast"


async def test_what_is_cut_short_says_so(side: Side) -> None:
    reply = await side.ask("/api/chat", messages=HI, stream=False, options={"num_predict": 2})
    assert (reply.json["done_reason"], reply.json["message"]["content"]) == ("length", "The quick")
    *_, last = lines(await side.ask("/api/generate", prompt="hello", options={"num_predict": 2}))
    assert last["done_reason"] == "length"


async def test_options_reach_each_engine(side: Side) -> None:
    options = {"temperature": 0.5, "top_p": 0.9, "top_k": 30, "min_p": 0.1, "seed": 7, "stop": ["END"],
               "num_predict": 9, "repeat_penalty": 1.2, "presence_penalty": 0.1, "frequency_penalty": 0.2,
               "num_ctx": 8192, "num_thread": 4, "mirostat": None}  # fmt: skip
    assert (await side.ask("/api/chat", messages=HI, stream=False, options=options)).status == 200
    given = side.sent.get("options", side.sent)
    named = {name: value for name, value in options.items() if name not in ("num_predict", "num_ctx", "num_thread")}
    named.pop("mirostat")
    assert {name: given[name] for name in named if name in given} == named
    assert given.get("num_predict", given.get("max_tokens")) == 9
    assert not {"num_ctx", "num_thread", "mirostat"}.intersection(given)


async def test_a_prompt_is_a_message_and_a_raw_one_is_continued(side: Side) -> None:
    told = (await side.ask("/api/generate", prompt="hello there", system="Be brief.", stream=False)).json
    assert (told["response"], told["done_reason"], told["eval_count"]) == (SAID, "stop", 6)
    assert "message" not in told and "context" not in told
    assert [one["role"] for one in side.sent["messages"]] == ["system", "user"]
    *said, last = lines(await side.ask("/api/generate", prompt="hello there", raw=True))
    assert "".join(one["response"] for one in said) == SAID
    assert (last["response"], last["done"]) == ("", True)
    assert side.sent["prompt"] == "hello there" and "messages" not in side.sent


async def test_embeddings_by_both_routes(side: Side) -> None:
    told = (await side.ask("/api/embed", input=["one", "two"], truncate=True, keep_alive="5m")).json
    assert list(told) == ["model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"]
    assert [len(row) for row in told["embeddings"]] == [8, 8]
    assert told["prompt_eval_count"] == 2
    older = (await side.ask("/api/embeddings", prompt="one")).json
    assert older == {"embedding": told["embeddings"][0]}
    assert (await side.ask("/api/embed", input="one")).json["embeddings"] == [told["embeddings"][0]]


async def test_pictures_and_tools_and_a_format_are_carried(side: Side) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    messages = [
        {"role": "user", "content": "what is it?", "images": [PNG]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}]},
        {"role": "tool", "content": "a fox", "tool_name": "look"},
    ]
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    reply = await side.ask("/api/chat", messages=messages, tools=tools, format=schema, stream=False)
    assert reply.status == 200, reply.body
    assert side.sent["tools"] == tools
    if side.engine.kind == "ollama":
        assert side.sent["format"] == schema
        assert [one["images"] for one in side.sent["messages"] if "images" in one] == [[PNG]]
        assert side.sent["messages"][-1]["tool_name"] == "look"
        return
    parts = side.sent["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url"]
    assert parts[1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    call = side.sent["messages"][1]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"at": 1}
    assert side.sent["messages"][2]["tool_call_id"] == call["id"]
    assert side.sent["response_format"]["json_schema"]["schema"] == schema


async def test_what_only_loads_a_model_says_so(side: Side) -> None:
    for path, said in (("/api/chat", "message"), ("/api/generate", "response")):
        told = (await side.ask(path, keep_alive="10m")).json
        assert list(told) == ["model", "created_at", said, "done_reason", "done"]
        assert (told["done_reason"], told["done"]) == ("load", True)
        given = side.sent.get("options", side.sent)
        assert given.get("max_tokens", given.get("num_predict")) == 1
    asked = len(side.engine.requests)
    reply = await side.ask("/api/generate", keep_alive=0)
    assert reply.status == 400 and "decided by this gateway" in reply.json["error"]
    assert len(side.engine.requests) == asked


async def test_names_with_and_without_the_usual_tag(side: Side) -> None:
    reply = await side.client.ask("/api/chat", {"model": "fast:latest", "messages": HI, "stream": False})
    assert (reply.status, reply.json["model"]) == (200, "fast:latest")
    assert (await side.client.ask("/api/show", {"model": "quick:latest"})).status == 200
    reply = await side.client.ask("/api/chat", {"model": "other:latest", "messages": HI})
    assert (reply.status, reply.json["code"]) == (404, "model_not_found")
    assert list(reply.json) == ["error", "code"]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_too_long_is_refused_where_it_cannot_be_shortened(side: Side, stream: bool) -> None:
    reply = await side.ask("/api/embed", input="word " * 5000)
    assert (reply.status, reply.json["code"]) == (400, "context_length_exceeded")
    reply = await side.ask("/api/chat", messages=[{"role": "user", "content": "word " * 9000}], stream=stream)
    assert reply.status == 200
    assert reply.head["x-ringfence-window"].startswith(("compressed", "truncated"))


async def test_a_stream_that_breaks_ends_with_an_error_and_no_end(side: Side) -> None:
    side.engine.once(Behaviour(Fault.CUT, after_events=3))
    *said, last = lines(await side.ask("/api/chat", messages=HI))
    assert list(last) == ["error", "code"] and last["code"] == "engine_failed"
    assert not any(one["done"] for one in said)


async def test_the_lists(side: Side) -> None:
    async def look(path: str) -> Any:
        reply = await side.client.ask(path, method="GET")
        assert reply.status == 200
        return reply.json

    assert await look("/api/version") == {"version": "0.13.0"}
    assert await look("/api/status") == {"cloud": {"disabled": True, "source": "config"}}
    rows = (await look("/api/tags"))["models"]
    openai = await look("/v1/models")
    assert [row["name"] for row in rows] == [row["id"] for row in openai["data"]]
    assert [row["name"] for row in rows][:2] == ["fast", "quick"]
    assert set(rows[0]) == {"name", "model", "modified_at", "size", "digest", "details", "capabilities"}
    assert set(rows[0]["details"]) == {
        "parent_model", "format", "family", "families", "parameter_size", "quantization_level",
    }  # fmt: skip
    assert all(len(row["digest"]) == 64 for row in rows)
    (here,) = (await look("/api/ps"))["models"]
    assert (here["name"], here["context_length"]) == ("fast", 4096)
    shown = (await side.client.ask("/api/show", {"model": "fast"})).json
    assert shown["model_info"]["unknown.context_length"] == 4096
    assert shown["capabilities"] == ["completion", "tools", "embedding"]
    assert (await side.client.ask("/api/show", {"name": "fast"})).status == 200
    assert (await side.client.ask("/api/show", {"model": "nobody"})).json["code"] == "model_not_found"
    assert (await side.client.ask("/api/show", b"{")).json["code"] == "invalid_json"


async def test_what_would_change_the_models_is_refused_by_name(side: Side) -> None:
    asked = len(side.engine.requests)
    for path in ("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/blobs/sha256:0"):
        reply = await side.client.ask(path, {"model": "fast"})
        assert (reply.status, reply.json["code"]) == (403, "models_are_configured"), path
        assert path in reply.json["error"]
    reply = await side.client.ask("/api/delete", method="DELETE")
    assert (reply.status, reply.json["code"]) == (403, "models_are_configured")
    assert (await side.client.ask("/api/tags", {})).status == 405
    unknown = await side.client.ask("/api/unknown", {})
    assert (unknown.status, unknown.json["code"]) == (404, "not_found")
    assert "/api/unknown" in unknown.json["error"] and "base URL" not in unknown.json["error"]
    assert len(side.engine.requests) == asked


async def test_a_key_is_needed_everywhere(side: Side) -> None:
    for path, method in (("/api/chat", "POST"), ("/api/tags", "GET"), ("/api/version", "GET"), ("/api/pull", "POST")):
        client = await side.gateway.client()
        reply = await client.ask(path, {"model": "fast"} if method == "POST" else None, method=method, secret=b"")
        assert (reply.status, reply.json["code"]) == (401, "invalid_api_key")
        client.leave()


async def test_rented_models_are_told_as_such() -> None:
    rented = target("cloud/x", provider="some-cloud", boundary=Boundary.CLOUD, engine_model="big-one", engine="")
    async with Gateway(None, targets=(rented,)) as gateway:
        client = await gateway.client()
        assert (await client.ask("/api/status", method="GET")).json["cloud"]["disabled"] is False
        row = (await client.ask("/api/tags", method="GET")).json["models"][0]
        assert (row["remote_model"], row["remote_host"]) == ("big-one", "some-cloud")
        assert (await client.ask("/api/ps", method="GET")).json == {"models": []}
        client.leave()


async def test_what_steers_is_refused_and_other_fields_are_passed_over() -> None:
    async with engine_of("vllm") as engine, Gateway(engine.endpoint) as gateway:
        client = await gateway.client()
        reply = await client.ask("/api/chat", {"model": "fast", "messages": HI, "api_base": "http://203.0.113.1"})
        assert (reply.status, reply.json["code"]) == (400, "unsupported_parameter")
        body = {"model": "fast", "messages": HI, "stream": False, "n": 2, "unheard_of": 1}
        assert (await client.ask("/api/chat", body)).status == 200
        assert not {"n", "unheard_of"}.intersection(engine.requests[-1].body)
        client.leave()


async def test_abilities_are_told_apart() -> None:
    embeds = target(abilities=frozenset((Ability.EMBEDDINGS,)))
    async with engine_of("vllm") as engine, Gateway(engine.endpoint, targets=(embeds,)) as gateway:
        client = await gateway.client()
        shown = (await client.ask("/api/show", {"model": "fast"})).json
        assert shown["capabilities"] == ["embedding"]
        reply = await client.ask("/api/chat", {"model": "fast", "messages": HI})
        assert (reply.status, reply.json["code"]) == (400, "model_not_able")
        client.leave()
