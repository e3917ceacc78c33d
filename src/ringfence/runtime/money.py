"""What the money fence is told of the configuration, and the row that an answered call becomes."""

from __future__ import annotations

from ringfence.config.schema import Config
from ringfence.core.ledger import CallRow
from ringfence.core.money import Period
from ringfence.core.usage import Usage
from ringfence.gateway.money import MoneyRules
from ringfence.telemetry.events import Answered

DAY_S = 86_400
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


def kept_since_s(config: Config, now_s: float) -> float:
    """Rows of the ledger from then on stay: of the days that are kept, and of the periods that budgets are for."""
    zone = config.money.zone_info
    return min(now_s - config.money.ledger_days * DAY_S, *(period.start_s(now_s, zone) for period in Period))


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
