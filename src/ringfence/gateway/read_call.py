"""From the bytes of a request to a call that was understood."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from ringfence.core.errors import BadRequest
from ringfence.core.route import Kept, Signals
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.request import Request

BIG_BODY_BYTES = 256 * 1024
"""Above, `check_size` comes first."""
SLICE_BYTES = 4 * 1024 * 1024
MAX_JSON_ITEMS = 1_000_000


async def check_size(raw: bytes | bytearray) -> None:
    """BadRequest for a body that would be too many objects. Others have turns while it is looked through."""
    values = 0
    for start in range(0, len(raw), SLICE_BYTES):
        values += raw.count(b",", start, start + SLICE_BYTES)
        if values > MAX_JSON_ITEMS:
            raise BadRequest(f"The body has more than {MAX_JSON_ITEMS} JSON values.", code="too_many_values")
        await asyncio.sleep(0)


def read_call(request: Request, dialect: Dialect, call_id: str) -> Call:
    """Parse and check the body; BadRequest names what is wrong with it."""
    raw = request.body
    try:
        body: dict[str, Any] = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error.msg} at byte {error.pos}.", code="invalid_json") from None
    if type(body) is not dict:
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("'model' must name a model; GET /v1/models lists them.", param="model", code="invalid_type")
    is_bare = dialect.check(body)
    request.body = b""
    return Call(
        call_id, request.identity, dialect, model, body, len(raw), body.get("stream") is True, request.started_at,
        request.head.agent, request.head.profile, request.head.labels, is_bare=is_bare,
    )  # fmt: skip


def read_signals(call: Call, kept: Kept) -> Signals:
    """What the request looks like."""
    has_tools = bool(call.body.get("tools"))
    return Signals(call.dialect.ability, call.body_bytes, call.stream, has_tools, kept.reach, kept.why)
