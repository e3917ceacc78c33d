"""The anthropic package over messages, count_tokens and models: its own parsing and its own errors, on a real llama.cpp
and on what stands in for other engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from ringfence.testing.fake_engine import Behaviour, Fault

SENTENCE = "The quick brown fox jumps."
FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[anthropic.Anthropic]:
    address = gateway.base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=address, api_key=gateway.api_key, max_retries=0, timeout=30) as client:
        yield client


def prompt_tokens(message: Any) -> int:
    """What a cache had is counted beside the rest."""
    return int(message.usage.input_tokens + message.usage.cache_read_input_tokens)


@pytest.mark.parametrize("model", ["tiny", *FAKES])
def test_whole_and_streamed(client: anthropic.Anthropic, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "max_tokens": 8, "messages": HELLO, "system": "Be kind."}
    message = client.messages.create(**asked)
    assert (message.type, message.role, message.model) == ("message", "assistant", model)
    assert message.usage.output_tokens > 0
    with client.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        streamed = stream.get_final_message()
    assert prompt_tokens(streamed) == prompt_tokens(message) > 0
    if model == "tiny":
        assert streamed.stop_reason in ("max_tokens", "end_turn")
    else:
        assert message.content[0].to_dict() == {"type": "text", "text": SENTENCE}
        assert (text, streamed.stop_reason) == (SENTENCE, "end_turn")


@pytest.mark.parametrize("model", FAKES)
def test_tools_are_called_and_answered(client: anthropic.Anthropic, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "max_tokens": 64, "tools": [TOOL]}
    with client.messages.stream(**asked, messages=HELLO, tool_choice={"type": "any"}) as stream:
        called = stream.get_final_message()
    use = called.content[-1]
    assert called.stop_reason == "tool_use" and use.type == "tool_use"
    assert (use.name, use.input) == ("weather", {"city": "Paris"})
    result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "sunny"}]}
    turns: Any = [*HELLO, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    answer = client.messages.create(**asked, messages=turns)
    assert answer.stop_reason == "end_turn" and "21 degrees" in answer.content[0].to_dict()["text"]


def test_tokens_are_counted_as_the_engine_counts(client: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": HELLO, "system": "Be kind."}
    counted = client.messages.with_raw_response.count_tokens(**asked)
    assert counted.headers["x-ringfence-counted-by"] == "engine"
    sent = client.messages.create(max_tokens=4, **asked)
    assert abs(counted.parse().input_tokens - prompt_tokens(sent)) <= 1


def test_models_are_listed(client: anthropic.Anthropic) -> None:
    found = {model.id: model for model in client.models.list(limit=1000)}
    assert found["tiny"].display_name == "tiny" and found["tiny"].max_input_tokens
    assert client.models.retrieve("tiny").type == "model"


def test_errors_are_its_own(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="claude-9", max_tokens=4, messages=HELLO)
    assert (missing.value.type, missing.value.error_code) == ("not_found_error", "model_not_found")
    search: Any = {"type": "web_search_20250305", "name": "web_search"}
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(model="tiny", max_tokens=4, messages=HELLO, tools=[search])
    assert "tools[0].type" in str(refused.value)


def test_a_stream_that_breaks_is_an_error(client: anthropic.Anthropic, engines: Any) -> None:
    engines["fakes/vllm"].once(Behaviour(Fault.CUT, after_events=3))
    with (
        pytest.raises(anthropic.APIStatusError) as broke,
        client.messages.stream(model="fakes/vllm", max_tokens=8, messages=HELLO) as stream,
    ):
        stream.get_final_message()
    assert "not complete" in str(broke.value)


def test_what_claude_code_sends(client: anthropic.Anthropic, engines: Any) -> None:
    """Its request as it was recorded: attribution, markers, thinking, what it knows of the context."""
    marker: Any = {"type": "ephemeral", "ttl": "1h"}
    billing = "x-anthropic-billing-header: cc_version=2.1.101.e51; cc_entrypoint=cli; cch=a5145;"
    reminder = {"type": "text", "text": "<system-reminder>\nnone\n</system-reminder>"}
    asked = {
        "model": "fakes/vllm", "max_tokens": 32000, "stream": True, "temperature": 1,
        "system": [{"type": "text", "text": billing}, {"type": "text", "text": "Be kind.", "cache_control": marker}],
        "messages": [
            {"role": "user", "content": [reminder, {"type": "text", "text": "Hello", "cache_control": marker}]}
        ],
        "tools": [{**TOOL, "input_schema": {**TOOL["input_schema"], "$schema": "http://json-schema.org/draft-07/schema#"}}],
        "metadata": {"user_id": '{"device_id":"0784b260bff170af","account_uuid":"","session_id":"b4e5aaaa"}'},
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }  # fmt: skip
    betas = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27"
    found: Any = client.post(
        "/v1/messages?beta=true", body=asked, cast_to=anthropic.types.Message, stream=True,
        stream_cls=anthropic.Stream[anthropic.types.RawMessageStreamEvent],
        options={"headers": {"anthropic-beta": betas, "x-app": "cli", "user-agent": "claude-cli/2.1.101"}},
    )  # fmt: skip
    assert [event.type for event in found][-1] == "message_stop"
    sent = engines["fakes/vllm"].requests[-1].body
    assert sent["messages"][0] == {"role": "system", "content": [{"type": "text", "text": "Be kind."}]}
    assert (sent["reasoning_effort"], sent["max_tokens"] < 4096) == ("high", True)
    assert not {"thinking", "context_management", "metadata"} & sent.keys()


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/"), ("GET", "/v1/models?limit=1000")])
def test_what_claude_code_asks_as_it_starts(client: anthropic.Anthropic, method: str, path: str) -> None:
    answer = client._client.request(method, path, headers={"authorization": f"Bearer {client.api_key}"})
    assert answer.status_code == 200
