"""The money fence: what is spent and held, against the caps of a house, a profile, a key and a provider.

Caps are checked in memory, and without a pause between the check and the hold: whoever comes next sees it. Before a
call leaves, its hold is on the disk as well; so a crash hides nothing that may have been spent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from ringfence.core.catalog import Target
from ringfence.core.errors import BudgetExceeded, Failure, PriceUnknown, TargetFailed
from ringfence.core.identity import Key
from ringfence.core.ledger import CallRow, HoldRow, Paid, Spent
from ringfence.core.money import HOUSE, NO_BUDGET, Budget, Period, Price, Scope, dollars
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.cloud import UNANSWERED

PERIODS = tuple(Period)
NEVER_SENT = frozenset(("connect", "loading", "elsewhere", "set_aside", "over_budget", "unpriced"))
"""Reasons of TargetFailed with which nothing has left."""
LEFT_IN_TIME = 499


class Writes(Protocol):
    """Who keeps holds and rows on the disk."""

    async def hold(self, row: HoldRow) -> None:
        """Returns when it is on the disk. Raises StoreFailed; cancelled, it is taken back."""
        ...

    def release(self, hold_id: str) -> None:
        """It holds nothing any more, and nothing was spent."""
        ...

    def record(self, row: CallRow) -> None:
        """Written down a moment later; with a `hold_id`, that hold ends in the same transaction."""
        ...

    async def spent_since(self, since_s: float) -> list[Spent]: ...

    async def holds(self) -> list[HoldRow]:
        """All that stand."""
        ...


@dataclass(frozen=True, slots=True)
class MoneyRules:
    """What the configuration says of money. `prices` are by provider and by the model's name there; `unpriced` are the
    profiles whose calls may go to models without a price."""

    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    house: Budget = NO_BUDGET
    profiles: Mapping[str, Budget] = field(default_factory=dict[str, Budget])
    providers: Mapping[str, Budget] = field(default_factory=dict[str, Budget])
    prices: Mapping[tuple[str, str], Price] = field(default_factory=dict[tuple[str, str], Price])
    unpriced: frozenset[str] = frozenset()


@dataclass(slots=True)
class Total:
    """Of one scope in one period, in micro-dollars."""

    spent: int = 0
    held: int = 0


class Charge:
    """Money that is held for one call at one target. `price` None: nobody knows what it costs, and nothing is held."""

    __slots__ = ("at_s", "id", "price", "target", "totals", "usd_micros")

    def __init__(self, at_s: float, target: str, usd_micros: int, price: Price | None, totals: list[Total]) -> None:
        self.id = f"hold_{secrets.token_hex(10)}"
        self.at_s = at_s
        self.target = target
        self.usd_micros = usd_micros
        self.price = price
        self.totals = totals


class Standing(NamedTuple):
    """One cap as it is now, in micro-dollars; `limit` None where nothing is capped. Times in Unix seconds."""

    scope: Scope
    period: Period
    limit: int | None
    spent: int
    held: int
    soft_percent: int
    start_s: int
    end_s: int


class Purse:
    """Holds, settles and releases; `clock` is Unix time. To be used from one event loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rules = MoneyRules()
        self.rows: Writes | None = None
        """None: nothing can be written down, so nothing is paid for."""
        self._clock = clock
        self._totals: dict[tuple[Scope, Period], Total] = {}
        """Of the periods that have begun last."""
        self._starts: dict[Period, int] = {}
        self._next_s = 0.0

    # -- one call -------------------------------------------------------------------------------------------------

    async def hold(self, call: Call, target: Target, input_tokens: int, output_tokens: int) -> Charge:
        """Money for a call of at most so many tokens, held on the disk. Raises TargetFailed (over_budget, unpriced)."""
        assert call.decision is not None
        profile = call.decision.profile
        price = self.price_for(call.key, profile, target)
        most = price.most(input_tokens, output_tokens) if price is not None else 0
        charge = self.take(call.key, profile, target, most, price)
        try:
            if self.rows is None:
                raise Failure("There is no ledger here, so nothing is paid for.")
            await self.rows.hold(HoldRow(
                charge.id, call.id, charge.at_s, call.key.id, profile, call.agent, call.spoken, call.decision.model,
                target.name, target.provider, most,
            ))  # fmt: skip
        except BaseException:
            _let_go(charge)
            raise
        call.hold = charge.id
        return charge

    def price_for(self, key: Key, profile: str, target: Target) -> Price | None:
        """Raises TargetFailed (unpriced) where there is none, and a budget holds."""
        price = self.rules.prices.get((target.provider, target.engine_model))
        if price is None and profile not in self.rules.unpriced and self.is_capped(key, profile, target.provider):
            raise TargetFailed(target.name, "unpriced", PriceUnknown(
                f"Nobody knows what '{target.model}' costs at '{target.provider}', and this call is under a budget. "
                f"Say so at models.{target.model}.price, or let the profile '{profile}' use models without a price "
                "(unpriced: allow)."
            ))  # fmt: skip
        return price

    def take(self, key: Key, profile: str, target: Target, most: int, price: Price | None) -> Charge:
        """The check and the hold in memory. Raises TargetFailed (over_budget)."""
        now_s = self._turned()
        scopes = _scopes(key, profile, target.provider)
        for scope in scopes:
            budget = self._budget(scope, key)
            if budget.call is not None and most > budget.call:
                raise TargetFailed(target.name, "over_budget", BudgetExceeded(
                    f"This call may cost up to {dollars(most)}, and a call of {_named(scope, key)} may cost "
                    f"{dollars(budget.call)}. Ask for less output, or send less."
                ))  # fmt: skip
            for period in PERIODS:
                limit = budget.cap(period)
                total = self._total(scope, period) if limit is not None else None
                if limit is None or total is None or total.spent + total.held + most <= limit:
                    continue
                ends = datetime.fromtimestamp(period.end_s(now_s, self.rules.zone), UTC).astimezone(self.rules.zone)
                raise TargetFailed(target.name, "over_budget", BudgetExceeded(
                    f"The budget of {_named(scope, key)}, {dollars(limit)} a {period.value}, leaves no room for this "
                    f"call, which may cost up to {dollars(most)}: {dollars(total.spent)} is spent, and "
                    f"{dollars(total.held)} held for calls under way. A new {period.value} begins on "
                    f"{ends:%Y-%m-%d %H:%M} ({self.rules.zone.key})."
                ))  # fmt: skip
        return self._charged(now_s, target.name, most, price, scopes)

    def held_again(self, row: HoldRow, key: Key, price: Price | None) -> Charge:
        """As after a start: money of a process that is dead, for what is still under way at a provider. It was within
        all caps, and is not measured by those of now."""
        self._turned()
        scopes = _scopes(key, row.profile, row.provider)
        periods = tuple(period for period in PERIODS if row.at_s >= self._starts[period])
        charge = self._charged(row.at_s, row.target, row.usd_micros, price, scopes, periods)
        charge.id = row.id
        return charge

    def spend(self, charge: Charge, usd_micros: int) -> None:
        """So much was spent, in the place of what was held."""
        _let_go(charge)
        for total in charge.totals:
            total.spent += usd_micros

    def let_go(self, charge: Charge) -> None:
        """In memory alone: it never came to the disk."""
        _let_go(charge)

    def _charged(
        self, at_s: float, target: str, most: int, price: Price | None, scopes: tuple[Scope, ...],
        periods: tuple[Period, ...] = PERIODS,
    ) -> Charge:  # fmt: skip
        totals = [self._total(scope, period) for scope in scopes for period in periods]
        for total in totals:
            total.held += most
        return Charge(at_s, target, most, price, totals)

    def settle(self, charge: Charge, usage: Usage | None) -> Paid:
        """It has answered: what it cost takes the place of what was held. None used: nobody knows, and it is the
        most."""
        price = charge.price
        cost = None if price is None else charge.usd_micros if usage is None else price.cost(usage)
        self.spend(charge, cost or 0)
        return Paid(charge.id, charge.at_s, cost)

    def lose(self, call: Call, charge: Charge, total_s: float) -> None:
        """It may have left, and no answer came: it counts as the most that it can have cost."""
        paid, target = self.settle(charge, None), charge.target
        provider = target.partition("/")[0]
        assert call.decision is not None and self.rows is not None
        self.rows.record(CallRow(
            call.id, paid.at_s, call.key.id, call.decision.profile, call.agent, call.spoken, call.decision.model,
            target, provider, LEFT_IN_TIME, "unanswered", call.stream, 0, 0, 0, 0, 0, True,
            paid.usd_micros, None, 0.0, total_s, paid.hold_id,
        ))  # fmt: skip

    def release(self, charge: Charge) -> None:
        """Nothing was spent."""
        _let_go(charge)
        if self.rows is not None:
            self.rows.release(charge.id)

    def is_capped(self, key: Key, profile: str, provider: str) -> bool:
        """Whether any cap holds for such a call."""
        return any(self._budget(scope, key).is_capped for scope in _scopes(key, profile, provider))

    # -- all of them ----------------------------------------------------------------------------------------------

    async def restore(
        self, never_left: Callable[[list[HoldRow]], set[str]], open_: frozenset[str] = frozenset()
    ) -> int:  # fmt: skip
        """At the start: holds of processes that are dead end, and what was spent in the periods is added up.
        `never_left` are the ids of calls of which no byte has left; the others may have cost all that was held. Those
        for the batches `open_` at providers stand on."""
        assert self.rows is not None
        dead = [hold for hold in await self.rows.holds() if hold.submission not in open_]
        free = never_left(dead) if dead else set[str]()
        for hold in dead:
            if hold.call_id in free:
                self.rows.release(hold.id)
            else:
                self.rows.record(_lost(hold))
        now_s = self._turned()
        for period in PERIODS:
            for row in await self.rows.spent_since(period.start_s(now_s, self.rules.zone)):
                self._add(period, row)
        for hold in dead:
            if hold.call_id not in free:
                for period in PERIODS:
                    if hold.at_s >= self._starts[period]:
                        self._add(period, Spent(hold.key_id, hold.profile, hold.provider, hold.usd_micros))
        return len(dead)

    def standings(self, keys: Mapping[str, Key]) -> Iterator[Standing]:
        """Everything that is capped or has spent something; `keys` by their ids."""
        now_s, zone = self._turned(), self.rules.zone
        capped = [HOUSE, *(Scope("profile", name) for name in self.rules.profiles)]
        capped += [Scope("provider", name) for name in self.rules.providers]
        capped += [Scope("key", key.id) for key in keys.values() if key.budget.is_capped]
        for scope in dict.fromkeys((*capped, *(scope for scope, _ in self._totals))):
            budget = self._budget(scope, keys.get(scope.name))
            for period in PERIODS:
                limit, total = budget.cap(period), self._totals.get((scope, period), Total())
                if limit is not None or total.spent or total.held:
                    yield Standing(
                        scope, period, limit, total.spent, total.held, budget.soft_percent,
                        period.start_s(now_s, zone), period.end_s(now_s, zone),
                    )  # fmt: skip

    # -- inside ---------------------------------------------------------------------------------------------------

    def _budget(self, scope: Scope, key: Key | None) -> Budget:
        rules = self.rules
        if scope.kind == "key":
            return key.budget if key is not None else NO_BUDGET
        if scope.kind == "house":
            return rules.house
        return (rules.profiles if scope.kind == "profile" else rules.providers).get(scope.name, NO_BUDGET)

    def _turned(self) -> float:
        """The time now, with new periods begun. A clock that is put back does not bring an old period back."""
        now_s = self._clock()
        if now_s >= self._next_s:
            zone = self.rules.zone
            for period in PERIODS:
                start_s = period.start_s(now_s, zone)
                if start_s > self._starts.get(period, -1):
                    self._starts[period] = start_s
                    for at in [at for at in self._totals if at[1] is period]:
                        del self._totals[at]  # those that still hold keep it, where nobody looks any more
            self._next_s = min(period.end_s(now_s, zone) for period in PERIODS)
        return now_s

    def _total(self, scope: Scope, period: Period) -> Total:
        found = self._totals.get((scope, period))
        if found is None:
            found = self._totals[scope, period] = Total()
        return found

    def _add(self, period: Period, row: Spent) -> None:
        scopes = (HOUSE, Scope("provider", row.provider), Scope("profile", row.profile), Scope("key", row.key_id))
        for scope in scopes:
            self._total(scope, period).spent += row.usd_micros


def may_have_cost(failed: BaseException) -> bool:
    """Whether a call that ended so, after it was sent, may have to be paid for: not where it never left, and not where
    the provider answered with an error."""
    if isinstance(failed, TargetFailed):
        if failed.reason in NEVER_SENT:
            return False
        return failed.reason not in ("status", "crowded") or failed.failure.code in UNANSWERED
    return not isinstance(failed, Failure)


def _let_go(charge: Charge) -> None:
    for total in charge.totals:
        total.held -= charge.usd_micros


def _scopes(key: Key, profile: str, provider: str) -> tuple[Scope, ...]:
    return (HOUSE, Scope("provider", provider), Scope("profile", profile), Scope("key", key.id))


def _named(scope: Scope, key: Key) -> str:
    if scope.kind == "house":
        return "the house"
    return f"the {scope.kind} '{key.name if scope.kind == 'key' else scope.name}'"


def _lost(hold: HoldRow) -> CallRow:
    """The row of a call whose process died while it was on its way."""
    return CallRow(
        hold.call_id, hold.at_s, hold.key_id, hold.profile, hold.agent, hold.dialect, hold.model, hold.target,
        hold.provider, LEFT_IN_TIME, "died", False, 0, 0, 0, 0, 0, True, hold.usd_micros, None, 0.0, 0.0, hold.id,
    )  # fmt: skip
