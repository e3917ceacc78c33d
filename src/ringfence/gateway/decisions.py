"""POST /v1/decisions: what would become of a request, and what was read of it. No model is asked, and nothing is sent.

It is told to whoever may ask the request itself, under the same key, profile and limits, with the same refusals; and no
more than concerns that key: targets beyond its boundary are counted, not named, and rules that did not decide are not
told at all. The owner asks `ringfence explain`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from ringfence.core.errors import Failure
from ringfence.core.route import Profile
from ringfence.gateway.call import Call
from ringfence.gateway.decision_answers import NO_USAGE, Read
from ringfence.gateway.decision_answers import answers as answered
from ringfence.gateway.decision_input import ASKING
from ringfence.gateway.desk import AsyncDesk
from ringfence.gateway.limits import Hold
from ringfence.gateway.openapi import MESSAGES, STATUSES, answers, operation
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.read_call import BIG_BODY_BYTES, check_size, read_call
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import Request
from ringfence.signals.reading import first_answer
from ringfence.telemetry.events import Refused

TOLD = ("target", "engine", "boundary", "window")
"""Of each target of the chain; its troubles are the owner's to know."""

Explains = Callable[[Call], Awaitable[dict[str, Any]]]
"""As for `ringfence explain`. Raises the Failure that the call itself would end in."""


class Decisions(AsyncDesk):
    """Decides as the pipeline would, and says so."""

    what = "a decision"

    def __init__(self, pipeline: Pipeline, explains: Explains) -> None:
        self._pipeline = pipeline
        self._explains = explains

    def methods(self, path: str) -> tuple[bytes, ...]:
        return (b"POST",) if path in ASKING.paths else ()

    def described(self) -> Mapping[str, Any]:
        inputs = {"anyOf": [{"type": "string", "minLength": 1}, MESSAGES]}
        body = {
            "type": "object", "required": ["model", "input"],
            "properties": {
                "model": {"type": "string", "minLength": 1}, "input": inputs,
                "questions": {"type": "array", "items": {"type": "object"}},
            },
        }  # fmt: skip
        return {ASKING.paths[0]: {"post": operation("What would become of a request.", answers(STATUSES), body)}}

    def call_id(self, request: Request) -> str:
        return self._pipeline.ids.next(request.started_at)

    async def attend(self, request: Request, call_id: str) -> None:
        body = orjson.dumps(await self._told(request, call_id))
        request.answer(200, b"x-request-id: %b\r\n%b" % (call_id.encode(), JSON_HEAD), body)

    def broke(self, request: Request, failure: Failure, call_id: str) -> None:
        self._pipeline.emit(Refused(failure.status, failure.code or "error", ASKING.name))
        super().broke(request, failure, call_id)

    async def _told(self, request: Request, call_id: str) -> dict[str, Any]:
        pipeline = self._pipeline
        if len(request.body) > BIG_BODY_BYTES:
            await check_size(request.body)
        call = read_call(request, ASKING, call_id)
        request.voice = None
        hold = Hold()
        pipeline.limits.hold(call.key, 0, hold)  # it takes the time of a request, though no tokens
        hold.settle(None)
        settings = pipeline.settings
        profile = settings.profile_of(call)
        found = await self._explains(call)
        kept = await pipeline.tightest_in_turns(call, settings)
        reading = first_answer(pipeline.stages, call.dialect.ability, call.body)
        reach, chain = kept.reach.name.lower(), found["chain"]
        read = Read(reading.task, reading.effort, reach, chain[0]["target"], found["model"])
        assert call.asked is not None
        return {
            "object": "decision", "id": call_id, "model": call.model,
            "answers": answered(call.asked.get("questions"), read), "usage": NO_USAGE,
            "signals": {
                "task": reading.task, "effort": reading.effort, "context_tokens": reading.context_tokens,
                "prompt_bytes": call.body_bytes, "sensitivity": reach, "kept_by": kept.why,
                "tools": bool(call.body.get("tools")), "priority": found["priority"], "why": list(reading.why),
            },
            "decision": {
                "model": found["model"], "rule": found["rule"], "profile": found["profile"], "agent": found["agent"],
                "boundary": found["allowed"],
                "chain": [{name: row[name] for name in TOLD} | {"ready": row["usable"]} for row in chain],
                "else": found["ending"], **self._excluded(found["excluded"], profile), "window": found["window"],
                "thinking": self._thinking(found.get("thinking"), profile),
            },
        }  # fmt: skip

    def _thinking(self, found: dict[str, Any] | None, profile: Profile) -> dict[str, Any]:
        """Whether a tool for thinking would be offered with it, and why not; what would think, as far as this key may
        know of it."""
        if found is None:
            name = self._pipeline.settings.thinks
            return {"thinks": False, "why": f"only '{name}' thinks" if name else "no model here thinks"}
        told = {name: found[name] for name in ("thinks", "why", "targets", "thoughts", "depth", "tokens")}
        return told | self._excluded(found["excluded"], profile)

    def _excluded(self, excluded: list[dict[str, str]], profile: Profile) -> dict[str, Any]:
        """Those that the profile may reach, with the reason; of the others how many they are."""
        targets = [one for model in self._pipeline.settings.catalog.models.values() for one in model.targets]
        within = {target.name for target in targets if target.boundary <= profile.boundary}
        told = [row for row in excluded if row["target"] in within]
        return {"excluded": told, "beyond_boundary": len(excluded) - len(told)}
