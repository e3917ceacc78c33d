"""Money for lines in a batch of a provider: held at half the price, over a crash, and settled once."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import TargetFailed
from ringfence.core.identity import Key
from ringfence.core.money import MOST_MICROS, Budget, Period, Price, Rates
from ringfence.core.route import Chain, Decision
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.line_money import LineMoney, PriceAt
from ringfence.gateway.money import MoneyRules, Purse
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger
from ringfence.store.provider_batches import CANCELLING, ENDED, SUBMITTED, ProviderBatch, ProviderBatchRows
from ringfence.store.tables import calls

NOW_S = 1_790_000_000.0
KEY = Key("key_1", "nightly")
TARGET = Target("rented/large", "smart", "openai", "large", Boundary.CLOUD, 4096, 4, frozenset(), provider="rented")
PRICE = Price(Rates.of(3_000_000, 15_000_000), batch_percent=50)
MOST = 9_000  # half of 1000 tokens at $3 a million and of 1000 at $15


class House:
    """One process after the other, on one database. `now_s` is its clock."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.now_s = NOW_S
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(self.db)
        self.purse = Purse(lambda: self.now_s)
        self.purse.rows = self.ledger
        self.purse.rules = MoneyRules(house=Budget(day=20_000), prices={("rented", "large"): PRICE})
        self.money = LineMoney(self.purse, self.ledger.flush)

    async def start_again(self, *open_: str, price_at: PriceAt | None = None) -> None:
        self.start()
        await self.purse.restore(lambda _holds: set(), {KEY.id: KEY}.get, frozenset(open_))
        at, found = price_at or (lambda *_: PRICE), await self.ledger.holds()
        self.money.restore(found, dict.fromkeys(open_, "large"), {KEY.id: KEY}.get, at)

    def house(self) -> tuple[int, int]:
        """Spent and held of the day."""
        day = next(one for one in self.purse.standings({}) if one.scope.kind == "house" and one.period is Period.DAY)
        return day.spent, day.held

    async def hold(self, line: int, submission: str = "pb-1") -> str:
        call = Call(f"call-{line}", KEY, DIALECT, "smart", {}, 10, False, 0.0)
        call.decision = Decision("smart", "", "", Chain("smart", (TARGET,)), Boundary.CLOUD, profile="bold")
        return await self.money.hold(call, TARGET, (1000, 1000), submission, line)

    async def told(self) -> list[tuple[int | None, bool]]:
        """Cost of each row, and whether that is an estimate."""
        await self.ledger.flush()
        query = select(calls.c.cost_usd_micros, calls.c.is_estimated).order_by(calls.c.number)
        return [(row[0], bool(row[1])) for row in self.db.call(lambda connection: connection.execute(query).all())]

    async def rows(self) -> list[tuple[str, int]]:
        await self.ledger.flush()
        query = select(calls.c.outcome, calls.c.cost_usd_micros).order_by(calls.c.number)
        return [(row[0], row[1]) for row in self.db.call(lambda connection: connection.execute(query).all())]


@pytest.fixture
async def house(db: Database) -> House:
    return House(db)


async def test_half_the_price_is_held_and_settled_once(house: House) -> None:
    first, second = [await house.hold(number) for number in (1, 2)]
    assert house.house() == (0, 2 * MOST)
    with pytest.raises(TargetFailed) as caught:
        await house.hold(3)
    assert caught.value.reason == "over_budget" and house.house() == (0, 2 * MOST)
    assert house.money.settle(first, 200, "ok", Usage(100, 100))
    assert not house.money.settle(first, 200, "ok", Usage(100, 100)) and not house.money.release(first)
    assert house.house() == (900, MOST)
    assert house.money.release(second) and not house.money.release(second)
    assert house.house() == (900, 0)
    assert await house.rows() == [("ok", 900)] and await house.ledger.holds() == []


async def test_what_is_under_way_at_a_provider_is_held_over_a_crash(house: House) -> None:
    holds = [await house.hold(number) for number in (1, 2)]
    await house.start_again("pb-1")
    assert house.house() == (0, 2 * MOST)
    assert [(held.row.id, held.row.line) for held in house.money.of("pb-1")] == [(holds[0], 1), (holds[1], 2)]
    assert house.money.settle(holds[0], 200, "ok", Usage(1000, 1000))
    await house.ledger.flush()
    await house.start_again("pb-1")
    assert not house.money.settle(holds[0], 200, "ok", Usage(1000, 1000))  # it was, before
    assert house.money.settle(holds[1], 200, "ok", None)
    assert house.house() == (2 * MOST, 0)
    assert await house.rows() == [("ok", MOST), ("ok", MOST)]


async def test_lines_of_a_batch_that_nobody_knows_may_have_cost_all(house: House) -> None:
    await house.hold(1, "pb-1")
    await house.hold(2, "pb-2")
    await house.start_again("pb-2")
    assert house.house() == (MOST, MOST) and await house.rows() == [("died", MOST)]


async def test_a_price_that_is_gone_after_a_restart_makes_nothing_free(house: House) -> None:
    hold = await house.hold(1)
    await house.start_again("pb-1", price_at=lambda *_: None)
    assert house.money.settle(hold, 200, "ok", Usage(100, 100))
    assert house.house() == (MOST, 0) and await house.told() == [(MOST, False)]


async def test_a_line_has_the_price_of_when_it_was_sent(house: House) -> None:
    hold, before = await house.hold(1), PRICE
    await house.start_again("pb-1", price_at=lambda *at: before if at == ("rented", "large", NOW_S) else None)
    house.purse.rules = MoneyRules(prices={("rented", "large"): Price(Rates.of(9_000_000, 90_000_000))})
    assert house.money.settle(hold, 200, "ok", Usage(100, 100))
    assert await house.rows() == [("ok", 900)]


async def test_what_nobody_knew_the_price_of_has_an_unknown_cost(house: House) -> None:
    house.purse.rules = MoneyRules(unpriced=frozenset(("bold",)))
    hold = await house.hold(1)
    assert house.money.settle(hold, 200, "ok", Usage(100, 100))
    assert await house.told() == [(None, False)]


async def test_no_more_is_spent_than_the_ledger_believes(house: House) -> None:
    hold = await house.hold(1)
    assert house.money.settle(hold, 200, "ok", Usage(10**15, 1))
    assert await house.rows() == [("ok", MOST_MICROS)] and house.house() == (MOST_MICROS, 0)


async def test_an_estimate_is_never_more_than_was_held(house: House) -> None:
    hold = await house.hold(1)
    assert house.money.settle(hold, 200, "ok", Usage(10**6, 1, estimated=True))
    assert await house.told() == [(MOST, True)] and house.house() == (MOST, 0)


async def test_what_was_held_yesterday_is_none_of_today(house: House) -> None:
    hold = await house.hold(1)
    house.now_s += 86_400
    await house.start_again("pb-1")
    spent = {one.period: (one.spent, one.held) for one in house.purse.standings({}) if one.scope.kind == "house"}
    assert spent[Period.DAY] == (0, 0) and spent[Period.MONTH] == (0, MOST)
    assert house.money.settle(hold, 200, "ok", Usage(1000, 1000))
    spent = {one.period: (one.spent, one.held) for one in house.purse.standings({}) if one.scope.kind == "house"}
    assert spent[Period.DAY] == (0, 0) and spent[Period.MONTH] == (MOST, 0)


async def test_batches_at_providers_on_disk(house: House) -> None:
    rows = ProviderBatchRows(house.db)
    batch = ProviderBatch("pb-1", "batch_1", "rented", "large", NOW_S, NOW_S + 86_400)
    await rows.add(batch)
    assert await rows.open() == [batch]
    await rows.change("pb-1", SUBMITTED, "batch_77")
    await rows.change("pb-1", CANCELLING)
    (found,) = await rows.open()
    assert (found.state, found.remote_id) == (CANCELLING, "batch_77")
    await rows.change("pb-1", ENDED)
    await rows.change("pb-1", SUBMITTED)
    assert await rows.open() == []
