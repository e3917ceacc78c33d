"""The real purse and ledger on a real SQLite, and beside them a book-keeper who knows what must come of it.

The disk can be held back, fail, and be left behind in mid-write, as by a crash; the clock is put back and forth.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from kept_rows import rows
from sqlalchemy import Connection

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import TargetFailed
from ringfence.core.identity import Key
from ringfence.core.ledger import CallRow, HoldRow
from ringfence.core.money import HOUSE, NO_BUDGET, Budget, Period, Price, Rates, Scope
from ringfence.core.route import Chain, Decision
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import chat
from ringfence.gateway.money import Charge, MoneyRules, Purse
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.ledger import Ledger

T = TypeVar("T")
START_S = 1_793_500_000.0  # 2026-10-31T23:46:40Z, a Saturday: a day, a month and a week end within some 24 hours
ZONE = ZoneInfo("Europe/Berlin")
A_TOKEN = Price(Rates.of(1_000_000, 1_000_000))
"""A token is a micro-dollar."""
PROVIDERS, PROFILES = ("near", "far"), ("work", "play", "free")
KEYS, AGENTS = ("key_1", "key_2"), ("", "helper")
OWN, BOUND = {"key_1": "work", "key_2": ""}, {"key_1": "", "key_2": "helper"}
"""The profile and the agent of each key."""
SCOPES = (
    HOUSE, *(Scope("provider", name) for name in PROVIDERS), *(Scope("profile", name) for name in PROFILES),
    *(Scope("key", name) for name in KEYS),
)  # fmt: skip
LIMITLESS = 10**12


class Disk(Database):
    """A real database that can be held back, fail, or be the disk of a process that is dead."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.is_broken = self.is_left = False

    async def run(self, fn: Callable[[Connection], T]) -> T:
        await self.is_open.wait()
        if self.is_left:
            await asyncio.Event().wait()
        if self.is_broken:
            raise StoreFailed(self.name, "cannot grow: the disk is full", "free some space on that disk")
        return await super().run(fn)


@dataclass
class Asked:
    """One call. `charge` is there once its money is held."""

    call: Call
    target: Target
    most: int
    task: asyncio.Task[None]
    charge: Charge | None = None
    at_s: float = 0.0
    has_left: bool = False


class Household:
    """All that can happen, one method each; `check` holds the purse against what it should say. `allowed` is what a
    scope may come to in a period: its cap, or more where that was lowered beneath what was spent already."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self._path = folder / "ringfence.db"
        if template.exists():
            shutil.copy(template, self._path)
        self.now_s = self.floor_s = START_S
        self.budgets: dict[Scope, Budget] = {}
        self.allowed: dict[tuple[Scope, Period], int] = {}
        self.refused: Counter[str] = Counter()
        self.asked: list[Asked] = []
        self.agents = {"helper": "play"}
        self.rested: dict[str, frozenset[str]] = {}
        """By call: all profiles whose money it is."""
        self.really: dict[str, int] = {}
        """By call: what its provider wants for it, whatever became of it here."""
        self.is_ahead = False
        """Rows were dated later than now at the last start: what they count to is not told to the second."""
        self._number = 0
        self.run(self._start())

    def run(self, doing: Any) -> Any:
        return self.loop.run_until_complete(doing)

    def within(self, act: Callable[..., Any], *told: Any) -> Any:
        """In a turn of the loop, as on the path."""

        async def turn() -> Any:
            return act(*told)

        return self.run(turn())  # fmt: skip

    def keys(self) -> dict[str, Key]:
        return {
            name: Key(
                name, name, OWN[name], agent=BOUND[name], budget=self.budgets.get(Scope("key", name), NO_BUDGET)
            )
            for name in KEYS
        }  # fmt: skip

    def _rests_on(self, key: str, agent: str, profile: str) -> frozenset[str]:
        return frozenset((profile, OWN[key], self.agents.get(agent, ""))) - {""}

    # -- what happens ---------------------------------------------------------------------------------------------

    def ask(self, key: str, agent: str, profile: str, provider: str, most: int) -> None:
        """Begins to hold, for a call that names a profile, and perhaps an agent; how that ends, `spin` tells."""
        self._number += 1
        agent = BOUND[key] or agent
        self.rested[f"call-{self._number}"] = self._rests_on(key, agent, profile)
        decision = Decision("smart", "", "", Chain("smart", ()), Boundary.CLOUD, profile=profile)
        call = Call(
            f"call-{self._number}", self.keys()[key], chat.DIALECT, "smart", {}, 0, False, 0.0, agent,
            decision=decision, spoken="chat",
        )  # fmt: skip
        target = Target(f"{provider}/smart", "smart", "", "large", Boundary.CLOUD, provider=provider)
        one = Asked(call, target, most, None)  # type: ignore[arg-type]
        one.task = self.loop.create_task(self._hold(one))
        self.asked.append(one)
        self.spin()

    async def _hold(self, one: Asked) -> None:
        try:
            one.charge = await self.purse.hold(one.call, one.target, one.most // 2, one.most - one.most // 2)
        except TargetFailed as failed:
            self.refused[failed.reason] += 1
            self.asked.remove(one)
        except asyncio.CancelledError:
            self.asked.remove(one)
            raise
        else:
            one.at_s = one.charge.at_s

    def send(self, one: Asked, share: float) -> None:
        """It leaves, and will cost this share of the most."""
        one.has_left = True
        self.really[one.call.id] = int(one.most * share)

    def settle(self, one: Asked) -> None:
        """Its answer is here."""
        assert one.charge is not None and one.call.decision is not None
        cost = self.really[one.call.id]
        usage = Usage(cost - cost // 2, cost // 2)
        paid = self.purse.settle(one.charge, usage)
        self.asked.remove(one)
        call = one.call
        self.within(self.ledger.record, CallRow(
            call.id, paid.at_s, call.key.id, one.call.decision.profile, call.agent, "chat", "smart", one.target.name,
            one.target.provider, 200, "ok", False, usage.prompt_tokens, 0, 0, usage.completion_tokens, 0, False,
            paid.usd_micros, None, 0.1, 0.2, paid.hold_id,
        ))  # fmt: skip

    def lose(self, one: Asked) -> None:
        """No answer came."""
        assert one.charge is not None
        self.asked.remove(one)
        self.within(self.purse.lose, one.call, one.charge, 1.0)

    def release(self, one: Asked) -> None:
        """It did not leave after all."""
        assert one.charge is not None
        self.asked.remove(one)
        self.within(self.purse.release, one.charge)

    def cancel(self, one: Asked) -> None:
        """Its caller goes, perhaps while the hold is being written."""
        if one.charge is None:
            one.task.cancel()
            self.spin()
        elif one.has_left:
            self.lose(one)
        else:
            self.release(one)

    def limit(self, scope: Scope, budget: Budget) -> None:
        """Another budget, from now on."""
        self.check()
        self.budgets[scope] = budget
        self._rule()
        for period in Period:
            self.allowed[scope, period] = LIMITLESS if (cap := budget.cap(period)) is None else cap
            self.allowed[scope, period] = max(self.allowed[scope, period], self._come_to(scope, period))

    def bind(self, agent: str, profile: str) -> None:
        """Another profile for an agent, from now on; at the next start, for its rows as well."""
        self.agents[agent] = profile
        self._rule()

    def put_clock(self, by_s: float) -> None:
        """What was spent by a clock that ran ahead counts in each later period, whatever the caps have become."""
        self.now_s += by_s
        if self.is_ahead:
            for scope, period in self.allowed:
                self.allowed[scope, period] = max(self._limit(scope, period), self._come_to(scope, period))

    def flush(self) -> None:
        """What is to be written is, where the disk takes it."""
        if self.disk.is_open.is_set():
            self.run(self.ledger.flush())
            self.spin()
            if not self.disk.is_broken:
                self.check_rows()

    def hold_back(self) -> None:
        self.disk.is_open.clear()

    def mend(self) -> None:
        self.disk.is_broken = False
        self.disk.is_open.set()
        self.flush()

    def spin(self) -> None:
        """A few turns of the loop, with time for the disk where it is there."""

        async def turns() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            pending = [one.task for one in self.asked if not one.task.done()]
            if pending and self.disk.is_open.is_set():
                await asyncio.wait(pending, timeout=5)

        self.run(turns())  # fmt: skip

    def crash(self) -> None:
        """Nothing more is written, whatever was about to be; then the next process starts."""
        self.disk.is_left = True
        self._drop()
        self.disk.close()
        self.run(self._start())

    def restart(self) -> None:
        """In order: what is under way ends first."""
        self.end_all()
        self._drop()
        self.disk.close()
        self.run(self._start())

    def end_all(self) -> None:
        self.mend()
        self.spin()
        for one in list(self.asked):
            (self.settle if one.has_left else self.release)(one)
        self.flush()

    def close(self) -> None:
        self.disk.is_left = True
        self._drop()
        self.disk.close()
        self.loop.close()

    # -- starting and stopping ------------------------------------------------------------------------------------

    async def _start(self) -> None:
        self.disk = Disk(self._path)
        self.ledger = Ledger(self.disk)
        self.purse = Purse(lambda: self.now_s)
        self.purse.rows = self.ledger
        self._rule()
        before = self.rows()
        left = set(self.really)  # as the journal has it, of those as well that were answered and not yet written down
        self.asked = []
        dead: list[HoldRow] = []

        def never_left(holds: list[HoldRow]) -> set[str]:
            dead.extend(holds)
            return {hold.call_id for hold in holds} - left

        await self.purse.restore(never_left, self.keys().get)
        await self.ledger.flush()
        after = self.rows()
        died = {hold.call_id: hold.usd_micros for hold in dead if hold.call_id in left}
        assert after == before | died and self.holds() == []
        self.floor_s = self.now_s
        ends_s = min(period.end_s(self.now_s, ZONE) for period in Period)
        self.is_ahead = any(at_s >= ends_s for _, at_s, *_ in self._dated())
        self.rested = {call: self._rests_on(key, agent, profile) for call, _, key, agent, profile, *_ in self._dated()}
        for scope, period in self.allowed:
            self.allowed[scope, period] = max(self._limit(scope, period), self._come_to(scope, period))

    def _rule(self) -> None:
        budgets = self.budgets
        self.purse.rules = MoneyRules(
            ZONE, budgets.get(HOUSE, NO_BUDGET),
            {scope.name: budget for scope, budget in budgets.items() if scope.kind == "profile"},
            {scope.name: budget for scope, budget in budgets.items() if scope.kind == "provider"},
            {(provider, "large"): A_TOKEN for provider in PROVIDERS}, agents=dict(self.agents),
        )  # fmt: skip
        for one in self.asked:
            one.call.key = replace(one.call.key, budget=budgets.get(Scope("key", one.call.key.id), NO_BUDGET))

    def _drop(self) -> None:
        async def cancel() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.ledger._wake = lambda _in_s: None  # type: ignore[method-assign]  # nobody is there to be woken
        asked = list(self.asked)  # a call of a process that died is not cancelled: it is no more
        self.run(cancel())
        self.asked = asked

    # -- what must be ---------------------------------------------------------------------------------------------

    def rows(self) -> dict[str, int]:
        """Micro-dollars of each call on the disk; no call is paid for twice."""
        found = self._read("SELECT id, cost_usd_micros FROM calls WHERE hold_id IS NOT NULL")
        assert len({call for call, _ in found}) == len(found), "a call was paid for twice"
        return dict(found)

    def holds(self) -> list[Any]:
        return self._read("SELECT call_id, usd_micros FROM holds")

    def _dated(self) -> list[tuple[str, float, str, str, str, str, int]]:
        return self._read("SELECT id, at_s, key_id, agent, profile, provider, cost_usd_micros FROM calls")

    def _scopes(self, call: str, provider: str, key: str) -> list[Scope]:
        profiles = [Scope("profile", name) for name in self.rested[call]]
        return [HOUSE, Scope("provider", provider), *profiles, Scope("key", key)]

    def _read(self, query: str) -> list[Any]:
        return rows(self._path, query)

    def _limit(self, scope: Scope, period: Period) -> int:
        cap = self.budgets.get(scope, NO_BUDGET).cap(period)
        return LIMITLESS if cap is None else cap

    def standings(self) -> dict[tuple[Scope, Period], tuple[int, int]]:
        """As the purse has them."""
        return {(one.scope, one.period): (one.spent, one.held) for one in self.purse.standings(self.keys())}

    def _come_to(self, scope: Scope, period: Period) -> int:
        return sum(self.standings().get((scope, period), (0, 0)))

    def _held(self) -> Counter[tuple[Scope, Period]]:
        """By the calls that are under way."""
        now_s = max(self.now_s, self.floor_s)
        held: Counter[tuple[Scope, Period]] = Counter()
        for one in self.asked:
            if one.charge is not None:
                for period in Period:
                    if period.start_s(now_s, ZONE) <= one.at_s < period.end_s(now_s, ZONE):
                        for scope in self._scopes(one.call.id, one.target.provider, one.call.key.id):
                            held[scope, period] += one.most
        return held

    def check(self) -> None:
        """At every step."""
        standings, held = self.standings(), self._held()
        is_settled = all(one.task.done() for one in self.asked)
        for (scope, period), (spent, holds) in standings.items():
            assert spent >= 0 and holds >= 0, (scope, period, spent, holds)
            allowed = self.allowed.get((scope, period), LIMITLESS)
            assert spent + holds <= max(allowed, self._limit(scope, period)), (scope, period, spent, holds, allowed)
            self.allowed[scope, period] = max(self._limit(scope, period), min(allowed, spent + holds))
            if is_settled:
                assert holds == held[scope, period], (scope, period, holds)

    def check_rows(self) -> None:
        """When all that is to be written is: the purse says what the rows do, and nobody was charged too little."""
        rows, now_s = self.rows(), max(self.now_s, self.floor_s)
        under_way = {one.call.id for one in self.asked}
        for call, wanted in self.really.items():
            assert call in under_way or rows.get(call, -1) >= wanted, (call, wanted, rows.get(call))
        sums: Counter[tuple[Scope, Period]] = Counter()
        for call, at_s, key, _, _, provider, cost in self._dated():
            for period in Period:
                if period.start_s(now_s, ZONE) <= at_s < period.end_s(now_s, ZONE):
                    for scope in self._scopes(call, provider, key):
                        sums[scope, period] += cost
        told = {at: spent for at, (spent, _) in self.standings().items()}
        for at in told.keys() | sums.keys():
            spent = told.get(at, 0)
            assert spent == sums[at] or (self.is_ahead and spent > sums[at]), (at, spent, sums[at])
