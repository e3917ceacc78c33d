"""What the money fence is told of the configuration, and of what has left; the row that an answered call becomes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from ringfence.config.schema import Config
from ringfence.core.energy import Drawn, Meter
from ringfence.core.identity import Key
from ringfence.core.ledger import CallRow, HoldRow
from ringfence.core.money import Period
from ringfence.core.usage import Usage
from ringfence.egress import journal_left
from ringfence.gateway.call import Call
from ringfence.gateway.money import KeyOf, MoneyRules
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.site import OPEN_KEY
from ringfence.runtime.prices import prices_of
from ringfence.runtime.sessions import OF_SESSIONS
from ringfence.telemetry.events import Answered

DAY_S = 86_400
NOTHING = Usage()
log = logging.getLogger("ringfence.runtime")
NOT_COMPUTED = frozenset(("cached", "joined", "parked"))


def money_rules(config: Config) -> MoneyRules:
    """Budgets and prices in force."""
    return MoneyRules(
        config.money.zone_info,
        config.money.house.budget,
        {name: one.budget.budget for name, one in config.profiles.items() if one.budget is not None},
        {name: one.budget.budget for name, one in config.providers.items() if one.budget is not None},
        {at: price for at, price in prices_of(config).items() if price is not None},
        frozenset(name for name, one in config.profiles.items() if one.unpriced == "allow"),
        {name: bound.profile for name, bound in config.agents.items()},
    )


def whoever(keys: Iterable[Key]) -> KeyOf:
    """Who spent what rows tell of, by the ids in them: all `keys` that there ever were, and those that stand in no
    database and have the profile of a key of which nothing is said."""
    known = {key.id: key for key in keys}

    def key_of(key_id: str) -> Key | None:
        is_ours = key_id == OPEN_KEY.id or key_id.startswith(OF_SESSIONS)
        return Key(key_id, "") if is_ours else known.get(key_id)

    return key_of


def kept_since_s(config: Config, now_s: float) -> float:
    """Rows of the ledger from then on stay: of the days that are kept, and of the periods that budgets are for."""
    zone = config.money.zone_info
    return min(now_s - config.money.ledger_days * DAY_S, *(period.start_s(now_s, zone) for period in Period))


def never_left(journal: Path, holds: list[HoldRow]) -> set[str]:
    """Ids of those calls of which nothing left, by the journal of what does. Where that cannot be read, there are none:
    what may have left may have to be paid for."""
    try:
        return journal_left.never_left(journal, [(hold.call_id, hold.at_s) for hold in holds])
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the journal in %s does not tell which calls left, so all that were held count: %s", journal, error)
        return set()


class Electricity:
    """What calls took of it, in the order in which they end. `watts` is what its owner says is drawn, None where nobody
    does; `measured` the last measurement, None where nothing tells. What was measured while a call was answered counts
    for it, and for those after it until the next such measurement; before the first one, what its owner says."""

    def __init__(self) -> None:
        self.watts: float | None = None
        self.measured: Callable[[], Drawn | None] = lambda: None
        self._busy_watts: float | None = None
        self._meter = Meter()

    def of(self, event: Answered) -> float | None:
        """In joules. None for what was not answered by an engine of the house."""
        kind = event.kind
        if kind.provider or not kind.target or kind.outcome in NOT_COMPUTED:
            return None
        measured = self.measured()
        if measured is None:
            self._busy_watts = None
        elif measured.age_s <= event.total_s:
            self._busy_watts = measured.watts
        watts = self.watts if self._busy_watts is None else self._busy_watts
        return None if watts is None else watts * self._meter.seconds(event.at_s, event.total_s)


def row_of(event: Answered, energy_j: float | None = None) -> CallRow:
    """What is written down of one call."""
    call_id, ended_s, kind, first_byte_s, total_s, usage, _, paid = event
    prompt, completion, cached, is_estimated, thought, written, _ = usage or NOTHING
    return CallRow(
        call_id, paid.at_s if paid is not None else ended_s, kind.key.id, kind.profile, kind.agent, kind.dialect,
        kind.model, kind.target, kind.provider, kind.status, kind.outcome, kind.stream, prompt, cached, written,
        completion, thought, is_estimated, paid.usd_micros if paid is not None else 0, energy_j, first_byte_s, total_s,
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
    return pipeline.money.left(call.key, call.agent, profile)
