"""What is told of money to whoever runs the gateway: caps, what is spent and held, and the days that were."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from time import time
from typing import Any

from sqlalchemy import Connection

from ringfence.config.schema import Config
from ringfence.core.identity import Key
from ringfence.core.ledger import HoldRow
from ringfence.core.money import HOUSE, Budget, Scope
from ringfence.costs.assumptions import REFERENCE, Assumptions, read_assumptions, reference
from ringfence.costs.days import Day, days_of, last_days
from ringfence.costs.words import price_in_words
from ringfence.gateway.money import MoneyRules, Purse, Standing
from ringfence.store import keys as keystore
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.ledger import Ledger
from ringfence.store.spending import first_held_s, slices

DAY_S = 86_400
SETTLED_DAYS = 2
"""Days that ended longer ago are read once, unless money is held that may become a row of theirs: the lines of a batch
at a provider are dated when they left, and may be settled days later."""


class WhatIsSpent:
    """`config` gives the configuration in force, `set_aside` the keys of providers that are set aside."""

    def __init__(
        self,
        purse: Purse,
        ledger: Ledger,
        db: Database,
        config: Callable[[], Config],
        set_aside: Callable[[], Awaitable[list[dict[str, Any]]]],
    ) -> None:
        self._purse = purse
        self._ledger = ledger
        self._db = db
        self._config = config
        self._set_aside = set_aside
        self._settled: dict[int, Day] = {}

    async def now(self) -> dict[str, Any]:
        """Every cap, and what is held. Where nothing can be read or written, that is said in its place."""
        problem, now_s = "", time()
        keys, holds = list[Key](), list[HoldRow]()
        await self._ledger.flush()
        try:
            keys = await self._db.read(keystore.all_keys)
            holds = await self._ledger.holds()
        except StoreFailed as failed:
            problem = str(failed)
        names = {key.id: key.name for key in keys}
        valid = {key.id: key for key in keys if key.is_valid(now_s)}
        held = sorted(holds, key=lambda hold: hold.at_s)
        set_aside = await self._set_aside()
        return {
            "at_s": now_s,
            "zone": self._purse.rules.zone.key,
            "providers": list(self._config().providers),
            "can_write": not problem and not self._ledger.is_failing,
            "problem": problem,
            "standings": [_standing(one, names.get(one.scope.name, "")) for one in self._purse.standings(valid)],
            "call_caps": _call_caps(self._purse.rules, valid),
            "keys_set_aside": set_aside,
            "holds": [_hold(one, names, now_s) for one in held],
        }

    async def days(self, wanted: int) -> dict[str, Any]:
        """So many days up to this one, the earliest first."""
        zone, now_s, supposed = self._purse.rules.zone, time(), _reference()
        price, usd_per_kwh = supposed.baseline_price, self._config().money.usd_per_kwh
        days = last_days(wanted, now_s, zone)
        await self._ledger.flush()
        unread = [day for day in days if day[0] not in self._settled]

        def read(connection: Connection) -> tuple[float | None, list[Day]]:
            held_s = first_held_s(connection)  # before the rows: what is settled meanwhile is read again
            return held_s, [
                days_of(slices(connection, begins_s, ends_s), begins_s, ends_s - 1, zone, price)[0]
                for begins_s, ends_s in unread
            ]

        held_s, fresh = await self._db.read(read)
        found = self._settled | {day.begins_s: day for day in fresh}
        settled_s = now_s - SETTLED_DAYS * DAY_S
        if held_s is not None:
            settled_s = min(settled_s, held_s)
        self._settled |= {day[0]: found[day[0]] for day in unread if day[1] < settled_s}
        return {
            "zone": zone.key,
            "against": {"scenario": supposed.baseline, "price": price_in_words(price)},
            "usd_per_kwh": usd_per_kwh,
            "days": [
                {"day": day.date, "begins_s": day.begins_s, **day.told(usd_per_kwh)}
                for day in (found[begins_s] for begins_s, _ in days)
            ],
        }


@cache
def _reference() -> Assumptions:
    """What all of it would have cost is told at the price of its baseline."""
    return read_assumptions(reference(), REFERENCE)


def _call_caps(rules: MoneyRules, keys: dict[str, Key]) -> list[dict[str, Any]]:
    """What one call may cost at most, wherever that is said."""
    said: list[tuple[Scope, str, Budget]] = [(HOUSE, "", rules.house)]
    said += [(Scope("provider", name), name, budget) for name, budget in rules.providers.items()]
    said += [(Scope("profile", name), name, budget) for name, budget in rules.profiles.items()]
    said += [(Scope("key", key.id), key.name, key.budget) for key in keys.values()]
    return [
        {"scope": scope.kind, "name": scope.name, "label": label, "limit_usd_micros": budget.call}
        for scope, label, budget in said if budget.call is not None
    ]  # fmt: skip


def _standing(one: Standing, key_name: str) -> dict[str, Any]:
    return {
        "scope": one.scope.kind, "name": one.scope.name,
        "label": key_name or one.scope.name if one.scope.kind == "key" else one.scope.name,
        "period": one.period.value, "limit_usd_micros": one.limit, "spent_usd_micros": one.spent,
        "held_usd_micros": one.held, "soft_percent": one.soft_percent, "begins_s": one.start_s, "ends_s": one.end_s,
        "projected_usd_micros": one.projected, "is_ahead": one.is_ahead,
    }  # fmt: skip


def _hold(one: HoldRow, names: dict[str, str], now_s: float) -> dict[str, Any]:
    return {
        "id": one.id, "call": one.call_id, "key": names.get(one.key_id, one.key_id), "profile": one.profile,
        "agent": one.agent, "model": one.model, "provider": one.provider, "usd_micros": one.usd_micros,
        "age_s": round(max(0.0, now_s - one.at_s), 1),
    }  # fmt: skip
