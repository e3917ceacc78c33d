"""How many tokens a request has: for callers who ask before they send it.

It is decided about as if it were sent, and counted where it would go, under a permit. Nothing is loaded for it, and no
cloud is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from ringfence.core.catalog import Endpoint, Target
from ringfence.core.errors import Failure
from ringfence.gateway.call import Call
from ringfence.gateway.deciding import Settings
from ringfence.gateway.desk import AsyncDesk
from ringfence.gateway.fitting import OFF_LOOP_BYTES, refuse_steering
from ringfence.gateway.head import Head
from ringfence.gateway.held import Held
from ringfence.gateway.meters import counted, media_bytes
from ringfence.gateway.openapi import SHOWN, STATUSES, answers, asked_body, operation
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.read_call import BIG_BODY_BYTES, check_size, read_call
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.reported import By, Counted
from ringfence.gateway.request import Request
from ringfence.gateway.route import Foreign
from ringfence.gateway.shrink import SHAPES
from ringfence.gateway.step import in_task

PATHS = frozenset(f"{prefix}/messages/count_tokens" for prefix in ("/v1", "", "/anthropic/v1"))
COUNTED_BY = b"x-ringfence-counted-by: %b\r\n"
"""`engine` is the engine's own number, `tokenizer` and `bound` are never less than it, `ratio` is an estimate."""


async def tokens_of(pipeline: Pipeline, call: Call) -> Counted:
    """Tokens of its prompt at the first target that may serve it, and by whom they were counted. Raises the Failure
    with which the call itself would be refused."""
    decision = call.decision = pipeline.decided(call) or await pipeline.decided_in_turns(call)
    call.media_bytes = media_bytes(call.body)
    settings = pipeline.settings
    permitted = [target for target in decision.chain.targets if target.boundary <= decision.allowed]
    held = Held(pipeline, call)
    pipeline.limits.hold(call.key, 0, held)
    try:
        for target in permitted:
            refuse_steering(call, pipeline.relay.forbidden(target))
            if target.provider or (lease := pipeline.placement.take(target)) is None:
                continue  # nothing is loaded for this
            held.lease = lease
            ask = partial(_ask, pipeline, call, target, lease.endpoint, settings)
            tokens = await counted(ask, pipeline.meters.of(target), {**call.body, "model": target.engine_model})
            held.let_go()
            if tokens is not None:
                return Counted(tokens, By.ENGINE)
    finally:
        held.release(None)
    work = partial(_estimated, pipeline, call, permitted[0])
    return work() if call.body_bytes <= OFF_LOOP_BYTES else await in_task(asyncio.to_thread(work), id)


async def _ask(
    pipeline: Pipeline, call: Call, target: Target, endpoint: Endpoint, settings: Settings, body: dict[str, Any]
) -> int | None:
    return await pipeline.relay.count(call, target, endpoint, body, pipeline.permit(call, settings, endpoint))


def _estimated(pipeline: Pipeline, call: Call, target: Target) -> Counted:
    """By the model's own tokenizer, by what was reported of others of its size, or by the bound."""
    shape, meters = SHAPES[call.dialect.name], pipeline.meters
    if (exact := meters.exact(target)) is not None:
        return Counted(sum(prompt.tokens for prompt in shape.prompts(call.body, exact)), By.TOKENIZER)
    if not call.media_bytes and (estimate := pipeline.reported.ratios.estimate(target.name, call.body_bytes)):
        return Counted(estimate, By.RATIO)
    bound = shape.bound(call.body, meters.of(target))
    return Counted(call.body_bytes, By.BOUND) if bound is None else Counted(bound, By.BOUND)


class Counting(AsyncDesk):
    """One path, or several, at which requests of one dialect are counted."""

    what = "a count of tokens"

    def __init__(
        self, pipeline: Pipeline, route: Foreign, paths: frozenset[str], shown: Callable[[int], dict[str, Any]]
    ) -> None:
        """`shown` makes the answer of a number of tokens."""
        self._pipeline = pipeline
        self._route = route
        self._paths = paths
        self._shown = shown

    def methods(self, path: str) -> tuple[bytes, ...]:
        return (b"POST",) if path in self._paths else ()

    def described(self) -> Mapping[str, Any]:
        summary = f"How many tokens a request has, in the dialect '{self._route.name}'."
        told = operation(summary, answers(STATUSES), asked_body(self._route))
        return {path: {"post": told} for path in sorted(self._paths) if path.startswith(SHOWN)}

    def told(self, failure: Failure, head: Head, call_id: str) -> tuple[int, bytes, bytes]:
        return self._route.told(failure, head, call_id)

    def call_id(self, request: Request) -> str:
        return request.head.request_id or self._pipeline.ids.next(request.started_at)

    async def attend(self, request: Request, call_id: str) -> None:
        if len(request.body) > BIG_BODY_BYTES:
            await check_size(request.body)
        call = read_call(request, self._route, call_id)
        tokens, by = await tokens_of(self._pipeline, call)
        head = JSON_HEAD + b"x-request-id: %b\r\n" % call_id.encode() + COUNTED_BY % by.value.encode()
        request.answer(200, head, orjson.dumps(self._shown(tokens)))


def messages_counting(pipeline: Pipeline, route: Foreign) -> Counting:
    """POST /v1/messages/count_tokens."""
    return Counting(pipeline, route, PATHS, lambda tokens: {"input_tokens": tokens})
