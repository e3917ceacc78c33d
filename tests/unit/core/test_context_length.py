"""The refusal of a prompt that is too long, in the words that each API's clients look for."""

from __future__ import annotations

import re

import anthropic
import httpx2
import openai
import pytest

from ringfence.core.errors import ContextLengthExceeded
from ringfence.gateway.head import Head
from ringfence.gateway.refusal import told

OPENAI = Head(b"POST", [], is_http11=True, keep_alive=True)
ANTHROPIC = Head(b"POST", [(b"anthropic-version", b"2023-06-01")], is_http11=True, keep_alive=True)
LONG = ContextLengthExceeded(4096, 5000)
CLINE = re.compile(r"context (?:length|window)|too many tokens|maximum context", re.I)
LANGCHAIN = ("context_length_exceeded", "Input tokens exceed the configured limit", "prompt is too long")
LITELLM = ("This model's maximum context length is", "prompt is too long")
CLAUDE_CODE = re.compile(r"prompt is too long: (\d+) tokens > (\d+) maximum")


def answered(failure: ContextLengthExceeded, head: Head) -> httpx2.MockTransport:
    status, _, body = told(failure, head, "call-1")
    headers = {"content-type": "application/json"}
    return httpx2.MockTransport(lambda request: httpx2.Response(status, headers=headers, content=body))


def by_openai(failure: ContextLengthExceeded) -> openai.BadRequestError:
    http = httpx2.Client(transport=answered(failure, OPENAI))
    client = openai.OpenAI(base_url="http://127.0.0.1:1/v1", api_key="k", http_client=http)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}])
    return caught.value


def by_anthropic(failure: ContextLengthExceeded) -> anthropic.BadRequestError:
    http = httpx2.Client(transport=answered(failure, ANTHROPIC))
    client = anthropic.Anthropic(base_url="http://127.0.0.1:1", api_key="k", http_client=http)
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "a"}])
    return caught.value


def test_openais_client() -> None:
    error = by_openai(LONG)
    assert (error.status_code, error.code, error.type, error.param) == (
        400, "context_length_exceeded", "invalid_request_error", "messages",
    )  # fmt: skip
    assert isinstance(error.body, dict)
    assert error.body["message"] == (
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens. "
        "Please reduce the length of the messages. (context_length_exceeded)"
    )


def test_anthropics_client() -> None:
    error = by_anthropic(LONG)
    assert error.status_code == 400
    assert isinstance(error.body, dict)
    assert error.body["error"]["type"] == "invalid_request_error"
    assert error.body["error"]["message"] == "prompt is too long: 5000 tokens > 4096 maximum"


@pytest.mark.parametrize(
    "failure",
    [
        LONG,
        ContextLengthExceeded(4096, 4000, output=500),
        ContextLengthExceeded(4096, 4097, is_floor=True),
        ContextLengthExceeded(4096, None),
        ContextLengthExceeded(512, 600, param="input[3]"),
        ContextLengthExceeded(None, None, said="So it said."),
    ],
)
def test_the_words_that_programs_look_for(failure: ContextLengthExceeded) -> None:
    for said in (str(by_openai(failure)), str(by_anthropic(failure))):
        assert any(words in said for words in LANGCHAIN)
        assert "context_length_exceeded" in said
    assert CLINE.search(by_openai(failure).message)
    assert any(words in by_openai(failure).message for words in LITELLM)


def test_claude_code_reads_the_numbers() -> None:
    found = CLAUDE_CODE.search(str(by_anthropic(LONG)))
    assert found is not None
    assert found.groups() == ("5000", "4096")


def test_a_floor_is_not_taken_for_the_size() -> None:
    floor = ContextLengthExceeded(4096, 4097, is_floor=True)
    assert "at least 4097 tokens" in by_openai(floor).message
    assert "4097" not in str(by_anthropic(floor))


def test_input_and_output_that_only_together_are_too_long() -> None:
    both = ContextLengthExceeded(4096, 4000, output=500)
    assert "you requested 4500 tokens (4000 in the messages, 500 in the completion)" in by_openai(both).message
    assert "input length and `max_tokens` exceed context limit: 4000 + 500 > 4096" in str(by_anthropic(both))


def test_what_an_engine_says_goes_to_both() -> None:
    failure = ContextLengthExceeded(None, None, said="So it said.")
    assert "prompt is too long. This model's" in str(by_anthropic(failure))
    assert CLINE.search(by_openai(failure).message)
