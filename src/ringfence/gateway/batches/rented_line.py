"""One line that may go to a provider in a batch: made ready as its call would be, and told what came back."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import EngineFailed, Failure, TargetFailed
from ringfence.core.identity import Key
from ringfence.core.usage import Usage
from ringfence.gateway.batches.line import Line, call_of, used
from ringfence.gateway.batches.told import answered_line
from ringfence.gateway.call import Call
from ringfence.gateway.cloud import Cloud, said
from ringfence.gateway.deciding import Settings
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.fitting import prepared, refuse_steering
from ringfence.gateway.held import Held
from ringfence.gateway.meters import media_bytes
from ringfence.gateway.parked_answer import Recorder
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.relay import ANSWERED_IN
from ringfence.gateway.reply import Answer
from ringfence.gateway.route import Foreign
from ringfence.gateway.window import output_asked
from ringfence.gateway.worst import Most
from ringfence.routing.chain import walk
from ringfence.store.batches import Batch, Written


class Ready(NamedTuple):
    """What is to be sent of it, and the most tokens that it can take. `settings` are those that it was decided by."""

    number: int
    call: Call
    target: Target
    body: bytes
    most: Most
    max_tokens: int
    settings: Settings

    def __repr__(self) -> str:
        return f"<Ready line {self.number}>"


class Kept:
    """What an answer gives back that nobody waits for: nothing."""

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        """It was settled by its hold."""


async def readied(
    pipeline: Pipeline, line: Line, batch: Batch, key: Key, route: Dialect | Foreign, reach: Boundary, call_id: str
) -> Ready | None:
    """None where it takes the path of every other call: its first target is no provider with batches, it is thought
    about, tried on one model after the other or kept, or something is wrong with it, which is told on that path."""
    try:
        call = await call_of(line, batch, key, route, call_id, reach)
        settings = pipeline.settings
        if call.model == settings.thinks or call.dialect.passed is not None:
            return None
        if settings.escalations and await pipeline.cascade.of(call):
            return None
        decision = call.decision = pipeline.decided(call) or await pipeline.decided_in_turns(call)
        if decision.caching is not None:
            return None
        call.urgency = max(call.urgency, decision.priority)
        chain = pipeline.quotas.open_to(call.urgency, pipeline.chain_of(call, decision))
        target = next(iter(walk(chain, decision.allowed, pipeline.health, settings.retries)), None)
        cloud = pipeline.relay.clouds.get(target.provider) if target is not None else None
        if target is None or cloud is None or not cloud.has_batches:
            return None
        return await _made(pipeline, settings, line.number, call, target, cloud)
    except (Failure, TargetFailed):
        return None


async def _made(
    pipeline: Pipeline, settings: Settings, number: int, call: Call, target: Target, cloud: Cloud
) -> Ready | None:
    """Raises Failure and TargetFailed."""
    lease = pipeline.placement.take(target)
    if lease is None:
        return None
    endpoint, decision = lease.endpoint, call.decision
    lease.release()
    assert decision is not None
    call.output = output_asked(call.body) if call.dialect.generates else None
    if not call.is_bare:
        call.media_bytes = media_bytes(call.body)
    refuse_steering(call, pipeline.relay.forbidden(target))
    held = Held(pipeline, call)
    share, _, fitted = pipeline.measured(call, target, decision, held)
    if fitted is None:
        fitted = await pipeline.weighed(call, share, endpoint, settings)
    body = prepared(call, target, fitted)
    most = pipeline.most(call, target, body)
    asked = said(cloud, call, body)
    pipeline.permit(call, settings, endpoint)
    needed = 0 if call.key.tokens_per_minute is None else pipeline.needed(call, decision)
    pipeline.limits.hold(call.key, needed, held)  # by estimate: what it took is known long after its minute
    return Ready(number, call, target, orjson.dumps(asked), most, cloud.max_tokens, settings)


def written(
    line: Line, batch: Batch, call: Call, model: str, cloud: Cloud, body: dict[str, Any]
) -> tuple[Written, Usage | None]:
    """What its caller is told of an answer with status 200, and what that took; None: the provider says nothing
    that can be. Raises Failure where it is no answer."""
    fields = cloud.adapter.answer(body)
    if ANSWERED_IN.isdisjoint(fields):
        raise EngineFailed("The provider answered with something else.")
    shown = usage = _believed(fields)
    if shown is None:
        output = len(orjson.dumps(body)) // 4 if call.dialect.generates else 0
        shown = Usage(call.body_bytes // 4, output, estimated=True)
        fields["usage"] = {
            "prompt_tokens": shown.prompt_tokens, "completion_tokens": shown.completion_tokens,
            "total_tokens": shown.prompt_tokens + shown.completion_tokens,
        }  # fmt: skip
    fields["model"] = model
    call.dialect.finish(call.body, fields)
    recorder = Recorder(call.voice)
    answer = Answer(orjson.dumps(fields), shown, 0.0)
    answer.held = Kept()
    answer.send(recorder, b"")
    text = answered_line(line.id(batch), line.custom_id, recorder.answered[0], call.id, recorder.body)
    return Written(line.number, True, text, used(shown, recorder.body)), usage


def usage_of(cloud: Cloud | None, body: dict[str, Any]) -> Usage | None:
    """What an answer took; None where nothing is said that can be."""
    try:
        fields = cloud.adapter.answer(dict(body)) if cloud is not None else body
    except Failure:
        fields = body
    return _believed(fields)


def _believed(fields: dict[str, Any]) -> Usage | None:
    """As of any call that is paid for, a report that cannot be is none. Only embeddings generate nothing."""
    usage = Usage.read(fields.get("usage"))
    return usage if usage is not None and usage.can_be(generates="data" not in fields) else None


def results(text: bytes) -> tuple[dict[str, dict[str, Any]], bool]:
    """What a provider says of lines, by their holds; and whether some of it cannot be read."""
    found: dict[str, dict[str, Any]] = {}
    is_torn = False
    for raw in text.split(b"\n"):
        if not raw.strip():
            continue
        try:
            row: Any = orjson.loads(raw)
        except orjson.JSONDecodeError:
            row = None
        fields = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
        hold = fields.get("custom_id")
        if isinstance(hold, str):
            found[hold] = fields
        else:
            is_torn = True
    return found, is_torn


def answer_in(row: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, where the provider has given one, and charges for it."""
    response = row.get("response")
    fields = cast("dict[str, Any]", response) if isinstance(response, dict) else {}
    body = fields.get("body")
    return cast("dict[str, Any]", body) if fields.get("status_code") == 200 and isinstance(body, dict) else None
