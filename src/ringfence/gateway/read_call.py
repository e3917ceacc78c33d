"""From the bytes of a request to a call that was understood."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import orjson

from ringfence.core.errors import BadRequest
from ringfence.core.ports import Decides
from ringfence.core.route import Caller, Kept, Signals
from ringfence.gateway.call import Call
from ringfence.gateway.depth import is_deep, too_deep
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.form import read_form
from ringfence.gateway.request import Request
from ringfence.gateway.route import Foreign
from ringfence.gateway.urgency import urgency_of
from ringfence.routing.waiting import class_of
from ringfence.signals.reading import first_answer

BIG_BODY_BYTES = 256 * 1024
"""Above, `check_size` comes first."""
SLICE_BYTES = 4 * 1024 * 1024
MAX_JSON_ITEMS = 1_000_000
READ_IN_TEXT = frozenset(("task", "effort", "context_tokens"))
"""Signals for which the text is looked at."""


async def made_ready(request: Request, dialect: Dialect | Foreign) -> None:
    """What is awaited before a request can be read: its form, its depth where it is long, what it refers to."""
    if not isinstance(dialect, Foreign) and dialect.passed is not None and dialect.passed.is_form:
        request.form = await read_form(request.head.header(b"content-type"), request.body)
    elif len(request.body) > BIG_BODY_BYTES:
        await check_size(request.body)
    if isinstance(dialect, Foreign):
        await dialect.fetch(request)


async def check_size(raw: bytes | bytearray) -> None:
    """BadRequest for a body that would be too many objects. Others have turns while it is looked through."""
    values = 0
    for start in range(0, len(raw), SLICE_BYTES):
        values += raw.count(b",", start, start + SLICE_BYTES)
        if values > MAX_JSON_ITEMS:
            raise BadRequest(f"The body has more than {MAX_JSON_ITEMS} JSON values.", code="too_many_values")
        await asyncio.sleep(0)


def read_call(request: Request, route: Dialect | Foreign, call_id: str) -> Call:
    """Parse and check the body; BadRequest names what is wrong with it."""
    raw, body = request.body, request.form
    if body is None:
        body = _parsed(raw)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("'model' must name a model; GET /v1/models lists them.", param="model", code="invalid_type")
    asked: dict[str, Any] | None = None
    said_in = ""
    if isinstance(route, Foreign):
        asked = body
        if is_deep(body):  # before anything is made of it
            raise too_deep()
        heard = route.heard(body, request.head)
        dialect, body, request.voice, said_in = heard.dialect or route.goes_as, heard.body, heard.voice, heard.said_in
    else:
        dialect = route
    is_bare = dialect.check(body)
    urgency, may_load = urgency_of(request.head.urgency, body)
    request.body, request.form = b"", None
    call = Call(
        call_id, request.identity, dialect, model, body, len(raw), body.get("stream") is True, request.started_at,
        request.head.agent, request.head.profile, request.head.labels, is_bare=is_bare,
        urgency=urgency, may_load=may_load, spoken=route.name, asked=asked, said_in=said_in, voice=request.voice,
    )  # fmt: skip
    if isinstance(route, Foreign):
        route.made(call)
    return call


def _parsed(raw: bytes | bytearray) -> dict[str, Any]:
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error.msg} at byte {error.pos}.", code="invalid_json") from None
    if type(body) is not dict:
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    return cast("dict[str, Any]", body)


def read_signals(call: Call, kept: Kept) -> Signals:
    """What the request looks like."""
    has_tools = bool(call.body.get("tools"))
    ability, media = call.dialect.ability, call.media
    return Signals(ability, call.body_bytes, call.stream, has_tools, kept.reach, kept.why, call.model, media=media)


def read_for_rules(
    call: Call, profile: str, reads: frozenset[str], stages: Sequence[Decides], gpu_load: float, now_s: float
) -> Signals:
    """The same with all that rules look at, of `reads`; how far its text may travel is left open. What its text asks
    for is read by the first of `stages` that can tell, in the end by the rules of the first day."""
    signals = read_signals(call, Kept(call.at_most))
    if not READ_IN_TEXT.isdisjoint(reads):
        reading = first_answer(stages, call.dialect.ability, call.body)
        signals.task, signals.effort, signals.context_tokens, signals.why = reading
    tier = call.body.get("service_tier")
    signals.batch, signals.speed = tier == "flex", "critical" if tier == "priority" else ""
    signals.gpu_load, signals.now_s, signals.urgency = gpu_load, now_s, class_of(call.urgency)
    signals.caller = Caller(call.key.name, profile, call.key.agent or call.agent)
    return signals
