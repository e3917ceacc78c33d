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
from ringfence.core.errors import BudgetExceeded, EngineTimedOut, Failure, LedgerUnavailable, PriceUnknown, TargetFailed
from ringfence.core.identity import Key
from ringfence.core.ledger import CallRow, HoldRow, Paid, Spent
from ringfence.core.money import HOUSE, MOST_MICROS, NO_BUDGET, Budget, Period, Price, Scope, dollars
from ringfence.core.usage import Usage
from ringfence.gateway.alarms import Alarms, Standing, Total, threshold
from ringfence.gateway.call import Bill, Call
from ringfence.gateway.cloud import UNANSWERED
from ringfence.gateway.money_words import named, way_on
from ringfence.gateway.thoughts import Thoughts
from ringfence.routing.standing import rests_on
from ringfence.store.failure import StoreFailed

PERIODS = tuple(Period)
NEVER_SENT = frozenset(("connect", "loading", "elsewhere", "set_aside", "over_budget", "unpriced", "no_ledger"))
"""Reasons of TargetFailed with which nothing has left."""
MOST_BOOKS = 40
"""Of days, of weeks and of months: so far back can a clock be put, and find what was spent."""
LEFT_IN_TIME = 499
RETRY_AFTER_S = 2.0
"""Where the ledger cannot be written."""


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
    agents: Mapping[str, str] = field(default_factory=dict[str, str])
    """Agent -> profile: a call rests on that one as well."""


Book = dict[Scope, Total]
"""Of one period."""
NOTHING = Total()
"""Of whom nothing is known to have been spent."""
KeyOf = Callable[[str], Key | None]
"""By ids; also keys that are no longer valid."""


class Counted(NamedTuple):
    """What was spent, and by whose budgets it counts."""

    scopes: tuple[Scope, ...]
    usd_micros: int


class Charge:
    """Money that is held for one call at one target. `price` None: nobody knows what it costs, and nothing is held."""

    __slots__ = ("at_s", "bill", "id", "key", "price", "scopes", "target", "totals", "usd_micros")

    def __init__(
        self, at_s: float, target: Target, usd_micros: int, price: Price | None, totals: list[Total], key: Key,
        scopes: tuple[Scope, ...], bill: Bill,
    ) -> None:  # fmt: skip
        self.id = f"hold_{secrets.token_hex(10)}"
        self.at_s = at_s
        self.target = target
        self.usd_micros = usd_micros
        self.price = price
        self.totals = totals
        self.key = key
        self.scopes = scopes
        self.bill = bill

    def cost(
        self, usage: Usage | None, *, is_batch: bool = False, span: tuple[float, float] | None = None
    ) -> int | None:  # fmt: skip
        """What a call that used so much is believed to have cost. None used, or no price any more: nobody knows, and
        it is the most; as it is of an estimate. None: it never had a price."""
        if self.price is None and not self.usd_micros:
            return None
        if self.price is None or usage is None:
            return min(self.usd_micros, MOST_MICROS)
        return min(
            self.price.cost(usage, is_batch=is_batch, span=span), self.usd_micros if usage.estimated else MOST_MICROS
        )


class Purse:
    """Holds, settles and releases; `clock` is Unix time. To be used from one event loop.

    Each period has a book, which is kept when the next begins: a clock that is put forth and back finds again what was
    spent. It is never believed to be before the moment at which the books were read: of the time before, they know too
    little. So a book always says what the rows of its period do.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.rules = MoneyRules()
        self.rows: Writes | None = None
        """None: nothing can be written down, so nothing is paid for."""
        self.thoughts = Thoughts()
        self.alarms = Alarms()
        self._clock = clock
        self._zone: ZoneInfo | None = None
        """Fixed with the first book: another one would begin at other seconds, and know nothing of what was spent."""
        self._books: dict[Period, dict[int, Book]] = {period: {} for period in PERIODS}
        """By the second in which it began."""
        self._now: list[tuple[Period, Book]] = []
        self._from_s = self._until_s = self._floor_s = 0.0
        self._ahead: list[tuple[Period, float, Counted]] = []
        """Rows that are dated later than the period in which they were read, by a clock that was wrong then."""

    @property
    def zone(self) -> ZoneInfo:
        """By whose clocks periods begin."""
        return self._zone or self.rules.zone

    # -- one call -------------------------------------------------------------------------------------------------

    async def hold(
        self, call: Call, target: Target, input_tokens: int, output_tokens: int, for_an_hour: bool = True
    ) -> Charge:
        """Money for a call of at most so many tokens, held on the disk. Raises TargetFailed (over_budget, unpriced,
        no_ledger). `for_an_hour`: a cache may be asked to keep tokens so long."""
        assert call.decision is not None
        profile = call.decision.profile
        price = self.price_for(call, target)
        most = price.most(input_tokens, output_tokens, for_an_hour=for_an_hour) if price is not None else 0
        if call.bill is None:
            call.bill = Bill()
        charge = self.take(call.key, call.agent, profile, target, most, price, call.bill)
        try:
            if self.rows is None:
                raise StoreFailed("the ledger", "is not there", "give the gateway one")
            await self.rows.hold(HoldRow(
                charge.id, call.id, charge.at_s, call.key.id, profile, call.agent, call.spoken, call.decision.model,
                target.name, target.provider, most,
            ))  # fmt: skip
        except BaseException as failed:
            _let_go(charge)
            if not isinstance(failed, StoreFailed):
                raise
            raise TargetFailed(target.name, "no_ledger", LedgerUnavailable(
                f"The ledger {failed.what}. Nothing is paid for until calls can be written down again.",
                retry_after_s=RETRY_AFTER_S,
            )) from failed  # fmt: skip
        call.hold = charge.id
        call.may_think = self.thoughts.may_be(target, call.body)
        return charge

    def price_for(self, call: Call, target: Target) -> Price | None:
        """What it costs now. Raises TargetFailed (unpriced) where nobody knows, and a budget holds."""
        assert call.decision is not None
        rules, key, agent, profile = self.rules, call.key, call.agent, call.decision.profile
        price = rules.prices.get((target.provider, target.engine_model))
        if price is not None:
            return price.on(self._clock(), has_media=bool(call.media))
        refuse = [f"'{name}'" for name in rests_on(rules.agents, key, agent, profile) if name not in rules.unpriced]
        if refuse and self.is_capped(key, agent, profile, target.provider):
            raise TargetFailed(target.name, "unpriced", PriceUnknown(
                f"Nobody knows what '{target.model}' costs at '{target.provider}', and this call is under a budget. "
                f"Say so at models.{target.model}.price, or let the profile {' and '.join(refuse)} use models without "
                "a price (unpriced: allow)."
            ))  # fmt: skip
        return None

    def take(
        self, key: Key, agent: str, profile: str, target: Target, most: int, price: Price | None,
        bill: Bill | None = None,
    ) -> Charge:  # fmt: skip
        """The check and the hold in memory; `bill` is of the call that it is for. Raises TargetFailed (over_budget)."""
        now_s, bill = self._turned(), bill or Bill()
        scopes = self._scopes(key, agent, profile, target.provider)
        for scope in scopes:
            budget = self._budget(scope, key)
            if budget.call is not None and bill.usd_micros + most > budget.call:
                before = f", beside {dollars(bill.usd_micros)} that it has cost already" if bill.usd_micros else ""
                raise TargetFailed(target.name, "over_budget", BudgetExceeded(
                    f"This call may cost up to {dollars(most)}{before}, and a call of {named(scope, key)} may cost no "
                    f"more than {dollars(budget.call)}. Ask for less output, or send less."
                ))  # fmt: skip
            for period, book in self._now:
                limit = budget.cap(period)
                if limit is None:
                    continue
                total = _total(book, scope)
                if total.spent + total.held + most <= limit:
                    continue
                ends = datetime.fromtimestamp(period.end_s(now_s, self.zone), UTC).astimezone(self.zone)
                raise TargetFailed(target.name, "over_budget", BudgetExceeded(
                    f"The budget of {named(scope, key)}, {dollars(limit)} a {period.value}, leaves no room for this "
                    f"call, which may cost up to {dollars(most)}: {dollars(total.spent)} is spent, and "
                    f"{dollars(total.held)} held for calls under way. {way_on(limit, total, most)} A new "
                    f"{period.value} begins on {ends:%Y-%m-%d %H:%M} ({self.zone.key})."
                ))  # fmt: skip
        totals = [_total(book, scope) for scope in scopes for _, book in self._now]
        return _charged(now_s, target, most, price, totals, key, scopes, bill)

    def held_again(self, row: HoldRow, target: Target, key: Key, price: Price | None) -> Charge:
        """As after a start: money of a process that is dead, for what is still under way at a provider. It was within
        all caps, and is not measured by those of now."""
        now_s, totals = self._turned(), list[Total]()
        scopes = self._scopes(key, row.agent, row.profile, row.provider)
        for period, book in self._now:
            if period.start_s(now_s, self.zone) <= row.at_s < period.end_s(now_s, self.zone):
                totals += [_total(book, scope) for scope in scopes]
        charge = _charged(row.at_s, target, row.usd_micros, price, totals, key, scopes, Bill())
        charge.id = row.id
        return charge

    def spend(self, charge: Charge, usd_micros: int) -> None:
        """So much was spent, in the place of what was held."""
        _let_go(charge)
        charge.bill.usd_micros += usd_micros
        for total in charge.totals:
            total.spent += usd_micros
        if usd_micros:
            self._look(charge, usd_micros)

    def let_go(self, charge: Charge) -> None:
        """In memory alone: it never came to the disk."""
        _let_go(charge)

    def settle(self, charge: Charge, usage: Usage | None) -> Paid:
        """It has answered: what it cost takes the place of what was held."""
        cost = charge.cost(usage, span=(charge.at_s, self._clock()))
        self.spend(charge, cost or 0)
        return Paid(charge.id, charge.at_s, cost)

    def lose(self, call: Call, charge: Charge, total_s: float) -> None:
        """It may have left, and no answer came: it counts as the most that it can have cost."""
        paid, target = self.settle(charge, None), charge.target
        assert call.decision is not None and self.rows is not None
        self.rows.record(CallRow(
            call.id, paid.at_s, call.key.id, call.decision.profile, call.agent, call.spoken, call.decision.model,
            target.name, target.provider, LEFT_IN_TIME, "unanswered", call.stream, 0, 0, 0, 0, 0, True,
            paid.usd_micros, None, 0.0, total_s, paid.hold_id,
        ))  # fmt: skip

    def release(self, charge: Charge) -> None:
        """Nothing was spent."""
        _let_go(charge)
        if self.rows is not None:
            self.rows.release(charge.id)

    def is_capped(self, key: Key, agent: str, profile: str, provider: str) -> bool:
        """Whether any cap holds for such a call."""
        return any(self._budget(scope, key).is_capped for scope in self._scopes(key, agent, profile, provider))

    def is_soft(self, key: Key, agent: str, profile: str, target: Target) -> bool:
        """Whether a cap that concerns such a call is used up as far as its soft limit: what is free goes first then."""
        if not target.provider:
            return False
        self._turned()
        for scope in self._scopes(key, agent, profile, target.provider):
            budget = self._budget(scope, key)
            for period, book in self._now:
                limit, total = budget.cap(period), book.get(scope)
                if limit is not None and total is not None and total.spent >= threshold(limit, budget.soft_percent):
                    return True
        return False

    def left(self, key: Key, agent: str, profile: str, provider: str = "") -> int | None:
        """Micro-dollars that may still be spent in the periods under way, whichever provider it goes to unless one is
        named; None where nothing is capped."""
        self._turned()
        left: list[int] = []
        for scope in self._scopes(key, agent, profile, provider):
            budget = self._budget(scope, key)
            for period, book in self._now:
                if (limit := budget.cap(period)) is not None:
                    total = book.get(scope, NOTHING)
                    left.append(limit - total.spent - total.held)
        return min(left, default=None)

    @property
    def is_unused(self) -> bool:
        """Nothing is spent, and nothing held."""
        return not any(book for _, book in self._now)

    # -- all of them ----------------------------------------------------------------------------------------------

    async def restore(
        self, never_left: Callable[[list[HoldRow]], set[str]], key_of: KeyOf, open_: frozenset[str] = frozenset()
    ) -> int:
        """At the start: holds of processes that are dead end, and what was spent in the periods is added up.
        `never_left` are the ids of calls of which no byte has left; the others may have cost all that was held. Those
        for the batches `open_` at providers stand on. A row names one profile: on which others its call rested is told
        by its key and its agent, as they are now."""
        assert self.rows is not None
        now_s = self._clock()
        self._floor_s = now_s
        self._turn(now_s)
        found: list[tuple[Period, int, Counted]] = []

        def counted(row: Spent | HoldRow) -> Counted:
            key = key_or_gone(key_of, row.key_id)
            return Counted(self._scopes(key, row.agent, row.profile, row.provider), row.usd_micros)

        for period, _ in self._now:
            end_s = period.end_s(now_s, self.zone)
            ahead = [counted(row) for row in await self.rows.spent_since(end_s)]
            since = await self.rows.spent_since(period.start_s(now_s, self.zone))
            self._ahead += [(period, end_s, row) for row in ahead]
            found += [(period, 1, counted(row)) for row in since]
            found += [(period, -1, row) for row in ahead]
        dead = [hold for hold in await self.rows.holds() if hold.submission not in open_]
        books = dict(self._now)
        for period, sign, row in found:
            _add(books[period], row, sign)
        for book in books.values():
            for total in book.values():
                total.restored = total.spent
        free = never_left(dead) if dead else set[str]()
        for hold in dead:  # all else is read by now: nothing of it is counted twice
            if hold.call_id in free:
                self.rows.release(hold.id)
            else:
                self.rows.record(_lost(hold))
                self._count(hold.at_s, counted(hold), now_s)
        return len(dead)

    def standings(self, keys: Mapping[str, Key]) -> Iterator[Standing]:
        """Everything that is capped or has spent something; `keys` by their ids."""
        now_s = self._turned()
        zone, books = self.zone, dict(self._now)
        capped = [HOUSE, *(Scope("profile", name) for name in self.rules.profiles)]
        capped += [Scope("provider", name) for name in self.rules.providers]
        capped += [Scope("key", key.id) for key in keys.values() if key.budget.is_capped]
        for scope in dict.fromkeys((*capped, *(scope for book in books.values() for scope in book))):
            budget = self._budget(scope, keys.get(scope.name))
            for period in PERIODS:
                limit, total = budget.cap(period), books[period].get(scope, Total())
                if limit is not None or total.spent or total.held:
                    yield Standing(
                        scope, period, limit, total.spent, total.held, budget.soft_percent,
                        period.start_s(now_s, zone), period.end_s(now_s, zone), now_s,
                    )  # fmt: skip

    # -- inside ---------------------------------------------------------------------------------------------------

    def _look(self, charge: Charge, cost: int) -> None:
        """Something was spent: is anybody to be told?"""
        now_s, zone, target = self._turned(), self.zone, charge.target
        if cost > charge.usd_micros:
            self.alarms.above(target, charge.usd_micros, cost, Period.DAY.start_s(now_s, zone))
        for scope in charge.scopes:
            budget = self._budget(scope, charge.key)
            for period, book in self._now:
                limit, total = budget.cap(period), book.get(scope)
                if limit and total is not None and total in charge.totals:
                    self.alarms.look(total, charge.key, Standing(
                        scope, period, limit, total.spent, total.held, budget.soft_percent,
                        period.start_s(now_s, zone), period.end_s(now_s, zone), now_s,
                    ))  # fmt: skip

    def _scopes(self, key: Key, agent: str, profile: str, provider: str) -> tuple[Scope, ...]:
        """Whose budgets must leave room for such a call, and are charged with it."""
        names = rests_on(self.rules.agents, key, agent, profile)
        profiles = [Scope("profile", name) for name in names]
        return (HOUSE, Scope("provider", provider), *profiles, Scope("key", key.id))

    def _budget(self, scope: Scope, key: Key | None) -> Budget:
        rules = self.rules
        if scope.kind == "key":
            return key.budget if key is not None else NO_BUDGET
        if scope.kind == "house":
            return rules.house
        return (rules.profiles if scope.kind == "profile" else rules.providers).get(scope.name, NO_BUDGET)

    def _turned(self) -> float:
        """The time now, with the books of its periods."""
        now_s = max(self._clock(), self._floor_s)
        if not self._from_s <= now_s < self._until_s:
            self._turn(now_s)
        return now_s

    def _turn(self, now_s: float) -> None:
        zone = self._zone = self._zone or self.rules.zone
        self._now = []
        for period in PERIODS:
            start_s, books = period.start_s(now_s, zone), self._books[period]
            book = books.get(start_s)
            if book is None:
                book = books[start_s] = {}
                for of, from_s, row in self._ahead:  # of which of the later ones they are is not known
                    if of is period and start_s >= from_s:
                        _add(book, row)
            if len(books) > MOST_BOOKS:
                del books[min(books)]
                self._floor_s = max(self._floor_s, min(books))
            self._now.append((period, book))
        self._from_s = max(period.start_s(now_s, zone) for period in PERIODS)
        self._until_s = min(period.end_s(now_s, zone) for period in PERIODS)

    def _count(self, at_s: float, row: Counted, now_s: float) -> None:
        """A hold of a process that died has become a row."""
        for period, book in self._now:
            end_s = period.end_s(now_s, self.zone)
            if at_s >= end_s:
                self._ahead.append((period, end_s, row))
            elif at_s >= period.start_s(now_s, self.zone):
                _add(book, row)


def key_or_gone(key_of: KeyOf, key_id: str) -> Key:
    """Whose row it is. One that is gone says nothing of profiles: its rows count for the one that they name."""
    return key_of(key_id) or Key(key_id, "", profile="")


def may_have_cost(failed: BaseException) -> bool:
    """Whether a call that ended so, after it was sent, may have to be paid for: not where it never left, and not where
    the provider answered with an error, unless that says that it ran out of time: it may have worked until then."""
    if isinstance(failed, TargetFailed):
        if failed.reason in NEVER_SENT:
            return False
        told = failed.failure
        return failed.reason not in ("status", "crowded") or told.code in UNANSWERED or isinstance(told, EngineTimedOut)
    return not isinstance(failed, Failure)


def _total(book: Book, scope: Scope) -> Total:
    found = book.get(scope)
    if found is None:
        found = book[scope] = Total()
    return found


def _add(book: Book, row: Counted, sign: int = 1) -> None:
    for scope in row.scopes:
        _total(book, scope).spent += sign * row.usd_micros


def _charged(
    at_s: float, target: Target, most: int, price: Price | None, totals: list[Total], key: Key,
    scopes: tuple[Scope, ...], bill: Bill,
) -> Charge:  # fmt: skip
    for total in totals:
        total.held += most
    return Charge(at_s, target, most, price, totals, key, scopes, bill)


def _let_go(charge: Charge) -> None:
    for total in charge.totals:
        total.held -= charge.usd_micros


def _lost(hold: HoldRow) -> CallRow:
    """The row of a call whose process died while it was on its way."""
    return CallRow(
        hold.call_id, hold.at_s, hold.key_id, hold.profile, hold.agent, hold.dialect, hold.model, hold.target,
        hold.provider, LEFT_IN_TIME, "died", False, 0, 0, 0, 0, 0, True, hold.usd_micros, None, 0.0, 0.0, hold.id,
    )  # fmt: skip
