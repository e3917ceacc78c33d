"""Whose budgets a call is charged to: those of all profiles that it rests on, also over a restart and a reload."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import TargetFailed
from ringfence.core.identity import Key
from ringfence.core.money import Budget, Period, Price, Rates
from ringfence.core.route import Chain, Decision
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.line_money import LineMoney
from ringfence.gateway.money import MoneyRules, Purse
from ringfence.runtime.money import whoever
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger

NOW_S = 1_790_000_000.0
MINE = Key("key_1", "laptop", "personal")
BOUND = Key("key_2", "robot", "", agent="coder")
BOTH = Key("key_3", "both", "personal", agent="coder")
LEAD = Key("key_4", "lead", "conductor")
KEYS = {key.id: key for key in (MINE, BOUND, BOTH, LEAD)}
AGENTS = {"coder": "code", "boss": "conductor"}
CLOUD = Target("cloud/smart", "smart", "", "large", Boundary.CLOUD, 100_000, provider="cloud")
PRICE = Price(Rates.of(1_000_000, 1_000_000))
"""A micro-dollar for a token."""
TIGHT = Budget(day=100)


class House:
    """One process after the other, on one database."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(self.db)
        self.purse = Purse(lambda: NOW_S)
        self.purse.rows = self.ledger
        self.rules(prices={("cloud", "large"): PRICE}, agents=AGENTS)
        self.lines = LineMoney(self.purse, self.ledger.flush)

    def rules(self, **told: Any) -> None:
        self.purse.rules = MoneyRules(**told)

    def change(self, **told: Any) -> None:
        """As by a reload."""
        self.purse.rules = replace(self.purse.rules, **told)

    async def start_again(
        self, *open_: str, keys: dict[str, Key] = KEYS, agents: dict[str, str] = AGENTS, left: bool = True
    ) -> None:
        self.start()
        self.change(agents=agents)
        await self.purse.restore(
            lambda holds: set() if left else {hold.call_id for hold in holds}, keys.get, frozenset(open_)
        )
        prices = self.purse.rules.prices
        self.lines.restore(
            await self.ledger.holds(),
            dict.fromkeys(open_, "large"),
            keys.get,
            lambda at, model, _at_s: prices.get((at, model)),
        )

    async def spend(self, call: Call, tokens: int = 60) -> None:
        charge = await self.purse.hold(call, CLOUD, tokens // 2, tokens // 2)
        self.purse.lose(call, charge, 0.1)
        await self.ledger.flush()

    def sums(self) -> dict[str, tuple[int, int]]:
        """Spent and held of the day, by profile."""
        return {
            one.scope.name: (one.spent, one.held)
            for one in self.purse.standings({}) if one.scope.kind == "profile" and one.period is Period.DAY
        }  # fmt: skip


@pytest.fixture
async def house(db: Database) -> House:
    return House(db)


def call(key: Key = MINE, profile: str = "free", agent: str = "", number: int = 1) -> Call:
    made = Call(f"call-{number}", key, DIALECT, "smart", {}, 10, False, 0.0, key.agent or agent, spoken="chat")
    made.decision = Decision("smart", "", "", Chain("smart", (CLOUD,)), Boundary.CLOUD, profile=profile)
    return made


@pytest.mark.parametrize(
    ("made", "whose"),
    [
        (call(), {"free", "personal"}),
        (call(profile="personal"), {"personal"}),
        (call(agent="coder"), {"free", "personal", "code"}),
        (call(profile="code", agent="coder"), {"personal", "code"}),
        (call(BOUND, "code"), {"code"}),
        (call(BOUND), {"free", "code"}),
        (call(BOTH, "code"), {"personal", "code"}),
        (call(BOTH), {"free", "personal", "code"}),
        (call(LEAD), {"free", "conductor"}),
        (call(MINE, "free", "boss"), {"free", "personal", "conductor"}),
    ],
)
async def test_each_profile_that_a_call_rests_on_is_charged_and_must_leave_room(
    house: House, made: Call, whose: set[str]
) -> None:
    await house.spend(made)
    assert house.sums() == dict.fromkeys(whose, (60, 0))
    await house.start_again()
    assert house.sums() == dict.fromkeys(whose, (60, 0))
    profile = made.decision.profile if made.decision is not None else ""
    for name in whose:
        house.change(profiles={name: TIGHT})
        assert house.purse.left(made.key, made.agent, profile) == 40
        assert house.purse.is_capped(made.key, made.agent, profile, "cloud")
        with pytest.raises(TargetFailed, match="over_budget") as refused:
            await house.purse.hold(made, CLOUD, 30, 30)
        assert f"The budget of the profile '{name}'" in str(refused.value.failure)
        house.change(profiles={name: replace(TIGHT, day=70)})
        assert house.purse.is_soft(made.key, made.agent, profile, CLOUD)
        house.change(profiles={name: Budget(call=59)})
        with pytest.raises(TargetFailed, match="over_budget"):
            await house.purse.hold(made, CLOUD, 30, 30)
    house.change(profiles={"other": TIGHT})
    assert house.purse.left(made.key, made.agent, profile) is None
    assert await house.ledger.holds() == []


async def test_the_cap_of_one_call_is_the_smallest_of_them(house: House) -> None:
    made = call(agent="coder")
    house.change(profiles={"personal": Budget(call=50), "code": Budget(call=40), "free": Budget(call=45)})
    with pytest.raises(TargetFailed) as refused:
        await house.purse.hold(made, CLOUD, 21, 20)
    assert "a call of the profile 'code' may cost no more than $0.00004" in str(refused.value.failure)
    house.purse.release(await house.purse.hold(made, CLOUD, 20, 20))


async def test_what_has_no_price_goes_where_all_of_them_allow_it(house: House) -> None:
    made = call(agent="coder")
    for allow in ((), ("free",), ("free", "code"), ("code", "personal")):
        house.rules(house=TIGHT, unpriced=frozenset(allow), agents=AGENTS)
        with pytest.raises(TargetFailed, match="unpriced") as refused:
            await house.purse.hold(made, CLOUD, 30, 30)
        told = str(refused.value.failure)
        assert {name for name in ("free", "code", "personal") if f"'{name}'" in told}.isdisjoint(allow)
    house.rules(house=TIGHT, unpriced=frozenset(("free", "code", "personal")), agents=AGENTS)
    assert (await house.purse.hold(made, CLOUD, 30, 30)).usd_micros == 0


async def test_what_was_under_way_in_a_crash_counts_for_all_of_them(house: House) -> None:
    await house.purse.hold(call(agent="coder"), CLOUD, 30, 30)
    await house.start_again()
    assert house.sums() == dict.fromkeys(("free", "personal", "code"), (60, 0))
    await house.ledger.flush()
    await house.start_again()
    assert house.sums() == dict.fromkeys(("free", "personal", "code"), (60, 0))
    await house.purse.hold(call(number=2), CLOUD, 30, 30)
    await house.start_again(left=False)
    assert house.sums() == dict.fromkeys(("free", "personal", "code"), (60, 0))


async def test_lines_at_a_provider_are_held_for_in_all_of_them_over_a_restart(house: House) -> None:
    house.change(profiles={"personal": TIGHT})
    made = call(agent="coder")
    assert house.lines.leaves_room(made, CLOUD, 50, 0) and not house.lines.leaves_room(made, CLOUD, 51, 0)
    hold = await house.lines.hold(made, CLOUD, (30, 30), "pb-1", 1)
    with pytest.raises(TargetFailed, match="over_budget"):
        await house.lines.hold(call(number=2), CLOUD, (30, 30), "pb-1", 2)
    assert house.sums() == dict.fromkeys(("free", "personal", "code"), (0, 60))
    await house.start_again("pb-1")
    assert house.sums() == dict.fromkeys(("free", "personal", "code"), (0, 60))
    assert house.lines.settle(hold, 200, "ok", Usage(10, 10))
    assert house.sums() == dict.fromkeys(("free", "personal", "code"), (20, 0))
    await house.ledger.flush()
    await house.start_again()
    assert house.sums() == dict.fromkeys(("free", "personal", "code"), (20, 0))


async def test_the_rows_of_a_key_that_is_gone_count_for_the_profile_that_they_name(house: House) -> None:
    await house.spend(call())
    await house.lines.hold(call(number=2), CLOUD, (30, 30), "pb-1", 1)
    await house.start_again("pb-1", keys={})
    assert house.sums() == {"free": (60, 60)}


async def test_a_reload_that_binds_an_agent_to_another_profile(house: House) -> None:
    """From the next call on; what was held comes free where it was held. After a start it holds for rows as well."""
    made = call(agent="coder")
    before = await house.purse.hold(made, CLOUD, 30, 30)
    house.change(agents={"coder": "prose"})
    after = await house.purse.hold(call(agent="coder", number=2), CLOUD, 10, 10)
    assert house.sums() == {"free": (0, 80), "personal": (0, 80), "code": (0, 60), "prose": (0, 20)}
    house.purse.lose(made, before, 0.1)
    house.purse.release(after)
    assert house.sums() == dict.fromkeys(("free", "personal", "code"), (60, 0))
    await house.ledger.flush()
    await house.start_again(agents={"coder": "prose"})
    assert house.sums() == dict.fromkeys(("free", "personal", "prose"), (60, 0))
    await house.start_again(agents={})
    assert house.sums() == dict.fromkeys(("free", "personal"), (60, 0))


def test_who_spent_is_known_of_keys_that_are_no_longer_valid_and_of_those_in_no_database() -> None:
    key_of = whoever([replace(MINE, revoked_s=1), BOUND])
    assert key_of("key_1") == replace(MINE, revoked_s=1) and key_of("key_2") == BOUND
    assert [key.profile for key in (key_of("open"), key_of("session_abc")) if key is not None] == ["default"] * 2
    assert key_of("key_9") is None
