"""langchain-openai, unchanged."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import openai
from checks import CLOUDS, FULL, KEY, KEY_FOR_CLOUDS, KEY_FOR_ONE_REQUEST, KEY_THAT_REFUSES, SENTENCE, URL, raised, run
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


@tool
def look_up(city: str) -> str:
    """The weather of a city."""
    return f"21 in {city}"


def chat(model: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": model, "base_url": URL, "api_key": KEY, "max_retries": 0, "timeout": 30, **more})


def check_invoke() -> None:
    for model in FAKES:
        answer = chat(model).invoke("Say something.")
        assert answer.content == SENTENCE and answer.usage_metadata["output_tokens"] == 6, (model, answer)
        assert answer.response_metadata["model_name"] == model


def check_invoke_real() -> None:
    answer = chat("tiny", max_tokens=8).invoke("Say something.")
    assert (
        answer.response_metadata["finish_reason"] in ("stop", "length") and answer.usage_metadata["output_tokens"] > 0
    )


def check_stream() -> None:
    for model in FAKES:
        chunks = list(chat(model).stream("Say something."))
        assert "".join(chunk.text for chunk in chunks) == SENTENCE, model
    assert "".join(chunk.text for chunk in chat("tiny", max_tokens=8).stream("Say something."))


def check_stream_tells_usage_when_asked() -> None:
    for model in (*FAKES, "tiny"):
        total = None
        for chunk in chat(model, stream_usage=True, max_tokens=8).stream("Say something."):
            total = chunk if total is None else total + chunk
        assert total.usage_metadata["output_tokens"] > 0, model


def check_async() -> None:
    async def ask() -> None:
        answer = await chat("fakes/vllm").ainvoke("Say something.")
        chunks = [chunk.text async for chunk in chat("fakes/vllm").astream("Say something.")]
        assert answer.content == "".join(chunks) == SENTENCE
        assert [each.content for each in await chat("fakes/vllm").abatch(["a", "b"])] == [SENTENCE] * 2

    asyncio.run(ask())


def check_tools_round_trip() -> None:
    for model in FAKES:
        bound = chat(model).bind_tools([look_up])
        asked = HumanMessage("How is the weather in Paris?")
        first = bound.invoke([asked])
        assert first.tool_calls[0]["name"] == "look_up" and first.tool_calls[0]["args"] == {"city": "Paris"}, (
            model,
            first,
        )
        answered = look_up.invoke(first.tool_calls[0])
        assert isinstance(answered, ToolMessage)
        assert bound.invoke([asked, first, answered]).content == "It is 21 degrees.", model


def check_streamed_tool_calls() -> None:
    for model in FAKES:
        total = None
        for chunk in chat(model).bind_tools([look_up]).stream("How is the weather in Paris?"):
            total = chunk if total is None else total + chunk
        assert [(call["name"], call["args"]) for call in total.tool_calls] == [("look_up", {"city": "Paris"})], (
            model,
            total,
        )


def check_structured_output() -> None:
    wanted = Weather(city="Paris", degrees=21)
    for model in FAKES:
        for method in ("json_schema", "function_calling"):
            assert chat(model).with_structured_output(Weather, method=method).invoke("Paris?") == wanted, (
                model,
                method,
            )


def check_structured_output_real() -> None:
    schema = {
        "title": "number",
        "type": "object",
        "properties": {"n": {"type": "integer", "maximum": 99, "minimum": 0}},
    }
    schema |= {"required": ["n"], "additionalProperties": False}
    answer = (
        chat("tiny", max_tokens=100).with_structured_output(schema, method="json_schema").invoke("A number, please.")
    )
    assert 0 <= answer["n"] <= 99


def check_logprobs() -> None:
    answer = chat("fakes/vllm").bind(logprobs=True).invoke("Say something.")
    assert len(answer.response_metadata["logprobs"]["content"]) == 6


def check_image() -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    assert chat("fakes/vllm").invoke([HumanMessage(parts)]).content == SENTENCE


def check_headers() -> None:
    answer = chat("fakes/vllm", include_response_headers=True).invoke("Say something.")
    assert answer.response_metadata["headers"]["x-ringfence-target"] == "vllm/fakes/vllm"


def check_legacy_completions() -> None:
    model = OpenAI(model="fakes/vllm", base_url=URL, api_key=KEY, max_retries=0)
    assert model.invoke("Once") == "".join(model.stream("Once")) == SENTENCE


def check_embeddings() -> None:
    for name in ("tiny", "fakes/embedder"):
        made = OpenAIEmbeddings(model=name, base_url=URL, api_key=KEY, max_retries=0, check_embedding_ctx_length=False)
        one, two = made.embed_documents(["a harbour", "the night watch"])
        assert len(one) == len(two) > 0 and one != two
        assert max(abs(a - b) for a, b in zip(made.embed_query("a harbour"), one, strict=True)) < 1e-4


def check_errors() -> None:
    error = raised(openai.NotFoundError, lambda: chat("gpt-9").invoke("a"))
    assert error.code == "model_not_found"
    raised(openai.AuthenticationError, lambda: chat("tiny", api_key="sk-rf-wrong").invoke("a"))
    raised(openai.NotFoundError, lambda: list(chat("gpt-9").stream("a")))
    raised(openai.InternalServerError, lambda: chat("fakes/failing").invoke("a"))
    assert raised(openai.APIError, lambda: list(chat("fakes/cut-langchain").stream("a"))).code == "engine_failed"


def check_429() -> None:
    limited = chat("fakes/vllm", api_key=KEY_FOR_ONE_REQUEST)
    limited.invoke("a")
    assert int(raised(openai.RateLimitError, lambda: limited.invoke("a")).response.headers["retry-after"]) > 50


def check_rented_clouds() -> None:
    for name in CLOUDS:
        model = chat(name, api_key=KEY_FOR_CLOUDS)
        answer = model.invoke("Say something.")
        assert answer.content == SENTENCE and answer.usage_metadata["output_tokens"] == 6, (name, answer)
        assert "".join(chunk.text for chunk in model.stream("Say something.")) == SENTENCE, name


def check_clouds_that_fail() -> None:
    full = chat("clouds/full-langchain", api_key=KEY_FOR_CLOUDS)
    for ask in (lambda: full.invoke("a"), lambda: list(full.stream("a"))):
        error = raised(openai.RateLimitError, ask)
        assert error.code == "provider_rate_limited" and 1 <= int(error.response.headers["retry-after"]) <= 30
    cut = chat("clouds/cut-langchain", api_key=KEY_FOR_CLOUDS)
    assert raised(openai.APIError, lambda: list(cut.stream("a"))).code == "engine_failed"


def check_overflow_is_known_as_such() -> None:
    for name in ("tiny", "fakes/vllm", "fakes/llamacpp", "fakes/lmstudio", "fakes/ollama"):
        model = chat(name, api_key=KEY_THAT_REFUSES)
        raised(ContextOverflowError, lambda model=model: model.invoke("word " * 6000))
        raised(ContextOverflowError, lambda model=model: list(model.stream("word " * 6000)))


def check_overflow_that_an_engine_tells() -> None:
    for name in FULL:
        for key in (KEY, KEY_THAT_REFUSES):
            model = chat(name, api_key=key)
            raised(ContextOverflowError, lambda model=model: model.invoke("Say something."))
            raised(ContextOverflowError, lambda model=model: list(model.stream("Say something.")))


def check_what_is_too_long_is_shortened() -> None:
    long = [HumanMessage("word " * 3000), AIMessage("So."), HumanMessage("Say something.")]
    answer = chat("fakes/vllm", include_response_headers=True).invoke(long * 3)
    assert answer.content == SENTENCE
    assert answer.response_metadata["headers"]["x-ringfence-window"].startswith(("truncated; ", "compressed; "))


def check_leaving_a_stream() -> list[float]:
    """When each of three was left, in seconds of the machine's clock."""
    left_s: list[float] = []
    for _ in range(3):
        stream = chat("fakes/slow").stream("Say something.")
        next(stream)
        left_s.append(time.monotonic())
        stream.close()
        time.sleep(1.5)  # longer than between two words: an end that is late is not taken for that of the next
    return left_s


if __name__ == "__main__":
    run(globals())
