"""The soft limit of a budget, and who is told that one runs ahead of its period: once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import BudgetExceeded, TargetFailed
from ringfence.core.identity import Key
from ringfence.core.ledger import Spent
from ringfence.core.money import HOUSE, Budget, Period, Price, Rates, Scope
from ringfence.core.usage import Usage
from ringfence.gateway.money import MoneyRules, Purse
from ringfence.telemetry.events import BudgetOverrun, BudgetSoftReached, CostAboveHeld

KEY = Key("key_1", "laptop")
RENTED = Target("cloud/smart", "smart", "rented", "large", Boundary.CLOUD, provider="cloud")
OTHER = Target("second/wise", "wise", "rented", "large", Boundary.CLOUD, provider="second")
LOCAL = Target("seat/fast", "fast", "vllm", "fast", Boundary.HOST)
PRICE = Price(Rates.of(1_000_000, 1_000_000))
"""A micro-dollar for a token."""


def at(day: int, hour: int = 0) -> float:
    return datetime(2026, 6, day, hour, tzinfo=UTC).timestamp()


class Told:
    """A purse with a clock to be set, and what it told."""

    def __init__(self, house: Budget, **rules: Any) -> None:
        self.now_s = at(15, 23)
        self.purse = Purse(lambda: self.now_s)
        self.purse.rules = MoneyRules(house=house, **rules)
        self.events: list[object] = []
        self.purse.alarms.tell = self.events.append

    def spend(self, tokens: int, most: int | None = None, key: Key = KEY, target: Target = RENTED) -> None:
        charge = self.purse.take(key, "", "default", target, tokens if most is None else most, PRICE)
        self.purse.settle(charge, Usage(tokens, 0))


def test_the_soft_limit_is_told_once_a_period() -> None:
    told = Told(Budget(day=1000, soft_percent=80))
    told.spend(799)
    assert told.events == [] and not told.purse.is_soft(KEY, "", "default", RENTED)
    told.spend(1)
    told.spend(100)
    assert told.events == [BudgetSoftReached("house", "", "day", 1000, 800)]
    assert told.purse.is_soft(KEY, "", "default", RENTED) and not told.purse.is_soft(KEY, "", "default", LOCAL)
    told.now_s = at(16, 23)
    assert not told.purse.is_soft(KEY, "", "default", RENTED)
    told.spend(850)
    assert told.events[1:] == [BudgetSoftReached("house", "", "day", 1000, 850)]


def test_a_cap_that_is_changed_is_another() -> None:
    told = Told(Budget(day=1000))
    told.spend(800)
    told.purse.rules = MoneyRules(house=Budget(day=2000))
    assert not told.purse.is_soft(KEY, "", "default", RENTED)  # what was spent stays, and the new cap holds at once
    told.spend(800)
    assert [event.limit for event in told.events if isinstance(event, BudgetSoftReached)] == [1000, 2000]
    told.purse.rules = MoneyRules(house=Budget(day=1700))
    with pytest.raises(TargetFailed) as refused:
        told.spend(101)
    assert isinstance(refused.value.failure, BudgetExceeded)


def test_only_the_provider_whose_cap_it_is_comes_last() -> None:
    told = Told(Budget(), providers={"cloud": Budget(month=100)})
    told.spend(90)
    assert told.purse.is_soft(KEY, "", "default", RENTED) and not told.purse.is_soft(KEY, "", "default", OTHER)
    capped = replace(KEY, budget=Budget(week=10, soft_percent=50))
    assert told.purse.is_soft(capped, "", "default", OTHER)


def test_the_name_of_a_key_is_told() -> None:
    told = Told(Budget())
    told.spend(9, key=replace(KEY, budget=Budget(week=10)))
    assert told.events[0] == BudgetSoftReached("key", "laptop", "week", 10, 9)


def test_what_runs_ahead_is_told_once() -> None:
    told = Told(Budget(month=1000, soft_percent=100))
    told.now_s = at(3, 12)  # 2.5 of 30 days: too early to tell
    told.spend(200)
    assert told.events == []
    told.now_s = at(7)  # a fifth of June: 239 come to 1195, and 241 to 1205
    told.spend(39)
    assert told.events == []
    told.spend(2)
    told.spend(100)
    assert told.events == [BudgetOverrun("house", "", "month", 1000, 241, 1205)]


def test_a_cost_above_what_was_held_is_told_once_a_day() -> None:
    told = Told(Budget(day=1_000_000))
    told.spend(50, most=40)
    told.spend(60, most=40)
    assert told.events == [CostAboveHeld("cloud", "cloud/smart", 40, 50)]
    assert told.purse.alarms.above_held == {"cloud": CostAboveHeld("cloud", "cloud/smart", 40, 60)}
    told.now_s = at(16, 12)
    told.spend(1)
    told.spend(50, most=40)
    assert told.events[1:] == [CostAboveHeld("cloud", "cloud/smart", 40, 50)]


class Rows:
    """What was spent before."""

    async def holds(self) -> list[Any]:
        return []

    async def spent_since(self, since_s: float) -> list[Spent]:
        return [Spent(KEY.id, "default", "cloud", 850)] if since_s <= at(16, 23) else []


async def test_a_restart_tells_nothing_again() -> None:
    told = Told(Budget(day=1000, week=1000))
    told.now_s = at(16, 23)  # of the week, less than a third is over
    told.purse.rows = Rows()  # type: ignore[assignment]
    await told.purse.restore(lambda _holds: set(), {KEY.id: KEY}.get)
    told.spend(10)
    assert told.events == [] and told.purse.is_soft(KEY, "", "default", RENTED)
    (day,) = [one for one in told.purse.standings({}) if one[:2] == (HOUSE, Period.DAY)]
    assert (day.spent, day.is_soft, day.is_ahead) == (860, True, False)


def test_what_a_call_may_still_cost() -> None:
    told = Told(Budget(month=1000, day=500), profiles={"default": Budget(call=300, week=600)})
    assert told.purse.left(KEY, "", "default") == 500
    told.spend(250)
    told.purse.take(KEY, "", "default", RENTED, 200, PRICE)
    assert told.purse.left(KEY, "", "default") == 50
    assert Told(Budget()).purse.left(KEY, "", "default") is None
    assert [one.scope for one in told.purse.standings({}) if one.limit] == [HOUSE, HOUSE, Scope("profile", "default")]
    assert Scope("provider", "cloud") in {one.scope for one in told.purse.standings({})}


def refused(told: Told, tokens: int) -> str:
    with pytest.raises(TargetFailed) as failed:
        told.spend(tokens)
    assert isinstance(failed.value.failure, BudgetExceeded)
    return failed.value.failure.message


def test_who_is_refused_hears_what_can_be_done() -> None:
    told = Told(Budget(day=450_000, call=300_000))
    assert refused(told, 300_001) == (
        "This call may cost up to $0.300001, and a call of the house may cost no more than $0.30. "
        "Ask for less output, or send less."
    )
    held = told.purse.take(KEY, "", "default", RENTED, 300_000, PRICE)
    assert "$0.30 held for calls under way. Ask again when those have ended." in refused(told, 250_000)
    told.purse.settle(held, Usage(300_000, 0))
    assert "$0.15 is left: ask for less output, or have the budget raised. A new day" in refused(told, 150_001)
    told.spend(150_000)
    assert refused(told, 1).endswith("Have the budget raised, or wait. A new day begins on 2026-06-16 00:00 (UTC).")
