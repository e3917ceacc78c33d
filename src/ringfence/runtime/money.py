"""What the money fence is told of the configuration, and the row that an answered call becomes."""

from __future__ import annotations

from ringfence.config.schema import Config
from ringfence.core.ledger import CallRow
from ringfence.core.usage import Usage
from ringfence.gateway.money import MoneyRules
from ringfence.runtime.prices import prices_of
from ringfence.telemetry.events import Answered

NOTHING = Usage()


def money_rules(config: Config) -> MoneyRules:
    """Budgets and prices in force."""
    return MoneyRules(
        config.money.zone_info,
        config.money.house.budget,
        {name: one.budget.budget for name, one in config.profiles.items() if one.budget is not None},
        {name: one.budget.budget for name, one in config.providers.items() if one.budget is not None},
        {at: price for at, price in prices_of(config).items() if price is not None},
        frozenset(name for name, one in config.profiles.items() if one.unpriced == "allow"),
    )


def row_of(event: Answered) -> CallRow:
    """What is written down of one call."""
    call_id, ended_s, kind, first_byte_s, total_s, usage, _, paid = event
    prompt, completion, cached, is_estimated, thought, written, _ = usage or NOTHING
    return CallRow(
        call_id, paid.at_s if paid is not None else ended_s, kind.key.id, kind.profile, kind.agent, kind.dialect,
        kind.model, kind.target, kind.provider, kind.status, kind.outcome, kind.stream, prompt, cached, written,
        completion, thought, is_estimated, paid.usd_micros if paid is not None else 0, None, first_byte_s, total_s,
        paid.hold_id if paid is not None else None,
    )  # fmt: skip
