"""Failures in two shapes: each caller gets the one that its client reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.core import errors
from ringfence.core.errors import BoundaryRefused, ContextLengthExceeded, EngineRefused, Failure
from ringfence.gateway.head import Head
from ringfence.gateway.refusal import told, told_midway

OPENAI = Head(b"POST", [], is_http11=True, keep_alive=True)
ANTHROPIC = Head(b"POST", [(b"anthropic-version", b"2023-06-01")], is_http11=True, keep_alive=True)
TYPES = {
    "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large",
    "rate_limit_error", "timeout_error", "overloaded_error", "api_error",
}  # fmt: skip
EVERY: list[Failure] = [
    kind("what happened")
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Failure) and kind not in (EngineRefused, ContextLengthExceeded)
]
EVERY += [EngineRefused(status, "what happened") for status in (400, 402, 404, 409, 422)]
EVERY += [ContextLengthExceeded(4096, 5000), ContextLengthExceeded(None, None, said="what happened")]


def read(failure: Failure, head: Head, call_id: str = "") -> tuple[int, str, Any]:
    status, lines, body = told(failure, head, call_id)
    return status, lines.decode(), json.loads(body)


def test_openais_shape_unless_asked_otherwise() -> None:
    status, lines, body = read(BoundaryRefused("no further"), OPENAI, "call-1")
    assert (status, body["error"]["type"], body["error"]["code"]) == (403, "permission_error", "boundary_refused")
    assert "x-request-id: call-1\r\n" in lines
    assert "\r\nrequest-id" not in lines


def test_anthropics_shape() -> None:
    status, lines, body = read(BoundaryRefused("no further"), ANTHROPIC, "call-1")
    error = {"type": "permission_error", "message": "no further", "details": {"error_code": "boundary_refused"}}
    assert (status, body) == (403, {"type": "error", "error": error, "request_id": "call-1"})
    assert "x-request-id: call-1\r\n" in lines
    assert "\r\nrequest-id: call-1\r\n" in lines
    assert read(BoundaryRefused("no further"), ANTHROPIC)[2]["request_id"] is None


@pytest.mark.parametrize("failure", EVERY, ids=lambda failure: f"{type(failure).__name__}-{failure.status}")
def test_every_failure_has_a_type_that_its_clients_know(failure: Failure) -> None:
    status, _, body = read(failure, ANTHROPIC)
    assert body["error"]["type"] in TYPES
    assert status == {503: 529}.get(failure.status, failure.status)
    refuses = failure.status in (401, 403, 404, 413, 429, 503)
    assert not (refuses and body["error"]["type"] == "invalid_request_error")


def test_header_lines_are_the_same_for_both() -> None:
    failure = errors.Overloaded("later", retry_after_s=1.2, headers=(("x-more", "1"),))
    for head in (OPENAI, ANTHROPIC):
        assert {"retry-after: 2", "x-more: 1"} <= set(read(failure, head)[1].split("\r\n"))


def test_in_the_middle_of_a_stream() -> None:
    failure = errors.EngineFailed("broke off")
    assert json.loads(told_midway(failure, OPENAI, "call-1")[6:]) == failure.envelope()
    first, second, *rest = told_midway(failure, ANTHROPIC, "call-1").decode().split("\n")
    assert (first, rest) == ("event: error", ["", ""])
    assert json.loads(second.removeprefix("data: "))["error"]["type"] == "api_error"
