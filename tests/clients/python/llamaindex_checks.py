"""llama-index-llms-openai-like and llama-index-embeddings-openai-like, unchanged; they bring openai 2."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
from checks import CLOUDS, KEY, KEY_FOR_CLOUDS, KEY_FOR_ONE_REQUEST, KEY_THAT_REFUSES, SENTENCE, URL, raised, run
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
ASKED = [ChatMessage(role="user", content="Say something.")]


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


def look_up(city: str) -> str:
    """The weather of a city."""
    return f"21 in {city}"


def model(name: str, **more: Any) -> OpenAILike:
    given = {
        "model": name,
        "api_base": URL,
        "api_key": KEY,
        "is_chat_model": True,
        "max_retries": 0,
        "context_window": 2048,
    }
    return OpenAILike(**{**given, **more})


def check_chat() -> None:
    for name in FAKES:
        assert model(name).chat(ASKED).message.content == SENTENCE, name
    assert model("tiny", max_tokens=8).chat(ASKED).raw.usage.completion_tokens > 0


def check_stream() -> None:
    for name in FAKES:
        assert "".join(part.delta or "" for part in model(name).stream_chat(ASKED)) == SENTENCE, name
    assert "".join(part.delta or "" for part in model("tiny", max_tokens=8).stream_chat(ASKED))


def check_complete() -> None:
    for name in FAKES:
        assert model(name, is_chat_model=False).complete("Once").text == SENTENCE, name
        assert "".join(part.delta for part in model(name, is_chat_model=False).stream_complete("Once")) == SENTENCE, (
            name
        )


def check_async() -> None:
    async def ask() -> None:
        assert (await model("fakes/vllm").achat(ASKED)).message.content == SENTENCE
        stream = await model("fakes/vllm").astream_chat(ASKED)
        assert "".join([part.delta or "" async for part in stream]) == SENTENCE

    asyncio.run(ask())


def check_tools() -> None:
    given = FunctionTool.from_defaults(look_up)
    for name in FAKES:
        llm = model(name, is_function_calling_model=True)
        calls = llm.get_tool_calls_from_response(llm.chat_with_tools([given], "Paris?"))
        assert [(call.tool_name, call.tool_kwargs) for call in calls] == [("look_up", {"city": "Paris"})], name


def check_streamed_tools() -> None:
    given = FunctionTool.from_defaults(look_up)
    for name in FAKES:
        llm = model(name, is_function_calling_model=True)
        *_, last = llm.stream_chat_with_tools([given], "Paris?")
        calls = llm.get_tool_calls_from_response(last)
        assert [(call.tool_name, call.tool_kwargs) for call in calls] == [("look_up", {"city": "Paris"})], (name, last)


def check_structured() -> None:
    for name in FAKES:
        llm = model(name, is_function_calling_model=True).as_structured_llm(Weather)
        assert llm.chat(ASKED).raw == Weather(city="Paris", degrees=21), name


def check_embeddings() -> None:
    for name in ("tiny", "fakes/embedder"):
        made = OpenAILikeEmbedding(model_name=name, api_base=URL, api_key=KEY, max_retries=0)
        one, two = made.get_text_embedding_batch(["a harbour", "the night watch"])
        assert len(one) == len(two) > 0 and one != two
        assert max(abs(a - b) for a, b in zip(made.get_query_embedding("a harbour"), one, strict=True)) < 1e-4


def check_errors() -> None:
    assert raised(openai.NotFoundError, lambda: model("gpt-9").chat(ASKED)).code == "model_not_found"
    raised(openai.AuthenticationError, lambda: model("tiny", api_key="sk-rf-wrong").chat(ASKED))
    raised(openai.InternalServerError, lambda: model("fakes/failing").chat(ASKED))
    assert (
        raised(openai.APIError, lambda: list(model("fakes/cut-llamaindex").stream_chat(ASKED))).code == "engine_failed"
    )
    long = [ChatMessage(role="user", content="word " * 6000)]
    assert (
        raised(openai.BadRequestError, lambda: model("tiny", api_key=KEY_THAT_REFUSES).chat(long)).code
        == "context_length_exceeded"
    )


def check_429() -> None:
    limited = model("fakes/vllm", api_key=KEY_FOR_ONE_REQUEST)
    limited.chat(ASKED)
    assert int(raised(openai.RateLimitError, lambda: limited.chat(ASKED)).response.headers["retry-after"]) > 50


def check_rented_clouds() -> None:
    for name in CLOUDS:
        rented = model(name, api_key=KEY_FOR_CLOUDS)
        assert rented.chat(ASKED).message.content == SENTENCE, name
        assert "".join(part.delta or "" for part in rented.stream_chat(ASKED)) == SENTENCE, name


def check_clouds_that_fail() -> None:
    full = model("clouds/full-llamaindex", api_key=KEY_FOR_CLOUDS)
    for ask in (lambda: full.chat(ASKED), lambda: list(full.stream_chat(ASKED))):
        error = raised(openai.RateLimitError, ask)
        assert error.code == "provider_rate_limited" and 1 <= int(error.response.headers["retry-after"]) <= 30
    cut = model("clouds/cut-llamaindex", api_key=KEY_FOR_CLOUDS)
    assert raised(openai.APIError, lambda: list(cut.stream_chat(ASKED))).code == "engine_failed"


if __name__ == "__main__":
    run(globals())
