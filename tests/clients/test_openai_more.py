"""The openai package over completions, embeddings and models."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import openai
import pytest

FAKES = ("fakes/llamacpp", "fakes/vllm", "fakes/ollama", "fakes/lmstudio")
SENTENCE = "The quick brown fox jumps."


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0, timeout=30) as client:
        yield client


# -- completions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ("tiny", *FAKES))
def test_completion_whole_and_streamed(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt="Once", max_tokens=8)
    assert answer.object == "text_completion" and answer.model == model and answer.usage.completion_tokens > 0
    plain = list(client.completions.create(model=model, prompt="Once", max_tokens=8, stream=True))
    assert all(len(chunk.choices) == 1 and chunk.usage is None and chunk.model == model for chunk in plain)
    told = {"stream": True, "stream_options": {"include_usage": True}}
    counted = list(client.completions.create(model=model, prompt="Once", max_tokens=8, **told))
    assert counted[-1].usage.completion_tokens > 0
    if model != "tiny":  # llama.cpp tells it together with the last piece of text
        assert counted[-1].choices == []
        assert answer.choices[0].text == "".join(chunk.choices[0].text for chunk in plain) == SENTENCE


@pytest.mark.parametrize("stream", [False, True])
def test_completion_of_an_ollama_with_logprobs(client: openai.OpenAI, engines: Any, stream: bool) -> None:
    asked: dict[str, Any] = {"model": "fakes/ollama", "prompt": "Once", "max_tokens": 3, "logprobs": 1}
    answer = client.completions.create(**asked, stream=stream)
    choices = [chunk.choices[0] for chunk in answer] if stream else [answer.choices[0]]
    told = [choice.logprobs for choice in choices if choice.logprobs]
    assert [token for each in told for token in each.tokens] == ["The", " quick", " brown"]
    assert [offset for each in told for offset in each.text_offset] == [0, 3, 9]
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**asked, echo=True)
    assert caught.value.param == "echo"


@pytest.mark.parametrize("model", [model for model in FAKES if model != "fakes/ollama"])
@pytest.mark.parametrize("stream", [False, True])
def test_completion_with_logprobs_and_echo(client: openai.OpenAI, engines: Any, model: str, stream: bool) -> None:
    asked: dict[str, Any] = {"model": model, "prompt": "Once", "max_tokens": 3, "logprobs": 1, "echo": True}
    answer = client.completions.create(**asked, stream=stream)
    choices = [chunk.choices[0] for chunk in answer] if stream else [answer.choices[0]]
    assert "".join(choice.text for choice in choices) == "OnceThe quick brown"
    logprobs = [choice.logprobs for choice in choices if choice.logprobs]
    assert [value for each in logprobs for value in each.token_logprobs][-3:] == [-0.5] * 3
    assert engines[model].calls[-1].body["echo"] is True and engines[model].calls[-1].body["logprobs"] == 1


def test_completion_of_token_ids_and_of_several_prompts(client: openai.OpenAI, engines: Any) -> None:
    for prompt in ([3, 4, 5], ["a", "b"], [[3], [4, 5]]):
        client.completions.create(model="fakes/vllm", prompt=prompt)
        assert engines["fakes/vllm"].calls[-1].body["prompt"] == prompt
    assert len(client.completions.create(model="tiny", prompt=["a", "b"], max_tokens=2).choices) == 2


async def test_async_completion(gateway: Any) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as client:
        stream = await client.completions.create(model="fakes/vllm", prompt="Once", stream=True)
        assert "".join([chunk.choices[0].text async for chunk in stream]) == SENTENCE


# -- embeddings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["tiny", "fakes/embedder"])
def test_embeddings_are_the_same_in_either_encoding(client: openai.OpenAI, model: str) -> None:
    texts = ["a harbour", "the night watch"]
    packed = client.embeddings.create(model=model, input=texts)  # the package asks for base64 and unpacks it
    floats = client.embeddings.create(model=model, input=texts, encoding_format="float")
    raw = client.embeddings.with_raw_response.create(model=model, input=texts, encoding_format="base64")
    assert [row.index for row in packed.data] == [0, 1] and packed.model == model and packed.usage.prompt_tokens > 0
    for one, other in zip(packed.data, floats.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, rel=1e-6)
    assert packed.data[0].embedding != packed.data[1].embedding
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)


async def test_async_embeddings(gateway: Any) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as client:
        answer = await client.embeddings.create(model="tiny", input="a harbour")
    assert len(answer.data[0].embedding) == 128


def test_embeddings_of_token_ids(client: openai.OpenAI, engines: Any) -> None:
    client.embeddings.create(model="fakes/embedder", input=[[3, 4], [5]], dimensions=8)
    sent = engines["fakes/embedder"].calls[-1].body
    assert sent["input"] == [[3, 4], [5]] and sent["dimensions"] == 8 and sent["encoding_format"] == "float"


def test_a_model_that_does_not_embed_says_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="fakes/vllm", input="a")
    assert caught.value.param == "model" and caught.value.code == "model_not_able"


# -- models ---------------------------------------------------------------------------------------------------------


def test_models_are_listed_and_found(client: openai.OpenAI, engines: Any) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert {"tiny", "auto", "local/fast", *engines} <= listed.keys()
    for name, model in listed.items():
        assert client.models.retrieve(name) == model
        assert model.object == "model" and model.created > 0 and model.owned_by
    assert listed["tiny"].context_length == listed["tiny"].max_model_len == 2048


@pytest.mark.parametrize("path", ["fakes/vllm", quote("fakes/vllm", safe=""), "local/fast", "local%2ffast"])
def test_an_id_with_a_slash_is_found_plain_and_encoded(gateway: Any, path: str) -> None:
    request = urllib.request.Request(
        f"{gateway.base_url}/models/{path}", headers={"authorization": f"Bearer {gateway.api_key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


async def test_async_models(gateway: Any) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as client:
        assert "local/fast" in [model.id async for model in client.models.list()]
        assert (await client.models.retrieve("local/fast")).id == "local/fast"
