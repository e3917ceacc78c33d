"""The openai and anthropic packages against rented clouds, well and not; the other clients have checks of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from rented import AGAIN_S

SENTENCE = "The quick brown fox jumps."
HELLO: Any = [{"role": "user", "content": "Hello"}]
CLOUDS = ("clouds/openai", "clouds/claude")


@pytest.fixture(scope="module")
def client(gateway: Any, cloud_key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=cloud_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def claude(gateway: Any, cloud_key: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.root_url, api_key=cloud_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.mark.parametrize("model", CLOUDS)
def test_openai_asks_a_cloud(client: openai.OpenAI, rented: Any, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "messages": HELLO}
    answer = client.chat.completions.create(**asked)
    assert (answer.choices[0].message.content, answer.model) == (SENTENCE, model)
    assert answer.usage is not None and answer.usage.completion_tokens == 6
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SENTENCE
    with client.responses.stream(model=model, input="Hello") as stream:
        assert stream.get_final_response().output_text == SENTENCE
    assert rented[model].calls


@pytest.mark.parametrize("model", CLOUDS)
def test_anthropic_asks_a_cloud(claude: anthropic.Anthropic, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "max_tokens": 50, "messages": HELLO}
    message = claude.messages.create(**asked)
    assert message.content[0].to_dict() == {"type": "text", "text": SENTENCE}
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 6)
    with claude.messages.stream(**asked) as stream:
        assert ("".join(stream.text_stream), stream.get_final_message().stop_reason) == (SENTENCE, "end_turn")


@pytest.mark.parametrize("stream", [False, True])
def test_a_cloud_that_takes_no_more(client: openai.OpenAI, claude: anthropic.Anthropic, stream: bool) -> None:
    asked: dict[str, Any] = {"model": "clouds/full-openai", "messages": HELLO, "stream": stream}
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(**asked)
    assert limited.value.code == "provider_rate_limited"
    assert 1 <= int(limited.value.response.headers["retry-after"]) <= AGAIN_S
    with pytest.raises(anthropic.RateLimitError) as told:
        claude.messages.create(**asked, max_tokens=50)
    assert told.value.type == "rate_limit_error"
    assert 1 <= int(told.value.response.headers["retry-after"]) <= AGAIN_S


def test_a_cloud_that_breaks_off(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    said: list[str] = []
    with pytest.raises(openai.APIError, match="not complete"):
        for chunk in client.chat.completions.create(model="clouds/cut-openai", messages=HELLO, stream=True):
            said.append(chunk.choices[0].delta.content or "")
    assert "".join(said) == "The quick"
    with (
        pytest.raises(anthropic.APIError),
        claude.messages.stream(model="clouds/cut-openai", messages=HELLO, max_tokens=50) as stream,
    ):
        stream.until_done()


def test_a_key_that_may_not_rent(gateway: Any) -> None:
    with (
        openai.OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as here,
        pytest.raises(openai.PermissionDeniedError) as refused,
    ):
        here.chat.completions.create(model="clouds/openai", messages=HELLO)
    assert refused.value.code == "boundary_refused"
