"""A prompt that is too long, as real clients see it: by our own look, and where an engine says so in its own words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

KINDS = ("llamacpp", "vllm", "ollama", "lmstudio")
ENGINES = ("vllm", "llamacpp", "sglang", "ollama")
ASKED: list[Any] = [{"role": "user", "content": "Say something."}]
LONG: list[Any] = [{"role": "user", "content": "word " * 6000}]
TOLD = re.compile(
    r"This model's maximum context length is \d+ tokens\. However, "
    r"(your (messages|prompt|input) resulted in |your request asks for more\.|you requested \d+ tokens )"
)
THEIR_OWN = ("exceed_context_size_error", "available context size", "BadRequestError", "input_tokens")
"""What engines say beside, and no client looks for."""


@pytest.fixture(scope="module")
def whole(gateway: Any, whole_key: str) -> Iterator[openai.OpenAI]:
    """A client whose long prompts are refused."""
    with openai.OpenAI(base_url=gateway.base_url, api_key=whole_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0, timeout=30) as client:
        yield client


def refusal(ask: Callable[[], Any], param: str = "messages") -> openai.BadRequestError:
    """It is the package's own class, with everything that clients look at."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask()
    error = caught.value
    assert (error.status_code, error.code, error.type) == (400, "context_length_exceeded", "invalid_request_error")
    assert error.param == param
    assert isinstance(error.body, dict)
    assert TOLD.match(error.body["message"]), error.body
    assert set(error.body) == {"message", "type", "param", "code"}
    assert by_cline(error)
    assert by_litellm(str(error))
    assert not any(words in str(error) for words in THEIR_OWN if words not in error.body["message"])
    return error


def by_cline(error: openai.APIStatusError) -> bool:
    """As Cline recognises it: the code, or a 400 that says one of these."""
    said = error.message.lower()
    words = ("context length", "context window", "too many tokens", "maximum context")
    return error.code == "context_length_exceeded" or (error.status_code == 400 and any(one in said for one in words))


def by_litellm(said: str) -> bool:
    """As LiteLLM 1.109 tells ContextWindowExceededError by an OpenAI endpoint's words; it looks for limits of rates
    first. The package takes 340 MB and two minutes to install, so its rule stands here."""
    said = said.lower()
    words = ("this model's maximum context length is", "exceeds the available context size", "exceed context limit")
    return not re.search(r"rate[\s_\-]*limit", said) and any(one in said for one in words)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["tiny", *(f"fakes/{kind}" for kind in KINDS)])
def test_where_nothing_is_to_be_shortened(whole: openai.OpenAI, engines: Any, model: str, stream: bool) -> None:
    before = {name: len(engine.calls) for name, engine in engines.items()}
    error = refusal(lambda: whole.chat.completions.create(model=model, messages=LONG, stream=stream))
    window = 2048 if model == "tiny" else 4096
    assert isinstance(error.body, dict)
    assert f"maximum context length is {window} tokens" in error.body["message"]
    if model == "fakes/ollama":  # it has no counter: it is asked, and refuses, as it is told to
        before[model] += 1
    assert before == {name: len(engine.calls) for name, engine in engines.items()}, "nobody else was asked to answer"


def test_prompts_and_embeddings(whole: openai.OpenAI) -> None:
    refusal(lambda: whole.completions.create(model="tiny", prompt="word " * 6000), "prompt")
    for client_input, param in (("word " * 6000, "input"), (["a", "word " * 6000], "input[1]")):
        refusal(lambda given=client_input: whole.embeddings.create(model="tiny", input=given), param)


def test_an_embedding_is_refused_under_every_profile(client: openai.OpenAI) -> None:
    refusal(lambda: client.embeddings.create(model="tiny", input="word " * 6000), "input")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_says_becomes_our_words(
    client: openai.OpenAI, whole: openai.OpenAI, engine: str, stream: bool
) -> None:
    """Under both profiles: there is nothing to shorten in so short a prompt."""
    for asking in (client, whole):
        error = refusal(
            lambda asking=asking: asking.chat.completions.create(
                model=f"fakes/full-{engine}", messages=ASKED, stream=stream
            )
        )
        if engine == "vllm":
            assert "at least 4097 tokens" in error.message, "a floor is said to be one"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["tiny", "fakes/vllm", "fakes/llamacpp"])
def test_else_it_is_shortened_and_told(client: openai.OpenAI, model: str, stream: bool) -> None:
    """No error at all: the header says what was done."""
    messages = [*LONG, {"role": "assistant", "content": "So."}, *ASKED]
    raw = client.chat.completions.with_raw_response.create(model=model, messages=messages, stream=stream, max_tokens=4)
    assert re.fullmatch(r"(truncated|compressed); before=\d+; after=\d+", raw.headers["x-ringfence-window"])
    if stream:
        assert list(raw.parse())
    else:
        assert raw.parse().choices


@pytest.mark.parametrize("model", ["tiny", "fakes/full-llamacpp"])
def test_anthropics_package_reads_its_own_words(gateway: Any, whole_key: str, model: str) -> None:
    """Claude Code looks for these, and for the numbers in them."""
    address = gateway.base_url.removesuffix("/v1")
    body = {"model": model, "messages": LONG if model == "tiny" else ASKED, "max_tokens": 4}
    with (
        anthropic.Anthropic(base_url=address, api_key=whole_key, max_retries=0) as client,
        pytest.raises(anthropic.BadRequestError) as caught,
    ):
        client.post("/v1/chat/completions", body=body, cast_to=object)
    error = caught.value
    assert (error.type, error.error_code) == ("invalid_request_error", "context_length_exceeded")
    found = re.match(r"prompt is too long: (\d+) tokens > (\d+) maximum", error.api_message or "")
    assert found is not None, error
    assert int(found[1]) > int(found[2])


def test_the_whole_body_as_it_is_sent(gateway: Any, whole_key: str) -> None:
    """For clients that read it themselves."""
    with (
        openai.OpenAI(base_url=gateway.base_url, api_key=whole_key, max_retries=0) as client,
        pytest.raises(openai.BadRequestError) as caught,
    ):
        client.chat.completions.create(model="fakes/full-llamacpp", messages=ASKED)
    response = caught.value.response
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert "retry-after" not in response.headers
    assert json.loads(response.content) == {
        "error": {
            "message": "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 "
            "tokens. Please reduce the length of the messages. (context_length_exceeded)",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    }
