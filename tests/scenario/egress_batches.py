"""What a gateway says to the egress process of batches of a provider."""

from __future__ import annotations

import json
from typing import Any

from outgoing import CLOUD, Away, Taken

SUBMISSION = "pb-7f3a"


def said(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def ask(outside: Away, what: str, body: bytes, **changes: Any) -> Taken:
    fields: dict[str, Any] = {
        "call": SUBMISSION, "hold": SUBMISSION, "key": "key_1", "profile": "personal", "provider": "rented",
        "model": "fake-large", "allowed": "CLOUD", "max_tokens": 50,
    } | changes  # fmt: skip
    line = outside.pool.take(outside.endpoint) or await outside.pool.dial(outside.endpoint)
    head = f"POST /v1/batches{what} HTTP/1.1\r\nhost: egress\r\nx-permit: {json.dumps(fields)}\r\n"
    taken = Taken(line)
    whole = f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    line.ask(taken, CLOUD, whole, body, 10.0, 10.0, True)
    await taken.ended
    return taken


async def done(outside: Away, what: str, **named: str) -> Any:
    taken = await ask(outside, what, json.dumps(named).encode())
    assert (taken.status, taken.refused) == (200, None), taken.body
    return json.loads(taken.body)


def rows_of(found: dict[str, str]) -> list[Any]:
    return [json.loads(raw) for raw in found["lines"].splitlines()]
