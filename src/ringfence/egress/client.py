"""The gateway's side of the socket: where the egress process answers, and how a call's permit is said to it."""

from __future__ import annotations

import json
from pathlib import Path

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Endpoint
from ringfence.egress.permit import Permit

CALLS_PATH = "/v1/calls"
BATCHES_PATH = "/v1/batches"
HEALTH_PATH = "/v1/health"


def egress_endpoint(socket: Path) -> Endpoint:
    """Where every provider is reached. It lies at CLOUD: what is said there leaves."""
    return Endpoint(str(socket), 0, Boundary.CLOUD)


def permit_line(
    permit: Permit, *, hold: str, key: str, profile: str, provider: str, model: str, max_tokens: int, ability: Ability
) -> bytes:
    """The header line `x-permit`, with CRLF. `hold` is the money that is held for the call. `max_tokens` is for all
    answers of the call together; `model` is the provider's own name for it, as it stands in the body."""
    said = {
        "call": permit.call_id, "hold": hold, "key": key, "profile": profile, "provider": provider, "model": model,
        "allowed": permit.allowed.name, "max_tokens": max_tokens, "ability": ability.value,
    }  # fmt: skip
    return b"x-permit: %b\r\n" % json.dumps(said).encode("ascii")  # escapes all that could end the line


def call_head(endpoint: Endpoint, permit_line: bytes) -> bytes:
    """The head of one call, up to the number of its content-length: `b"%b%d\\r\\n\\r\\n" % (head, len(body))`."""
    return _head(endpoint, permit_line, CALLS_PATH)


def batch_head(endpoint: Endpoint, permit_line: bytes, what: str) -> bytes:
    """As `call_head`, for what is to be done with a batch: nothing to submit one, /find, /look, /cancel, /lines or
    /forget."""
    return _head(endpoint, permit_line, BATCHES_PATH + what)


def _head(endpoint: Endpoint, permit_line: bytes, path: str) -> bytes:
    start = f"POST {path} HTTP/1.1\r\n".encode("ascii")
    return b"".join((start, endpoint.head, permit_line, b"content-type: application/json\r\ncontent-length: "))
