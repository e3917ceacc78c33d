"""A whole gateway before an Ollama: asked by its own routes, answered in OpenAI's dialect, and never cut in silence."""

from __future__ import annotations

import base64
import json
from typing import Any

import openai
import pytest
from composed import CHAT, PATH, SECRET, STREAM, Gateway, scripted, target

from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

LONG = [{"role": "user", "content": " ".join(["word"] * 300)}]
ASKS: dict[str, dict[str, Any]] = {
    PATH: CHAT | {"messages": LONG},
    "/v1/completions": {"model": "fast", "prompt": LONG[0]["content"]},
    "/v1/embeddings": {"model": "fast", "input": ["short", LONG[0]["content"]]},
}
TEXT = "The quick brown fox jumps."


def ollama(**changes: Any) -> Any:
    return target(engine="ollama", **changes)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", list(ASKS))
@pytest.mark.parametrize("known", [None, 4096])
async def test_what_is_too_long_for_what_it_has_loaded(serve: Any, path: str, stream: bool, known: int | None) -> None:
    """Whoever else had it loaded with a smaller window, after it was looked at: it says so, and is not cut."""
    if stream and path.endswith("embeddings"):
        pytest.skip("embeddings are not streamed")
    async with FakeEngine("ollama", (FakeModel(window=200),)) as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(ollama(window=known), ollama(name="seat/2")))
        reply = await (await gateway.client()).ask(path, ASKS[path] | ({"stream": True} if stream else {}))
        assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
        assert len(engine.calls) == 1, "not elsewhere"
        assert engine.calls[0].path.startswith("/api/")
        assert gateway.seats.failures == []
        assert gateway.pipeline.health.is_usable(ollama())


TURNS = [{"role": "user", "content": "old " * 300}, {"role": "assistant", "content": "so " * 300}, *LONG]
SHORTENED = ("truncated", "compressed")


@pytest.mark.parametrize(
    ("window", "may_cut", "states"), [(400, False, SHORTENED), (2000, False, ("fit",)), (2000, True, SHORTENED)]
)
async def test_its_known_window_is_kept(serve: Any, window: int, may_cut: bool, states: tuple[str, ...]) -> None:
    """By an estimate, as it refuses what is too long; by the bound in bytes where it is too old to refuse."""
    async with FakeEngine("ollama", (FakeModel(window=window),)) as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(ollama(window=window, may_cut=may_cut),))
        reply = await (await gateway.client()).ask(PATH, CHAT | {"messages": TURNS, "max_tokens": 50})
        assert (reply.status, reply.head["x-ringfence-window"].split(";")[0] in states) == (200, True)
        assert reply.json["usage"]["prompt_tokens"] <= window - 50
        sent = engine.calls[-1].body
        assert (sent["truncate"], sent["options"]["num_predict"]) == (False, 50)
        if may_cut:
            assert sum(len(message["content"]) for message in sent["messages"]) < window


async def test_by_its_openai_routes_it_would_be_cut(serve: Any) -> None:
    """The other way round: the fake does cut where it is not told otherwise, as this test must be able to see."""
    async with FakeEngine("ollama", (FakeModel(window=200),)) as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(target(engine="openai_compatible"),))
        reply = await (await gateway.client()).ask(PATH, ASKS[PATH])
        assert (reply.status, reply.json["usage"]["prompt_tokens"]) == (200, 200)


async def test_answers_are_as_by_its_openai_routes(serve: Any) -> None:
    async with FakeEngine("ollama", (FakeModel(window=4096),)) as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(ollama(),))
        client = await gateway.client()
        whole = (await client.ask(PATH, CHAT)).json
        assert whole["choices"][0]["message"]["content"] == TEXT
        assert (whole["model"], whole["usage"]["completion_tokens"]) == ("fast", 6)
        streamed = await client.ask(PATH, STREAM | {"max_tokens": 2, "stream_options": {"include_usage": True}})
        assert streamed.text == "The quick"
        *_, finish, usage, done = streamed.events
        assert json.loads(finish)["choices"][0]["finish_reason"] == "length"
        assert (json.loads(usage)["usage"]["completion_tokens"], done) == (2, "[DONE]")
        assert {json.loads(event)["model"] for event in streamed.events[:-1]} == {"fast"}
        hidden = await client.ask(PATH, STREAM)
        assert (hidden.text, "usage" in hidden.body.decode()) == (TEXT, False)
        text = (await client.ask("/v1/completions", {"model": "fast", "prompt": "Once"})).json
        assert (text["object"], text["choices"][0]["text"]) == ("text_completion", TEXT)
        told = await client.ask("/v1/completions", {"model": "fast", "prompt": "Once", "stream": True})
        assert "".join(json.loads(event)["choices"][0]["text"] for event in told.events[:-1]) == TEXT
        asked = [(call.path, call.body["options"]["num_predict"]) for call in engine.calls]
        assert asked == [(call.path, 2457) for call in engine.calls[:1]] + [("/api/chat", 2)] + asked[2:]
        assert all((call.body["truncate"], call.body["shift"]) == (False, False) for call in engine.calls)
        assert [event.usage.estimated for event in gateway.answered if event.usage] == [False] * 5


async def test_embeddings_in_both_forms(serve: Any) -> None:
    async with FakeEngine("ollama", (FakeModel(embeds=True),)) as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(ollama(),))
        client = await gateway.client()
        body = {"model": "fast", "input": ["a", "b c"]}
        floats = (await client.ask("/v1/embeddings", body)).json
        packed = (await client.ask("/v1/embeddings", body | {"encoding_format": "base64"})).json
        assert [row["index"] for row in floats["data"]] == [0, 1]
        assert floats["usage"]["prompt_tokens"] > 0
        sizes = [len(base64.b64decode(row["embedding"])) for row in packed["data"]]
        assert sizes == [4 * len(row["embedding"]) for row in floats["data"]]


async def test_what_it_cannot_be_asked_is_refused_by_name_and_not_sent(serve: Any) -> None:
    async with FakeEngine("ollama") as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(ollama(),))
        client = await gateway.client()
        far = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
        asks = {
            "n": CHAT | {"n": 2}, "keep_alive": CHAT | {"keep_alive": -1},
            "messages[0].content[0].image_url": CHAT | {"messages": [{"role": "user", "content": [far]}]},
        }  # fmt: skip
        for param, body in asks.items():
            reply = await client.ask(PATH, body)
            assert (reply.status, reply.error["param"]) == (400, param)
        ids = await client.ask("/v1/embeddings", {"model": "fast", "input": [1, 2]})
        assert (ids.status, ids.error["param"]) == (400, "input")
        assert engine.calls == []


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET, Fault.BAD_SSE])
async def test_a_stream_that_breaks(serve: Any, fault: Fault) -> None:
    async with FakeEngine("ollama") as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(ollama(),))
        engine.once(Behaviour(fault, after_events=2, between_s=0.2))  # what begins badly is tried again
        reply = await (await gateway.client()).ask(PATH, STREAM)
        assert reply.text == "The quick"
        assert json.loads(reply.events[-1])["error"]["code"] == "engine_failed"
        assert "[DONE]" not in reply.events
        await gateway.assert_at_rest()
        assert gateway.answered[-1].kind.outcome != "ok"


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
async def test_a_stream_byte_by_byte(serve: Any, newline: bytes) -> None:
    async with FakeEngine("ollama") as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(ollama(),))
        engine.once(Behaviour(byte_by_byte=True, newline=newline))
        reply = await (await gateway.client()).ask(PATH, STREAM)
        assert (reply.text, reply.events[-1]) == (TEXT, "[DONE]")


@pytest.mark.parametrize(
    ("lines", "reason"), [("", "malformed"), ('{"error": "no such runner"}\n', "status"), ("{", "")]
)
async def test_a_stream_that_is_none_is_tried_elsewhere(serve: Any, lines: str, reason: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: %d\r\n\r\n" % len(lines)
    async with FakeEngine("ollama") as engine, scripted(head + lines.encode()) as endpoint:
        gateway: Gateway = await serve(engine=endpoint, targets=(ollama(), ollama(name="seat/2")))
        gateway.seats.elsewhere["seat/2"] = engine.endpoint
        reply = await (await gateway.client()).ask(PATH, STREAM)
        if lines == "{":  # its first byte has come: it is too late for another
            assert json.loads(reply.events[-1])["error"]["code"] == "engine_failed"
        else:
            assert (reply.status, reply.text) == (200, TEXT)
            assert gateway.seats.failures == [("seat/fast", reason)]


async def test_the_openai_package(serve: Any) -> None:
    """As its users write: whole, streamed, with tools, with embeddings, which it asks for in base64."""
    async with FakeEngine("ollama", (FakeModel(window=200),)) as engine:
        gateway: Gateway = await serve(engine=engine.endpoint, targets=(ollama(),))
        url = f"http://127.0.0.1:{gateway.port}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=SECRET.decode(), max_retries=0) as client:
            messages: list[Any] = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}]
            whole = await client.chat.completions.create(model="fast", messages=messages)
            assert whole.choices[0].message.content == TEXT
            parts = [
                chunk.choices[0].delta.content or ""
                async for chunk in await client.chat.completions.create(model="fast", messages=messages, stream=True)
            ]
            assert "".join(parts) == TEXT
            text = await client.completions.create(model="fast", prompt="Once", max_tokens=2)
            assert (text.choices[0].text, text.choices[0].finish_reason) == ("The quick", "length")
            vectors = await client.embeddings.create(model="fast", input=["a", "b"])
            assert [type(number) for number in vectors.data[1].embedding[:2]] == [float, float]
            with pytest.raises(openai.BadRequestError) as caught:
                await client.chat.completions.create(model="fast", messages=LONG)  # type: ignore[arg-type]
            assert caught.value.code == "context_length_exceeded"
