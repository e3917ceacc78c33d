"""LiteLLM as a client, unchanged: one call, and its prefix says which of our dialects it speaks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import litellm
from checks import CLOUDS, FULL, KEY, KEY_FOR_CLOUDS, KEY_FOR_ONE_REQUEST, KEY_THAT_REFUSES, SENTENCE, URL, raised, run

FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
ROOT = URL.removesuffix("/v1")
PREFIXES = {"openai": URL, "ollama_chat": ROOT, "anthropic": ROOT}
"""What LiteLLM takes for a provider, and the address that it wants."""
HI = [{"role": "user", "content": "Say something."}]
LONG = [{"role": "user", "content": "word " * 6000}]
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}


def told(prefix: str, model: str, **more: Any) -> dict[str, Any]:
    """What every call is given; LiteLLM's own tries are off, so that the first answer is what is seen."""
    known = {"model": f"{prefix}/{model}", "api_base": PREFIXES[prefix], "api_key": KEY, "messages": HI}
    return {**known, "max_retries": 0, "num_retries": 0, "timeout": 30, **more}


def ask(prefix: str, model: str, **more: Any) -> Any:
    return litellm.completion(**told(prefix, model, **more))


def streamed(prefix: str, model: str, **more: Any) -> Any:
    """The chunks put together again by LiteLLM itself."""
    chunks = list(ask(prefix, model, stream=True, **more))
    return litellm.stream_chunk_builder(chunks, messages=more.get("messages", HI))


def check_completion() -> None:
    for prefix in PREFIXES:
        for model in FAKES:
            answer = ask(prefix, model)
            assert answer.choices[0].message.content == SENTENCE, (prefix, model, answer)
            assert answer.choices[0].finish_reason == "stop", (prefix, model, answer)
            assert answer.usage.completion_tokens == 6, (prefix, model, answer.usage)


def check_completion_real() -> None:
    for prefix in PREFIXES:
        answer = ask(prefix, "tiny", max_tokens=8)
        assert answer.choices[0].finish_reason in ("stop", "length"), (prefix, answer)
        assert 0 < answer.usage.completion_tokens <= 8, (prefix, answer.usage)


def check_stream() -> None:
    for prefix in PREFIXES:
        for model in FAKES:
            answer = streamed(prefix, model, stream_options={"include_usage": True})
            assert answer.choices[0].message.content == SENTENCE, (prefix, model, answer)
            assert answer.usage.completion_tokens == 6, (prefix, model, answer.usage)
        assert streamed(prefix, "tiny", max_tokens=8).choices[0].message.content, prefix


def check_async() -> None:
    async def said() -> None:
        for prefix in PREFIXES:
            answer = await litellm.acompletion(**told(prefix, "fakes/vllm"))
            assert answer.choices[0].message.content == SENTENCE, prefix
            parts = await litellm.acompletion(**told(prefix, "fakes/vllm", stream=True))
            words = [part.choices[0].delta.content or "" async for part in parts]
            assert "".join(words) == SENTENCE, (prefix, words)

    asyncio.run(said())


def check_tools_round_trip() -> None:
    """Of Anthropic, LiteLLM asks for 4096 tokens unless it is told how many: here that is the whole window."""
    asked = {"tools": [TOOL], "max_tokens": 50}
    for prefix in PREFIXES:
        for model in FAKES:
            for call in (ask, streamed):
                said = call(prefix, model, **asked).choices[0].message
                (wanted,) = said.tool_calls
                assert wanted.function.name == "look_up", (prefix, model, wanted)
                assert json.loads(wanted.function.arguments) == {"city": "Paris"}, (prefix, model, wanted)
                result = {"role": "tool", "tool_call_id": wanted.id, "content": "21 in Paris"}
                more = ask(prefix, model, **asked, messages=[*HI, said.model_dump(), result])
                assert more.choices[0].message.content == "It is 21 degrees.", (prefix, model, more)


def check_structured_output() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True}}
    for prefix in PREFIXES:
        answer = ask(prefix, "fakes/vllm", response_format=form)
        assert json.loads(answer.choices[0].message.content) == {"city": "Paris", "degrees": 21}, (prefix, answer)


def check_embeddings() -> None:
    for model, size in (("fakes/embedder", 8), ("tiny", 128)):
        made = litellm.embedding(f"openai/{model}", ["one", "two"], api_base=URL, api_key=KEY)
        assert [len(row["embedding"]) for row in made.data] == [size, size], model


def check_legacy_completions() -> None:
    asked = {"model": "text-completion-openai/fakes/vllm", "prompt": "Once", "api_base": URL, "api_key": KEY}
    assert litellm.text_completion(**asked).choices[0].text == SENTENCE
    assert "".join(part.choices[0].text or "" for part in litellm.text_completion(**asked, stream=True)) == SENTENCE


def check_responses() -> None:
    asked = {"model": "openai/fakes/vllm", "input": "Say something.", "api_base": URL, "api_key": KEY}
    assert litellm.responses(**asked).output[0].content[0].text == SENTENCE
    events = list(litellm.responses(**asked, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == SENTENCE


def check_messages() -> None:
    async def said() -> None:
        asked = {"model": "anthropic/fakes/vllm", "messages": HI, "max_tokens": 50, "api_base": ROOT, "api_key": KEY}
        answer = await litellm.anthropic.messages.acreate(**asked)
        assert answer["content"][0]["text"] == SENTENCE and answer["usage"]["output_tokens"] == 6, answer

    asyncio.run(said())


def check_a_wrong_key() -> None:
    for prefix in PREFIXES:
        raised(litellm.AuthenticationError, lambda p=prefix: ask(p, "tiny", api_key="sk-rf-wrong"))
        raised(litellm.AuthenticationError, lambda p=prefix: streamed(p, "tiny", api_key="sk-rf-wrong"))


def check_an_unknown_model() -> None:
    for prefix in PREFIXES:
        assert "gpt-9" in str(raised(litellm.NotFoundError, lambda p=prefix: ask(p, "gpt-9")))
        raised(litellm.NotFoundError, lambda p=prefix: streamed(p, "gpt-9"))


def too_long(prefix: str, ask: Any) -> None:
    """Of Ollama, LiteLLM reads the status alone: it has no class of its own for a prompt that is too long."""
    is_read = prefix != "ollama_chat"
    error = raised(litellm.ContextWindowExceededError if is_read else litellm.BadRequestError, ask)
    assert "maximum context length" in str(error) or "prompt is too long" in str(error), error


def check_what_is_too_long() -> None:
    known = {"api_key": KEY_THAT_REFUSES, "messages": LONG}
    for prefix in PREFIXES:
        for call in (ask, streamed):
            for model in ("tiny", *FAKES):
                too_long(prefix, lambda c=call, p=prefix, m=model: c(p, m, **known))
            for model in FULL:
                too_long(prefix, lambda c=call, p=prefix, m=model: c(p, m))


def check_an_engine_that_fails() -> None:
    for prefix in PREFIXES:
        error = raised(litellm.exceptions.openai.APIError, lambda p=prefix: ask(p, "fakes/failing"))
        assert error.status_code >= 500, (prefix, type(error), error.status_code)


def check_an_engine_that_is_busy() -> None:
    """Anthropic's own status for this, 529, LiteLLM takes for a failure inside; both it tries again."""
    for prefix in PREFIXES:
        expected = litellm.InternalServerError if prefix == "anthropic" else litellm.ServiceUnavailableError
        raised(expected, lambda p=prefix: ask(p, "fakes/busy-litellm"))


def check_limits() -> None:
    ask("openai", "fakes/vllm", api_key=KEY_FOR_ONE_REQUEST)
    for prefix in PREFIXES:
        error = raised(litellm.RateLimitError, lambda p=prefix: ask(p, "fakes/vllm", api_key=KEY_FOR_ONE_REQUEST))
        headers = error.litellm_response_headers or error.response.headers
        assert int(headers["retry-after"]) > 30, (prefix, headers)


def check_a_stream_that_breaks() -> None:
    for prefix in PREFIXES:
        said: list[str] = []

        def listen(prefix: str = prefix, said: list[str] = said) -> None:
            for chunk in ask(prefix, "fakes/cut-litellm", stream=True):
                said.append(chunk.choices[0].delta.content or "")

        raised(litellm.exceptions.openai.APIError, listen)
        assert SENTENCE.startswith("".join(said)), (prefix, said)


def check_rented_clouds() -> None:
    for prefix in PREFIXES:
        for model in CLOUDS:
            for call in (ask, streamed):
                answer = call(prefix, model, api_key=KEY_FOR_CLOUDS, max_tokens=50)
                assert answer.choices[0].message.content == SENTENCE, (prefix, model, answer)


def check_a_cloud_that_takes_no_more() -> None:
    for prefix in PREFIXES:
        for call in (ask, streamed):
            asked = (call, prefix)
            error = raised(
                litellm.RateLimitError, lambda a=asked: a[0](a[1], "clouds/full-litellm", api_key=KEY_FOR_CLOUDS)
            )
            assert "rate limit for the gateway's account" in str(error).replace("\\'", "'"), (prefix, error)


def check_a_cloud_that_breaks_off() -> None:
    for prefix in PREFIXES:
        said: list[str] = []

        def listen(prefix: str = prefix, said: list[str] = said) -> None:
            for chunk in ask(prefix, "clouds/cut-litellm", stream=True, api_key=KEY_FOR_CLOUDS):
                said.append(chunk.choices[0].delta.content or "")

        raised(litellm.exceptions.openai.APIError, listen)
        assert SENTENCE.startswith("".join(said)) and any(said), (prefix, said)


if __name__ == "__main__":
    run(globals())
