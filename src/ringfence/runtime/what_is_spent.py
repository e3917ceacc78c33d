"""What is told of money to whoever runs the gateway: caps, what is spent and held, and the days that were."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import time
from typing import Any
from zoneinfo import ZoneInfo

from ringfence.config.schema import Config
from ringfence.core.identity import Key
from ringfence.core.ledger import HoldRow
from ringfence.core.money import Period
from ringfence.gateway.money import Purse, Standing
from ringfence.store import keys as keystore
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.ledger import Ledger
from ringfence.store.spend_by_day import DaySpend, spend_by_day

DAY_S = 86_400
SETTLED_DAYS = 2
"""Days that ended longer ago are read once: no call that began in them is still to be settled."""


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
        self._settled: dict[int, list[DaySpend]] = {}

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
            "keys_set_aside": set_aside,
            "holds": [_hold(one, names, now_s) for one in held],
        }

    async def days(self, wanted: int) -> dict[str, Any]:
        """So many days up to this one, the earliest first."""
        zone, now_s = self._purse.rules.zone, time()
        days = _days(wanted, zone, now_s)
        await self._ledger.flush()
        unread = [day for day in days if day[0] not in self._settled]
        read = await self._db.read(lambda connection: spend_by_day(connection, unread))
        found = {begins_s: [row for row in read if row.begins_s == begins_s] for begins_s, _ in unread}
        self._settled |= {day[0]: found[day[0]] for day in unread if day[1] < now_s - SETTLED_DAYS * DAY_S}
        rows = {begins_s: found.get(begins_s) or self._settled.get(begins_s, []) for begins_s, _ in days}
        return {
            "zone": zone.key,
            "days": [
                {"day": _date(begins_s, zone), "begins_s": begins_s, "rows": [_row(row) for row in rows[begins_s]]}
                for begins_s, _ in days
            ],
        }


def _days(wanted: int, zone: ZoneInfo, now_s: float) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    at_s = now_s
    for _ in range(wanted):
        begins_s = Period.DAY.start_s(at_s, zone)
        found.append((begins_s, Period.DAY.end_s(at_s, zone)))
        at_s = begins_s - 1
    return found[::-1]


def _date(at_s: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).date().isoformat()


def _standing(one: Standing, key_name: str) -> dict[str, Any]:
    return {
        "scope": one.scope.kind, "name": one.scope.name,
        "label": key_name or one.scope.name if one.scope.kind == "key" else one.scope.name,
        "period": one.period.value, "limit_usd_micros": one.limit, "spent_usd_micros": one.spent,
        "held_usd_micros": one.held, "soft_percent": one.soft_percent, "begins_s": one.start_s, "ends_s": one.end_s,
    }  # fmt: skip


def _hold(one: HoldRow, names: dict[str, str], now_s: float) -> dict[str, Any]:
    return {
        "id": one.id, "call": one.call_id, "key": names.get(one.key_id, one.key_id), "profile": one.profile,
        "agent": one.agent, "model": one.model, "provider": one.provider, "usd_micros": one.usd_micros,
        "age_s": round(max(0.0, now_s - one.at_s), 1),
    }  # fmt: skip


def _row(one: DaySpend) -> dict[str, Any]:
    told = one._asdict()
    del told["begins_s"]
    return told
