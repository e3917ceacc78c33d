"""Prices on the disk: a row where one changed, and the row by which an old call is explained."""

from __future__ import annotations

import json

from ringfence.core.money import Price, Rates
from ringfence.core.usage import Usage
from ringfence.prices.shape import price_of, told_of
from ringfence.store import prices
from ringfence.store.db import Database

CHEAP, DEAR = Price(Rates.of(1_000_000, 2_000_000)), Price(Rates.of(3_000_000, 15_000_000))
SMALL, LARGE = ("cloud", "small"), ("cloud", "large")


def told(price: Price, source: str = "the configuration") -> tuple[str, str | None]:
    return source, json.dumps(told_of(price))


def noted(db: Database, at_s: float, found: dict[tuple[str, str], tuple[str, str | None]]) -> list[prices.PriceRow]:
    return db.call(lambda connection: prices.record(connection, at_s, found))


def test_a_row_is_added_where_a_price_is_another(db: Database) -> None:
    assert len(noted(db, 10.0, {SMALL: told(CHEAP), LARGE: told(DEAR)})) == 2
    assert noted(db, 20.0, {SMALL: told(CHEAP, "elsewhere"), LARGE: told(DEAR)}) == []
    added = noted(db, 30.0, {SMALL: told(DEAR), LARGE: told(DEAR)})
    assert [(row.model, row.since_s) for row in added] == [("small", 30.0)]
    assert [row.since_s for row in db.call(lambda c: prices.history(c, *SMALL))] == [10.0, 30.0]
    assert len(db.call(prices.history)) == 3


def test_one_that_nobody_knows_any_more_is_written_down_and_one_that_nobody_knew_is_not(db: Database) -> None:
    assert noted(db, 10.0, {SMALL: (prices.UNKNOWN, None)}) == []
    noted(db, 20.0, {SMALL: told(CHEAP)})
    assert [row.rates for row in noted(db, 30.0, {SMALL: (prices.UNKNOWN, None)})] == [None]
    assert noted(db, 40.0, {SMALL: (prices.UNKNOWN, None)}) == []
    assert [row.since_s for row in noted(db, 50.0, {SMALL: told(CHEAP)})] == [50.0]


def test_the_cost_of_an_old_call_follows_from_the_price_of_its_day(db: Database) -> None:
    noted(db, 10.0, {SMALL: told(CHEAP)})
    noted(db, 100.0, {SMALL: told(DEAR)})
    found = db.call(lambda c: [prices.in_force(c, *SMALL, at_s) for at_s in (9.9, 10.0, 99.9, 100.0)])
    assert found[0] is None
    costs = [price_of(json.loads(row.rates)).cost(Usage(1000, 100)) for row in found[1:] if row and row.rates]
    assert costs == [1_200, 1_200, 4_500]  # 1,000 x 1 + 100 x 2; 1,000 x 3 + 100 x 15


def test_a_clock_that_was_put_back_changes_no_order(db: Database) -> None:
    noted(db, 100.0, {SMALL: told(CHEAP)})
    noted(db, 50.0, {SMALL: told(DEAR)})
    last = db.call(lambda c: prices.in_force(c, *SMALL, 100.0))
    assert last is not None and (last.since_s, last.rates) == (100.0, told(DEAR)[1])
