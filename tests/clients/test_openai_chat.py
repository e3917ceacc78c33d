"""The openai package, unchanged, over chat: against a real llama.cpp for structure, against fakes for exact answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
EVERY_MODEL = ("tiny", *FAKES)
SENTENCE = "The quick brown fox jumps."
ASKED = [{"role": "user", "content": "Say something."}]
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "degrees": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}},
            "required": ["city"],
        },
    },
}


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_chat(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=ASKED, max_tokens=8)
    assert answer.object == "chat.completion" and answer.model == model and len(answer.choices) == 1
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage is not None and answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    if model != "tiny":
        assert answer.choices[0].message.content == SENTENCE


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_stream_without_usage_has_a_choice_in_every_chunk(client: openai.OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=ASKED, max_tokens=8, stream=True))
    assert all(len(chunk.choices) == 1 and chunk.usage is None and chunk.model == model for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    if model != "tiny":  # llama.cpp leaves the role out when an answer begins with part of a character
        assert chunks[0].choices[0].delta.role == "assistant"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SENTENCE


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_stream_with_usage_tells_it_last(client: openai.OpenAI, model: str) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model=model, messages=ASKED, max_tokens=8, **asked))
    assert chunks[-1].choices == [] and chunks[-1].usage is not None and chunks[-1].usage.completion_tokens > 0
    assert all(chunk.choices and chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize("model", EVERY_MODEL)
async def test_async_chat_and_stream(gateway: Any, model: str) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as client:
        answer = await client.chat.completions.create(model=model, messages=ASKED, max_tokens=8)
        stream = await client.chat.completions.create(model=model, messages=ASKED, max_tokens=8, stream=True)
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert answer.choices[0].finish_reason in ("stop", "length") and said
    if model != "tiny":
        assert answer.choices[0].message.content == said == SENTENCE


def test_stream_with_the_event_interface(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="fakes/vllm", messages=ASKED) as stream:
        said = "".join(event.delta for event in stream if event.type == "content.delta")
        assert said == stream.get_final_completion().choices[0].message.content == SENTENCE


@pytest.mark.parametrize("suffix", ["/v1", "/v1/", "", "/"])
def test_base_url_with_and_without_v1(gateway: Any, suffix: str) -> None:
    with openai.OpenAI(base_url=gateway.root_url + suffix, api_key=gateway.api_key, max_retries=0) as client:
        assert client.chat.completions.create(model="fakes/vllm", messages=ASKED).choices[0].message.content == SENTENCE
        assert "tiny" in [model.id for model in client.models.list()]
        assert client.models.retrieve("fakes/vllm").id == "fakes/vllm"
        assert client.embeddings.create(model="fakes/embedder", input="a").data[0].embedding


# -- tools ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", FAKES)
def test_tools_round_trip(client: openai.OpenAI, model: str) -> None:
    first = client.chat.completions.create(model=model, messages=ASKED, tools=[TOOL])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "look_up" and json.loads(call.function.arguments) == {"city": "Paris"}
    history = [*ASKED, first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "21"}]
    second = client.chat.completions.create(model=model, messages=history, tools=[TOOL])
    assert second.choices[0].message.content == "It is 21 degrees."


@pytest.mark.parametrize("model", FAKES)
def test_streamed_tool_call_comes_together(client: openai.OpenAI, engines: Any, model: str) -> None:
    stream = client.chat.completions.create(model=model, messages=ASKED, tools=[TOOL], stream=True)
    deltas = [chunk.choices[0] for chunk in stream]
    calls = [call for choice in deltas for call in choice.delta.tool_calls or ()]
    assert calls[0].id == "call_1" and calls[0].function.name == "look_up" and {call.index for call in calls} == {0}
    assert json.loads("".join(call.function.arguments or "" for call in calls)) == {"city": "Paris"}
    assert deltas[-1].finish_reason == "tool_calls"
    assert engines[model].calls[-1].body["tools"] == [TOOL]


def test_tools_reach_the_real_engine(client: openai.OpenAI) -> None:
    def prompt_tokens(**more: Any) -> int:
        return client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=4, **more).usage.prompt_tokens

    assert prompt_tokens(tools=[TOOL]) > prompt_tokens() + 50


# -- structured output ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_json_schema(client: openai.OpenAI, model: str) -> None:
    # Letters alone: a model of random weights now and then writes half a character, which llama.cpp cannot read back.
    city = {"type": "string", "pattern": "^[A-Za-z]{1,12}$"}
    schema = SCHEMA | {"properties": SCHEMA["properties"] | {"city": city}}
    wanted = {"type": "json_schema", "json_schema": {"name": "weather", "schema": schema, "strict": True}}
    answer = client.chat.completions.create(model=model, messages=ASKED, response_format=wanted, max_tokens=200)
    Weather.model_validate_json(answer.choices[0].message.content)


@pytest.mark.parametrize("model", FAKES)
def test_parse_into_a_pydantic_model(client: openai.OpenAI, engines: Any, model: str) -> None:
    answer = client.chat.completions.parse(model=model, messages=ASKED, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Paris", degrees=21)
    sent = engines[model].calls[-1].body
    if model == "fakes/ollama":
        assert sent["format"]["required"] == ["city", "degrees"]
    else:
        assert sent["response_format"]["json_schema"]["strict"] is True


# -- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", FAKES)
def test_logprobs(client: openai.OpenAI, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "messages": ASKED, "max_tokens": 4, "logprobs": True, "top_logprobs": 2}
    told = client.chat.completions.create(**asked).choices[0].logprobs.content
    assert [token.logprob for token in told] == [-0.5] * 4
    chunks = client.chat.completions.create(**asked, stream=True)
    streamed = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    assert [each.content[0].logprob for each in streamed] == [-0.5] * 4


def test_logprobs_of_the_real_engine(client: openai.OpenAI) -> None:
    """It tells nothing of tokens that are parts of characters, so not of every answer of this model."""
    asked: dict[str, Any] = {"model": "tiny", "messages": ASKED, "max_tokens": 4, "logprobs": True, "top_logprobs": 2}
    answers = [client.chat.completions.create(**asked, seed=seed).choices[0] for seed in range(8)]
    whole = [token for answer in answers if answer.logprobs for token in answer.logprobs.content]
    streams = [client.chat.completions.create(**asked, seed=seed, stream=True) for seed in range(8)]
    pieces = [chunk.choices[0].logprobs for stream in streams for chunk in stream]
    streamed = [token for piece in pieces if piece for token in piece.content]
    for tokens in (whole, streamed):
        assert tokens and all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


@pytest.mark.parametrize("model", ["tiny", "fakes/vllm"])
def test_several_answers(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=ASKED, max_tokens=4, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_seed_and_temperature_reach_the_real_engine(client: openai.OpenAI) -> None:
    def said(seed: int) -> str | None:
        asked = {"model": "tiny", "messages": ASKED, "max_tokens": 24, "temperature": 1.5}
        return client.chat.completions.create(**asked, seed=seed).choices[0].message.content

    assert said(7) == said(7) != said(8)


@pytest.mark.parametrize("stop", ["fox", ["cat", "fox"]])
def test_stop(client: openai.OpenAI, stop: Any) -> None:
    answer = client.chat.completions.create(model="fakes/vllm", messages=ASKED, stop=stop)
    assert answer.choices[0].message.content == "The quick brown"


@pytest.mark.parametrize("model", [model for model in FAKES if model != "fakes/ollama"])
def test_unknown_fields_reach_the_engine_as_they_are(client: openai.OpenAI, engines: Any, model: str) -> None:
    more = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 5, "min_p": 0.1, "vendor": [1, {"a": None}]}
    asked = {"temperature": 0.1, "seed": 3, "user": "u", "metadata": {"k": "v"}, "logit_bias": {"5": -1}}
    client.chat.completions.create(model=model, messages=ASKED, extra_body=more, **asked)
    sent = engines[model].calls[-1].body
    assert {name: sent.get(name) for name in (*more, *asked)} == {**more, **asked}
    assert sent["messages"] == ASKED and sent["model"] == "fake-model"


def test_an_ollama_gets_what_its_own_openai_routes_would_take(client: openai.OpenAI, engines: Any) -> None:
    more = {"top_k": 5, "vendor": [1], "options": {"num_ctx": 9}, "raw": True, "template": "x"}
    asked = {"model": "fakes/ollama", "messages": ASKED, "temperature": 0.1, "seed": 3, "user": "u", "max_tokens": 9}
    client.chat.completions.create(**asked, extra_body=more)
    assert engines["fakes/ollama"].calls[-1].body == {
        "model": "fake-model", "messages": ASKED, "stream": False, "truncate": False, "shift": False,
        "options": {"temperature": 0.1, "top_p": 1.0, "top_k": 5, "seed": 3, "num_predict": 9},
    }  # fmt: skip
    for name, value in {"n": 2, "logit_bias": {"5": -1}}.items():
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="fakes/ollama", messages=ASKED, **{name: value})
        assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")


@pytest.mark.parametrize("model", FAKES)
def test_images_reach_the_engine_unchanged(client: openai.OpenAI, engines: Any, model: str) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]
    before = len(engines[model].calls)
    if model == "fakes/lmstudio":  # it tells which of its models see, and this one does not
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])
        assert (caught.value.code, len(engines[model].calls)) == ("media_not_supported", before)
        return
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])
    sent = [{"role": "user", "content": parts}]
    if model == "fakes/ollama":
        data = PIXEL.partition(",")[2]
        sent = [{"role": "user", "content": parts[0]["text"]}, {"role": "user", "content": "", "images": [data]}]
    assert engines[model].calls[-1].body["messages"] == sent


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(("asked", "sent", "window"), [(5, 5, "fit"), (100_000, 2457, "clamped")])
def test_output_is_bounded_by_the_window(
    client: openai.OpenAI, engines: Any, name: str, asked: int, sent: int, window: str
) -> None:
    raw = client.chat.completions.with_raw_response.create(model="fakes/vllm", messages=ASKED, **{name: asked})
    assert raw.headers["x-ringfence-window"] == window
    assert engines["fakes/vllm"].calls[-1].body["max_tokens"] == sent
    assert "max_completion_tokens" not in engines["fakes/vllm"].calls[-1].body


# -- headers --------------------------------------------------------------------------------------------------------


def test_headers_of_an_answer(gateway: Any, make_key: Any) -> None:
    secret = make_key("with-limits", "--rpm", "1000", "--tpm", "100000")
    with openai.OpenAI(base_url=gateway.base_url, api_key=secret, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model="fakes/vllm", messages=ASKED, max_tokens=5)
        shown = raw.headers
        assert raw.parse()._request_id == shown["x-request-id"] and shown["x-request-id"]
        assert shown["x-ringfence-target"] == "vllm/fakes/vllm" and shown["x-ringfence-boundary"].lower() == "host"
        assert shown["x-ringfence-reason"] == "requested-model" and shown["content-type"] == "application/json"
        assert shown["x-ratelimit-limit-requests"] == "1000" and int(shown["x-ratelimit-remaining-requests"]) < 1000
        assert shown["x-ratelimit-limit-tokens"] == "100000" and shown["x-ratelimit-reset-tokens"].endswith("ms")
        named = client.chat.completions.with_raw_response.create(
            model="fakes/vllm", messages=ASKED, extra_headers={"x-request-id": "mine-1"}
        )
        assert named.headers["x-request-id"] == "mine-1"
        with client.chat.completions.with_streaming_response.create(
            model="tiny", messages=ASKED, max_tokens=4, stream=True
        ) as raw:
            assert raw.headers["content-type"].startswith("text/event-stream") and raw.headers["x-request-id"]
            assert list(raw.iter_lines())[-2:] == ["data: [DONE]", ""]
