"""ollama-python, unchanged: Ollama's own client against Ollama's own API."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import ollama
from checks import CLOUDS, FULL, KEY, KEY_FOR_CLOUDS, KEY_FOR_ONE_REQUEST, KEY_THAT_REFUSES, SENTENCE, URL, raised, run

FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
HI = [{"role": "user", "content": "Say something."}]
FEW = {"num_predict": 8, "temperature": 0, "seed": 1}


def look_up(city: str) -> str:
    """The weather of a city.

    Args:
      city: Its name.
    """
    return f"21 in {city}"


def client(key: str = KEY) -> ollama.Client:
    return ollama.Client(host=URL.removesuffix("/v1"), headers={"Authorization": f"Bearer {key}"}, timeout=30)


def check_chat() -> None:
    for model in FAKES:
        told = client().chat(model=model, messages=HI)
        assert (told.message.content, told.message.role, told.model) == (SENTENCE, "assistant", model), told
        assert (told.done, told.done_reason, told.eval_count) == (True, "stop", 6)
        assert told.total_duration > 0 and told.eval_duration > 0 and told.prompt_eval_count == 2
        assert told.created_at.endswith("Z")


def check_chat_real() -> None:
    told = client().chat(model="tiny:latest", messages=HI, options=FEW)
    assert told.message.content and told.done_reason in ("stop", "length") and 0 < told.eval_count <= 8


def check_stream() -> None:
    for model in FAKES:
        parts = list(client().chat(model=model, messages=HI, stream=True))
        assert "".join(part.message.content for part in parts) == SENTENCE, model
        assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
        assert parts[-1].eval_count == 6
    real = list(client().chat(model="tiny", messages=HI, options=FEW, stream=True))
    assert real[-1].done and "".join(part.message.content for part in real)


def check_async_stream() -> None:
    async def said() -> str:
        asked = ollama.AsyncClient(host=URL.removesuffix("/v1"), headers={"Authorization": f"Bearer {KEY}"})
        return "".join([part.message.content async for part in await asked.chat("fakes/vllm", HI, stream=True)])

    assert asyncio.run(said()) == SENTENCE


def check_generate() -> None:
    for model in FAKES:
        told = client().generate(model=model, prompt="Say something.", system="Be brief.", keep_alive="5m")
        assert (told.response, told.done_reason, told.eval_count) == (SENTENCE, "stop", 6), told
        parts = list(client().generate(model=model, prompt="Say something.", raw=True, stream=True))
        assert "".join(part.response for part in parts) == SENTENCE and parts[-1].done
    assert client().generate(model="tiny").done_reason == "load"


def check_tools() -> None:
    for model in FAKES:
        for stream in (False, True):
            told: Any = client().chat(model=model, messages=HI, tools=[look_up], stream=stream)
            parts = list(told) if stream else [told]
            (call,) = [call for part in parts for call in part.message.tool_calls or ()]
            assert (call.function.name, call.function.arguments) == ("look_up", {"city": "Paris"}), (model, call)
            answer = {"role": "tool", "tool_name": "look_up", "content": look_up(**call.function.arguments)}
            said = ollama.Message(role="assistant", tool_calls=[call])
            more = client().chat(model=model, messages=[*HI, said, answer], tools=[look_up])
            assert more.message.content == "It is 21 degrees.", more


def check_format() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    told = client().chat(model="fakes/vllm", messages=HI, format=schema)
    assert json.loads(told.message.content)["city"] == "Paris"


def check_pictures() -> None:
    for model in ("fakes/vllm", "fakes/ollama"):
        told = client().chat(model=model, messages=[{"role": "user", "content": "what?", "images": [PIXEL]}])
        assert told.message.content == SENTENCE


def check_embed() -> None:
    told = client().embed(model="fakes/embedder", input=["one", "two"])
    assert [len(row) for row in told.embeddings] == [8, 8] and told.prompt_eval_count == 2
    assert list(client().embeddings(model="fakes/embedder", prompt="one").embedding) == list(told.embeddings[0])
    assert len(client().embed(model="tiny", input="one").embeddings[0]) == 128


def check_lists() -> None:
    names = [one.model for one in client().list().models]
    assert {"tiny", "fakes/vllm", "local/fast"} <= set(names)
    assert all(one.digest and one.modified_at and one.details for one in client().list().models)
    assert "tiny" in [one.model for one in client().ps().models]
    shown = client().show("tiny")
    assert shown.capabilities == ["completion", "tools", "embedding"] and shown.modelinfo["general.architecture"]


def check_thinking_is_taken() -> None:
    for think in (True, False, "low"):
        assert client().chat(model="fakes/vllm", messages=HI, think=think).message.content == SENTENCE


def check_errors() -> None:
    wrong = raised(ollama.ResponseError, lambda: client("sk-rf-wrong").list())
    assert wrong.status_code == 401 and "API key" in wrong.error
    unknown = raised(ollama.ResponseError, lambda: client().chat(model="nobody", messages=HI))
    assert unknown.status_code == 404 and "nobody" in unknown.error
    pulled = raised(ollama.ResponseError, lambda: client().pull("tiny"))
    assert pulled.status_code == 403 and "configured" in pulled.error
    deleted = raised(ollama.ResponseError, lambda: client().delete("tiny"))
    assert deleted.status_code == 403
    failing = raised(ollama.ResponseError, lambda: client().chat(model="fakes/failing", messages=HI))
    assert failing.status_code in (502, 503)  # what always fails is set aside after a while
    for model in FULL:
        full = raised(ollama.ResponseError, lambda m=model: client(KEY_THAT_REFUSES).chat(model=m, messages=HI))
        assert full.status_code == 400 and "context length" in full.error, full.error


def check_a_stream_that_breaks() -> None:
    said: list[str] = []

    def listen() -> None:
        said.extend(part.message.content for part in client().chat("fakes/cut-ollama", HI, stream=True))

    broken = raised(ollama.ResponseError, listen)
    assert "not complete" in broken.error and SENTENCE.startswith("".join(said)) and said


def check_rented_clouds() -> None:
    rented = client(KEY_FOR_CLOUDS)
    for model in CLOUDS:
        told = rented.chat(model=model, messages=HI)
        assert (told.message.content, told.done_reason, told.eval_count) == (SENTENCE, "stop", 6), told
        parts = list(rented.chat(model=model, messages=HI, stream=True))
        assert "".join(part.message.content for part in parts) == SENTENCE and parts[-1].done, model
        assert rented.generate(model=model, prompt="Say something.").response == SENTENCE


def check_clouds_that_fail() -> None:
    rented, said = client(KEY_FOR_CLOUDS), list[str]()
    full = raised(ollama.ResponseError, lambda: rented.chat(model="clouds/full-ollama", messages=HI))
    assert full.status_code == 429 and "provider's rate limit" in full.error

    def listen() -> None:
        said.extend(part.message.content for part in rented.chat("clouds/cut-ollama", HI, stream=True))

    broken = raised(ollama.ResponseError, listen)
    assert "not complete" in broken.error and SENTENCE.startswith("".join(said)) and said


def check_limits() -> None:
    client(KEY_FOR_ONE_REQUEST).chat(model="fakes/vllm", messages=HI)
    spent = raised(ollama.ResponseError, lambda: client(KEY_FOR_ONE_REQUEST).chat(model="fakes/vllm", messages=HI))
    assert spent.status_code == 429


if __name__ == "__main__":
    run(globals())
