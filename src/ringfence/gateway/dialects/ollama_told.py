"""What Ollama's routes have in common: the shape of their errors, and of what clients say about models and time."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time_ns
from typing import Any

import orjson

from ringfence.core.errors import BadRequest, Failure
from ringfence.gateway.dialects.dialect import REFUSED_FIELDS, Body, wrong
from ringfence.gateway.head import Head
from ringfence.gateway.refusal import told
from ringfence.gateway.route import Route

LINES_HEAD = b"content-type: application/x-ndjson\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
SECOND_NS = 1_000_000_000


class InOllama(Route):
    """Tells errors as Ollama does, and the code beside it, which its clients pass over."""

    def told(self, failure: Failure, head: Head, call_id: str) -> tuple[int, bytes, bytes]:
        _, lines, _ = told(failure, head, call_id)
        return failure.status, lines, orjson.dumps(error_of(failure.message, failure.code))


def error_of(message: str, code: str | None) -> Body:
    return {"error": message, "code": code}


def line(fields: Body) -> bytes:
    return orjson.dumps(fields) + b"\n"


def rfc3339(at_ns: int | None = None) -> str:
    """With nanoseconds, as Go writes a time."""
    seconds, rest = divmod(time_ns() if at_ns is None else at_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def steering(body: Body) -> Body:
    """Fields that are refused by name. What else it does not know Ollama passes over, and so does this gateway."""
    return {name: body[name] for name in REFUSED_FIELDS.intersection(body)}


def flag(body: Body, name: str, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong(name, "true or false")
    return value


def text(body: Body, name: str) -> str:
    """A text that may be absent."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(name, "a text")
    return value


def check_keep_alive(body: Body, *, is_bare: bool) -> None:
    """How long a model stays is the gateway's to decide, so it is taken and changes nothing. What asks for nothing but
    that a model be unloaded (`is_bare`) would be told an untruth, and is refused."""
    value = body.get("keep_alive")
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise wrong("keep_alive", "a duration, such as '5m' or a number of seconds")
    if is_bare and value is not None and _is_zero(value):
        raise BadRequest(
            "'keep_alive' of 0 asks to unload the model. Which models are loaded is decided by this gateway.",
            param="keep_alive", code="unsupported_parameter",
        )  # fmt: skip


def _is_zero(value: Any) -> bool:
    return not value.strip("0.hmsunµ") if isinstance(value, str) else value == 0
