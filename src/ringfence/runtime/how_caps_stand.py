"""How the caps stand, for the status page: those of the house, of providers and profiles, and of keys near theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from ringfence.core.identity import Key
from ringfence.gateway.alarms import Standing
from ringfence.gateway.money import Purse

MOST_KEYS = 20


def how_caps_stand(money: Purse, zone: ZoneInfo, keys: Mapping[str, Key], *, can_write: bool) -> dict[str, Any]:
    """`keys` by their ids. Money in micro-dollars. `can_write`: whether calls can be written down."""
    caps: list[dict[str, Any]] = []
    of_keys = 0
    for one in money.standings(keys):
        if one.limit is None:
            continue
        name = one.scope.name
        if one.scope.kind == "key":
            if name not in keys or of_keys >= MOST_KEYS or not (one.is_soft or one.is_ahead):
                continue
            of_keys += 1
            name = keys[name].name
        caps.append(_shown(one, name))
    return {"zone": zone.key, "can_write": can_write, "caps": caps, "above_held": [
        {"provider": one.provider, "target": one.target, "held": one.held, "cost": one.cost}
        for one in money.alarms.above_held.values()
    ]}  # fmt: skip


def _shown(one: Standing, name: str) -> dict[str, Any]:
    return {
        "scope": one.scope.kind, "name": name, "period": one.period.value, "limit": one.limit, "spent": one.spent,
        "held": one.held, "soft_percent": one.soft_percent, "start_s": one.start_s, "end_s": one.end_s,
        "projected": one.projected, "is_soft": one.is_soft, "is_ahead": one.is_ahead,
    }  # fmt: skip
