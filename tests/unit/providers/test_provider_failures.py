"""Error answers of real clouds as our errors: by status and code; a key is never shown, whatever they quote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import (
    ContextLengthExceeded,
    EngineFailed,
    EngineRefused,
    EngineTimedOut,
    Failure,
    ModelNotFound,
    Overloaded,
    RateLimited,
    TooLarge,
)
from ringfence.providers.anthropic import ADAPTER as ANTHROPIC
from ringfence.providers.openai import ADAPTER as OPENAI


def openai(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}


def anthropic(kind: str, message: str = "as told") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


MISTRAL_EXTRA = {
    "object": "error",
    "message": {
        "detail": [{"type": "extra_forbidden", "loc": ["body", "user"], "msg": "Extra inputs are not permitted"}]
    },
    "type": "invalid_request_error",
}


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        (
            openai(
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
            ),
            ("8192", "9000"),
        ),
        (
            openai(
                "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens "
                "(69000 in the messages, 1000 in the completion)."
            ),
            ("65536", "70000"),
        ),
        (
            openai("This endpoint's maximum context length is 8192 tokens. However, you requested about 9100 tokens."),
            ("8192", "9100"),
        ),
        (
            [
                {
                    "error": {
                        "code": 400,
                        "message": "The input token count (1200000) exceeds the maximum number of tokens allowed "
                        "(1048576).",
                        "status": "INVALID_ARGUMENT",
                    }
                }
            ],
            ("1048576", "1200000"),
        ),
        (
            {
                "object": "error",
                "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 "
                "maximum context length",
            },
            ("32768", "40000"),
        ),
        (openai("Invalid request: Your request exceeded model token limit: 8192"), ()),
        (openai("Please reduce the length.", code="context_length_exceeded"), ()),
    ],
)
def test_a_prompt_that_is_too_long(body: Any, numbers: tuple[str, ...]) -> None:
    failure = OPENAI.failure(400, body)
    assert isinstance(failure, ContextLengthExceeded)
    assert failure.code == "context_length_exceeded"
    assert all(number in failure.message for number in numbers)
    if numbers:
        assert failure.message.startswith(f"This model's maximum context length is {numbers[0]} tokens.")


def test_a_prompt_that_is_too_long_for_anthropic() -> None:
    failure = ANTHROPIC.failure(
        400, anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")
    )
    assert isinstance(failure, ContextLengthExceeded)
    assert "200000 tokens. However, your messages resulted in 210000 tokens" in failure.message


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, openai("bad", param="temperature", code="invalid_value"), EngineRefused, "invalid_value"),
        (402, openai("Insufficient Balance"), EngineFailed, "provider_unpaid"),
        (403, None, EngineFailed, "provider_key_refused"),
        (404, openai("no such model", code="model_not_found"), ModelNotFound, "model_not_found"),
        (400, openai("gone", code="model_decommissioned"), ModelNotFound, "model_not_found"),
        (408, None, EngineTimedOut, "engine_timeout"),
        (413, openai("Request too large", code="rate_limit_exceeded"), RateLimited, "provider_rate_limited"),
        (413, None, TooLarge, "request_too_large"),
        (422, MISTRAL_EXTRA, EngineRefused, "invalid_request_error"),
        (429, openai("slow", type="requests"), RateLimited, "provider_rate_limited"),
        (429, openai("pay", code="insufficient_quota", type="insufficient_quota"), EngineFailed, "provider_unpaid"),
        (500, openai("server_error"), EngineFailed, "engine_failed"),
        (502, None, EngineFailed, "engine_failed"),
        (503, "<html>", Overloaded, "overloaded"),
        (504, None, EngineTimedOut, "engine_timeout"),
        (529, None, Overloaded, "overloaded"),
        (301, None, EngineFailed, "provider_redirected"),
        (307, None, EngineFailed, "provider_redirected"),
    ],
)
def test_by_status_and_code(status: int, body: Any, kind: type[Failure], code: str) -> None:
    failure = OPENAI.failure(status, body)
    assert type(failure) is kind
    assert failure.code == code


@pytest.mark.parametrize("status", [500, None])
@pytest.mark.parametrize(
    ("type_", "own", "kind"),
    [
        ("authentication_error", 401, EngineFailed),
        ("permission_error", 403, EngineFailed),
        ("billing_error", 402, EngineFailed),
        ("not_found_error", 404, ModelNotFound),
        ("request_too_large", 413, TooLarge),
        ("rate_limit_error", 429, RateLimited),
        ("api_error", 500, EngineFailed),
        ("timeout_error", 504, EngineTimedOut),
        ("overloaded_error", 529, Overloaded),
        ("invalid_request_error", 400, EngineRefused),
        ("an_error_of_tomorrow", 500, EngineFailed),
    ],
)
def test_anthropic_by_status_and_by_type_in_a_stream(
    type_: str, own: int, kind: type[Failure], status: int | None
) -> None:
    assert type(ANTHROPIC.failure(own if status is None else status, anthropic(type_))) is kind


def test_an_account_without_credit_lets_the_next_target_try() -> None:
    said = "Your credit balance is too low to access the Anthropic API."
    failure = ANTHROPIC.failure(400, anthropic("invalid_request_error", said))
    assert (failure.status, failure.code) == (502, "provider_unpaid")


def test_the_field_that_mistral_names_is_told() -> None:
    failure = OPENAI.failure(422, MISTRAL_EXTRA)
    assert (failure.status, failure.param) == (400, "user")
    assert failure.message == "user: Extra inputs are not permitted"


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, Overloaded), (529, Overloaded)])
def test_when_to_come_again_is_passed_on(status: int, kind: type[Failure]) -> None:
    told, silent = OPENAI.failure(status, None, 37.0), OPENAI.failure(status, None)
    assert isinstance(told, kind)
    assert told.retry_after_s == 37.0
    assert silent.retry_after_s is not None
    assert silent.retry_after_s > 0


KEYS = ("sk-proj-abcdEFGH12345678", "sk-ant-api03-abcdefgh", "gsk_abcdefgh1234", "AIzaSyA1234567890", "sk-********5678")


@pytest.mark.parametrize("adapter", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("key", KEYS)
@given(status=st.integers(300, 599))
def test_a_key_is_never_shown(adapter: Any, key: str, status: int) -> None:
    for body in (
        openai(f"Incorrect API key provided: {key}."),
        anthropic("authentication_error", f"bad {key}"),
        {"error": key},
    ):
        assert key not in adapter.failure(status, body).message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(("error", "message", "detail", "type", "code", "param", "loc", "msg")), inner)
    ),
    max_leaves=8,
)


@given(st.integers(300, 599), JSON)
def test_whatever_they_send_is_one_of_our_errors(status: int, body: Any) -> None:
    for adapter in (OPENAI, ANTHROPIC):
        failure = adapter.failure(status, body)
        assert isinstance(failure, Failure)
        assert 400 <= failure.status <= 599
        assert failure.envelope()["error"]["message"]
