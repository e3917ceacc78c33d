"""A call for a chain that escalates: its models are asked in order, and the next only where an answer fails a check."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ringfence.core.catalog import Ability
from ringfence.core.errors import EngineFailed, Failure, NothingNow
from ringfence.core.route import Tier
from ringfence.gateway.call import Call
from ringfence.gateway.cascade.checks import Check, Checks, Schemas, Valid, schemas_of
from ringfence.gateway.cascade.given import Given, Heard
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.recording import Reply
from ringfence.gateway.thinking.ear import Ear
from ringfence.gateway.thinking.thinking import Ending
from ringfence.gateway.within import Within
from ringfence.routing.ruleset import resolve
from ringfence.telemetry.events import Escalated

if TYPE_CHECKING:
    from ringfence.gateway.pipeline import Pipeline

COMES_BACK = frozenset((429, 502, 503, 504))
"""Statuses of what a wait may help with."""
NO_SCHEMAS = Schemas(None, {})


@dataclass(frozen=True, slots=True)
class Escalation:
    """Of one chain: its models, the cheapest first, and what is checked of all answers but the last model's."""

    models: tuple[str, ...]
    checks: Checks
    compiled: Callable[[Any], Valid] | None = None
    """Makes checks of JSON Schemas; None where none are made."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How a call came to a chain that escalates: the chain itself where it is named, else a rule that uses it."""

    chain: str
    escalation: Escalation
    waits: bool
    """When no model can serve."""
    rule: str = ""


class Cascade:
    """Answers calls that name such a chain, or that a rule sends to one."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def begin(self, call: Call) -> Coroutine[Any, Any, tuple[Reply | Given, bytes]]:
        """As `Pipeline.complete`."""
        if (sent := self._by_name(call)) is not None:
            return self._complete(call, sent)
        return self._complete_by_rules(call) if self._may_be_ruled(call) else self._pipeline.complete(call)

    async def of(self, call: Call) -> bool:
        """Whether it escalates: by its name, or as rules decide. Raises what deciding raises."""
        return self._by_name(call) is not None or (self._may_be_ruled(call) and await self._by_rules(call) is not None)

    async def _complete_by_rules(self, call: Call) -> tuple[Reply | Given, bytes]:
        sent = await self._by_rules(call)
        return await (self._pipeline.complete(call) if sent is None else self._complete(call, sent))

    def _may_be_ruled(self, call: Call) -> bool:
        settings = self._pipeline.settings
        return bool(settings.escalates_by) and call.model in settings.ruled

    def _by_name(self, call: Call) -> Sent | None:
        escalation = self._escalation(call, call.model)
        chain = self._pipeline.settings.rules.chains.get(call.model)
        return None if escalation is None else Sent(call.model, escalation, chain is not None and chain.waits)

    async def _by_rules(self, call: Call) -> Sent | None:
        pipeline = self._pipeline
        settings = pipeline.settings
        decision = pipeline.decided(call) or await pipeline.decided_in_turns(call)
        rule = settings.escalates_by.get(decision.rule)
        escalation = None if rule is None else self._escalation(call, rule.use[0])
        if rule is None or escalation is None:
            return None
        return Sent(rule.use[0], escalation, rule.ending == "queue", rule.name)

    def _escalation(self, call: Call, chain: str) -> Escalation | None:
        """How a call for this chain escalates; None for one that goes down the path as any other: what is no chat, and
        what wants several answers, or to hear of each token."""
        found = self._pipeline.settings.escalations.get(chain)
        if found is None or call.dialect.ability is not Ability.CHAT:
            return None
        body = call.body
        is_plain = body.get("n") in (None, 1) and not body.get("logprobs") and not body.get("top_logprobs")
        return found if is_plain else None

    async def _complete(self, call: Call, sent: Sent) -> tuple[Reply | Given, bytes]:
        """The last model's answer is not checked, and a stream of its goes on as it comes."""
        *first, last = self._in_order(call, sent)
        checks, compiled = sent.escalation.checks, sent.escalation.compiled
        tried = [f"rule {sent.rule}"] if sent.rule else list[str]()
        within = Within(self._pipeline, call, call.at_most)
        schemas = schemas_of(call.body, compiled) if compiled is not None else NO_SCHEMAS
        best: tuple[str, Heard, bytes] | None = None
        nothing: NothingNow | None = None
        for model in first:
            try:
                heard, head = await self._ask(within, model, call.body, checks)
            except Failure as failure:
                nothing = failure if isinstance(failure, NothingNow) else nothing
                tried.append(self._escalated(call, sent.chain, model, failure.code or "error"))
                continue
            failed = checks.failed(heard.fields, schemas)
            if failed is None:
                return self._given(call, heard), head + _told(tried, model)
            tried.append(self._escalated(call, sent.chain, model, failed.value))
            best = model, heard, head
        asked, call.model = call.model, last
        try:
            reply, head = await self._pipeline.complete(call)
        except Failure as failure:
            if best is None:
                call.model = asked  # where it waits, it waits for any of them
                raise nothing or _nothing(asked, sent, failure) from None
            tried.append(self._escalated(call, sent.chain, last, failure.code or "error"))
            model, heard, head = best
            return self._given(call, heard), head + _told(tried, f"{model}, the best there was")
        return reply, head + _told(tried, last)

    def _in_order(self, call: Call, sent: Sent) -> tuple[str, ...]:
        """As the chain has them. What is rented comes last from the soft limit of a budget on, and where a rule chose
        it under a profile of tier T2, as for any other call."""
        pipeline = self._pipeline
        settings = pipeline.settings
        profile = settings.profile_of(call)
        is_own_first = bool(sent.rule) and profile.tier is Tier.SPEED_OPTIONAL

        def is_last(name: str) -> bool:
            targets = resolve(name, settings.catalog, settings.rules.chains)
            return bool(targets) and all(
                target.provider and (is_own_first or pipeline.money.is_soft(call.key, call.agent, profile.name, target))
                for target in targets
            )

        if not is_own_first and pipeline.money.is_unused:
            return sent.escalation.models
        return tuple(sorted(sent.escalation.models, key=is_last))

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


def _nothing(asked: str, sent: Sent, failure: Failure) -> Failure:
    """What its caller is told when no model of the chain answered. It waits where the chain or the rule says so, unless
    time alone does not help."""
    if not sent.waits or failure.should_retry is False or failure.status not in COMES_BACK:
        return failure
    return NothingNow(f"No target of '{asked}' can serve this now.", retry_after_s=failure.retry_after_s)


def _told(tried: list[str], answered: str) -> bytes:
    """What was tried and why it would not do, and who answered. Names of models hold nothing that ends a line."""
    return f"x-ringfence-cascade: {'; '.join((*tried, answered))}\r\n".encode("ascii", "replace")


def _nobody(_event: Body) -> None:
    return None
