"""A call for a chain that escalates: its models are asked in order, and the next only where an answer fails a check."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ringfence.core.catalog import Ability
from ringfence.core.errors import EngineFailed, Failure
from ringfence.gateway.call import Call
from ringfence.gateway.cascade.checks import Check, Checks, Schemas, Valid, schemas_of
from ringfence.gateway.cascade.given import Given, Heard
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.recording import Reply
from ringfence.gateway.thinking.ear import Ear
from ringfence.gateway.thinking.thinking import Ending
from ringfence.gateway.within import Within
from ringfence.telemetry.events import Escalated

if TYPE_CHECKING:
    from ringfence.gateway.pipeline import Pipeline

NO_SCHEMAS = Schemas(None, {})


@dataclass(frozen=True, slots=True)
class Escalation:
    """Of one chain: its models, the cheapest first, and what is checked of all answers but the last model's."""

    models: tuple[str, ...]
    checks: Checks
    compiled: Callable[[Any], Valid] | None = None
    """Makes checks of JSON Schemas; None where none are made."""


class Cascade:
    """Answers calls that name such a chain, or that a rule sends to one."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def begin(self, call: Call) -> Coroutine[Any, Any, tuple[Reply | Given, bytes]]:
        """As `Pipeline.complete`."""
        settings = self._pipeline.settings
        if (escalation := self.escalation(call, call.model)) is not None:
            return self._complete(call, call.model, escalation, [])
        if settings.escalates_by and call.model in settings.ruled:
            return self._by_rules(call)
        return self._pipeline.complete(call)

    async def of(self, call: Call) -> bool:
        """Whether it escalates: by its name, or as rules decide. Raises what deciding raises."""
        settings = self._pipeline.settings
        if self.escalation(call, call.model) is not None:
            return True
        return bool(settings.escalates_by) and call.model in settings.ruled and await self._sent_to(call) is not None

    async def _by_rules(self, call: Call) -> tuple[Reply | Given, bytes]:
        sent = await self._sent_to(call)
        if sent is None:
            return await self._pipeline.complete(call)
        rule, chain, escalation = sent
        return await self._complete(call, chain, escalation, [f"rule {rule}"])

    async def _sent_to(self, call: Call) -> tuple[str, str, Escalation] | None:
        """The rule, the chain that it uses and how that escalates."""
        pipeline = self._pipeline
        settings = pipeline.settings
        decision = pipeline.decided(call) or await pipeline.decided_in_turns(call)
        chain = settings.escalates_by.get(decision.rule)
        escalation = None if chain is None else self.escalation(call, chain)
        return None if chain is None or escalation is None else (decision.rule, chain, escalation)

    def escalation(self, call: Call, chain: str) -> Escalation | None:
        """How a call for this chain escalates; None for one that goes down the path as any other: what is no chat, and
        what wants several answers, or to hear of each token."""
        found = self._pipeline.settings.escalations.get(chain)
        if found is None or call.dialect.ability is not Ability.CHAT:
            return None
        body = call.body
        is_plain = body.get("n") in (None, 1) and not body.get("logprobs") and not body.get("top_logprobs")
        return found if is_plain else None

    async def _complete(
        self, call: Call, chain: str, escalation: Escalation, tried: list[str]
    ) -> tuple[Reply | Given, bytes]:
        """The last model's answer is not checked, and a stream of its goes on as it comes. `tried`: what is told of how
        it came here."""
        *first, last = escalation.models
        within = Within(self._pipeline, call, call.at_most)
        schemas = schemas_of(call.body, escalation.compiled) if escalation.compiled is not None else NO_SCHEMAS
        kept: tuple[Heard, bytes] | None = None
        for model in first:
            try:
                heard, head = await self._ask(within, model, call.body, escalation.checks)
            except Failure as failure:
                tried.append(self._escalated(call, chain, model, failure.code or "error"))
                continue
            failed = escalation.checks.failed(heard.fields, schemas)
            if failed is None:
                return self._given(call, heard), head + _told(tried, model)
            tried.append(self._escalated(call, chain, model, failed.value))
            kept = heard, head
        call.model = last
        try:
            reply, head = await self._pipeline.complete(call)
        except Failure as failure:
            if kept is None:
                raise
            tried.append(self._escalated(call, chain, last, failure.code or "error"))
            return self._given(call, kept[0]), kept[1] + _told(tried, f"{first[-1]}, the best there was")
        return reply, head + _told(tried, last)

    async def _ask(self, within: Within, model: str, body: Body, checks: Checks) -> tuple[Heard, bytes]:
        asked = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
        asked["model"] = model
        if Check.CONFIDENCE in checks.on:
            asked["logprobs"] = True
        reply, head = await within.ask(model, asked, stream=False)
        heard = Heard()
        await Ear(within.out, _nobody, heard.take).hear(reply, heard.add)
        if not heard.fields:
            raise EngineFailed(f"'{model}' answered nothing.")
        return heard, head

    def _escalated(self, call: Call, chain: str, model: str, why: str) -> str:
        self._pipeline.emit(Escalated(call.id, chain, model, why))
        return f"{model} {why}"

    def _given(self, call: Call, heard: Heard) -> Given:
        for choice in cast("list[Body]", heard.fields["choices"]):
            choice.pop("logprobs", None)  # nobody asked for them
        return Given(call, heard, Ending(self._pipeline, call))


def _told(tried: list[str], answered: str) -> bytes:
    """What was tried and why it would not do, and who answered. Names of models hold nothing that ends a line."""
    return f"x-ringfence-cascade: {'; '.join((*tried, answered))}\r\n".encode("ascii", "replace")


def _nobody(_event: Body) -> None:
    return None
