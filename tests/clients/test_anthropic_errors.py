"""What goes wrong, as callers of the anthropic package see it: its own error classes, with type and code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Say something."}], "max_tokens": 4}


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[anthropic.Anthropic]:
    address = gateway.base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=address, api_key=gateway.api_key, max_retries=0, timeout=30) as client:
        yield client


def refused(client: anthropic.Anthropic, model: str, **headers: str) -> anthropic.APIStatusError:
    options: Any = {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.post("/v1/chat/completions", body={**ASKED, "model": model}, cast_to=object, options=options)
    return caught.value


def test_403_for_an_agent_that_is_not_classified(client: anthropic.Anthropic) -> None:
    error = refused(client, "tiny", x_ringfence_agent="nobody")
    assert isinstance(error, anthropic.PermissionDeniedError)
    assert (error.type, error.error_code) == ("permission_error", "agent_unknown")
    assert error.api_message is not None and "not classified" in error.api_message
    assert error.request_id


def test_404_for_a_model_that_is_not_served(client: anthropic.Anthropic) -> None:
    error = refused(client, "claude-9")
    assert isinstance(error, anthropic.NotFoundError)
    assert (error.type, error.error_code) == ("not_found_error", "model_not_found")


def test_401_for_a_key_that_is_not_known(gateway: Any) -> None:
    address = gateway.base_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=address, api_key="sk-rf-wrong", max_retries=0) as stranger:
        error = refused(stranger, "tiny")
    assert isinstance(error, anthropic.AuthenticationError)
    assert (error.type, error.error_code) == ("authentication_error", "invalid_api_key")


def test_400_for_a_body_that_is_wrong(client: anthropic.Anthropic) -> None:
    error = refused(client, "")
    assert isinstance(error, anthropic.BadRequestError)
    assert (error.type, error.error_code) == ("invalid_request_error", "invalid_type")
