"""What would become of a call: as it would be decided now, with what its window would do to it. Nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ringfence.core.catalog import Target
from ringfence.core.route import Decision, Profile, Signals
from ringfence.gateway.call import Call
from ringfence.gateway.deciding import Settings
from ringfence.gateway.read_call import read_signals
from ringfence.gateway.trying import chain_of
from ringfence.gateway.window import output_asked
from ringfence.routing.explained import rule_rows, signal_row
from ringfence.routing.rules import decide
from ringfence.routing.waiting import class_of
from ringfence.runtime.what_fits import WhatFits
from ringfence.runtime.what_is_thought import thinking

if TYPE_CHECKING:
    from ringfence.runtime.parts import Runtime


class Explaining:
    """For the owner who asks about others, and for callers who ask about themselves."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._fits = WhatFits(runtime.pipeline.relay, runtime.pipeline.reported.ratios, runtime.pipeline.meters)

    async def explain(self, call: Call) -> dict[str, Any]:
        """The rule, the chain, who was left out; JSON-able. Raises the Failure that the call itself would end in."""
        runtime = self._runtime
        settings = runtime.pipeline.settings
        profile = settings.profile_of(call)
        by_rules = await runtime.pipeline.explained(call)
        if by_rules is not None:
            signals, decision = by_rules
        else:
            signals = read_signals(call, await runtime.pipeline.tightest_in_turns(call, settings))
            decision = decide(settings.rules, settings.catalog, call.model, signals, profile)
        if runtime.config.providers:
            signals.budget_left_usd_micros = runtime.pipeline.money.left(call.key, call.agent, profile.name)
        call.output = output_asked(call.body) if call.dialect.generates else None
        money = runtime.pipeline.money
        targets = chain_of(call, decision, runtime.admission, runtime.placement, money).targets
        ready = {status.name for status in runtime.placement.status() if status.state == "ready"}
        chain = [
            {
                "target": target.name, "engine": target.engine, **self.cloud_of(target), "boundary": target.reach,
                "window": target.window, "usable": runtime.placement.is_bound(target, ready),
                "note": runtime.health.of(target).reason, "set_aside_s": runtime.health.set_aside_s(target),
            }
            for target in targets
        ]  # fmt: skip
        usable = [target for target, row in zip(targets, chain, strict=True) if row["usable"]]
        share, _ = runtime.admission.shared((usable or targets)[0], call.body)
        foreseen = await self._fits.foresee(call, share, decision.overlong)
        return {
            "model": decision.model, "rule": decision.rule, "reason": decision.reason, "allowed": decision.allowed.name,
            "kept_by": signals.kept_by, "held_by": profile.held_by,
            "profile": profile.name, "agent": call.agent,
            "priority": class_of(max(call.urgency, profile.priority)),
            "chain": chain, "ending": decision.chain.ending.value,
            "is_past_soft_limit": any(money.is_soft(call.key, call.agent, profile.name, target) for target in targets),
            "excluded": [{"target": one.target, "reason": one.reason} for one in decision.excluded],
            "window": foreseen,
            **thinking(runtime.pipeline, call, signals, profile),
            **_by_rules(settings, signals, profile, decision, is_ruled=by_rules is not None),
        }  # fmt: skip

    def cloud_of(self, target: Target) -> dict[str, str]:
        """The provider of a rented model and the host it lies at; both empty for what runs on engines."""
        provider = self._runtime.config.providers.get(target.provider)
        return {"provider": target.provider, "host": urlsplit(provider.url).hostname or "" if provider else ""}


def _by_rules(
    settings: Settings, signals: Signals, profile: Profile, decision: Decision, *, is_ruled: bool
) -> dict[str, Any]:
    """What was read of the call; with every rule, where rules decide it."""
    if not is_ruled:
        read = {"ability": signals.ability.value, "prompt_bytes": signals.prompt_bytes, "stream": signals.stream}
        return {"signals": {**read, "tools": signals.tools}, "rules": []}
    rows = rule_rows(settings.rules, settings.catalog, signals, profile, decision)
    return {"signals": signal_row(signals), "rules": rows}
