"""What the money fence is told of the configuration, and the row that an answered call becomes."""

from __future__ import annotations

from ringfence.config.schema import Config
from ringfence.core.ledger import CallRow
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.money import MoneyRules
from ringfence.gateway.pipeline import Pipeline
from ringfence.telemetry.events import Answered

NOTHING = Usage()


def money_rules(config: Config) -> MoneyRules:
    """Budgets and prices in force."""
    return MoneyRules(
        config.money.zone_info,
        config.money.house.budget,
        {name: one.budget.budget for name, one in config.profiles.items() if one.budget is not None},
        {name: one.budget.budget for name, one in config.providers.items() if one.budget is not None},
        {
            (model.provider, model.provider_model or name): model.price.price
            for name, model in config.models.items()
            if model.provider is not None and model.price is not None
        },
        frozenset(name for name, one in config.profiles.items() if one.unpriced == "allow"),
    )


def row_of(event: Answered) -> CallRow:
    """What is written down of one call."""
    call_id, ended_s, kind, first_byte_s, total_s, usage, _, paid = event
    prompt, completion, cached, is_estimated, thought, written = usage or NOTHING
    return CallRow(
        call_id, paid.at_s if paid is not None else ended_s, kind.key.id, kind.profile, kind.agent, kind.dialect,
        kind.model, kind.target, kind.provider, kind.status, kind.outcome, kind.stream, prompt, cached, written,
        completion, thought, is_estimated, paid.usd_micros if paid is not None else 0, None, first_byte_s, total_s,
        paid.hold_id if paid is not None else None,
    )  # fmt: skip


def money_for_thoughts(pipeline: Pipeline, call: Call) -> int | None:
    """Micro-dollars that a thought of this call may still cost; None where nothing is capped, or where it can be had
    for nothing."""
    settings = pipeline.settings
    bounds = settings.thinking
    if bounds is None or pipeline.money.is_unused:
        return None
    chain = settings.rules.chains.get(bounds.reasoning)
    models = [settings.catalog.names.get(name) for name in (chain.models if chain is not None else (bounds.reasoning,))]
    if not all(target.provider for model in models if model is not None for target in model.targets):
        return None
    profile = call.decision.profile if call.decision is not None else call.key.profile
    return pipeline.money.left(call.key, profile)
