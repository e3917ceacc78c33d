"""Which price a paid call is held and charged at, with a real ledger on the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import TargetFailed
from ringfence.core.identity import Key
from ringfence.core.money import NO_BUDGET, Budget, Hours, Price, Rates
from ringfence.core.route import Chain, Decision
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.held import Held
from ringfence.gateway.money import MoneyRules, Purse
from ringfence.gateway.worst import worst
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger

TARGET = Target("cloud/m", "m", "openai", "m", Boundary.CLOUD, provider="cloud")
PLAIN = Price(Rates.of(150_000, 600_000))
PEAK = Price(Rates.of(300_000, 1_200_000))
SOUND: list[Any] = [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]
CAPPED = MoneyRules(house=Budget(month=100_000_000))


def at(told: str) -> float:
    return datetime.fromisoformat(told).replace(tzinfo=UTC).timestamp()


class Clock:
    now_s = at("2026-11-22T12:00:00")

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = Database(tmp_path_factory.mktemp("state") / "ringfence.db")
    made.migrate()
    yield made
    made.close()


@pytest.fixture
async def purse(db: Database, clock: Clock) -> AsyncIterator[Purse]:
    made = Purse(clock)
    ledger = made.rows = Ledger(db)
    yield made
    for hold in await ledger.holds():
        ledger.release(hold.id)
    await ledger.flush()


def call(content: Any = "hello", profile: str = "default", key: Key | None = None) -> Call:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": content}]}
    made = Call("call-1", key or Key("key_1", "tests"), DIALECT, "m", body, 90, False, 0.0)
    made.decision = Decision("m", "", "", Chain("m", ()), Boundary.CLOUD, profile=profile)
    return made


def prices(price: Price) -> MoneyRules:
    return replace(CAPPED, prices={("cloud", "m"): price})


@pytest.mark.parametrize(
    ("rules", "key"),
    [
        (CAPPED, Key("key_1", "tests")),
        (MoneyRules(profiles={"default": Budget(day=1)}), Key("key_1", "tests")),
        (MoneyRules(providers={"cloud": Budget(week=1)}), Key("key_1", "tests")),
        (MoneyRules(), Key("key_1", "tests", budget=Budget(call=1))),
        (replace(CAPPED, unpriced=frozenset(("other",))), Key("key_1", "tests")),
    ],
)
async def test_what_has_no_price_is_refused_under_any_cap(purse: Purse, rules: MoneyRules, key: Key) -> None:
    purse.rules = rules
    with pytest.raises(TargetFailed) as refused:
        await purse.hold(call(key=key), TARGET, 100, 100)
    assert (refused.value.reason, refused.value.failure.code) == ("unpriced", "price_unknown")
    assert "models.m.price" in str(refused.value.failure)
    assert purse.rows is not None and await purse.rows.holds() == []


@pytest.mark.parametrize("rules", [replace(CAPPED, unpriced=frozenset(("easy",))), MoneyRules(house=NO_BUDGET)])
async def test_it_goes_where_the_profile_allows_it_or_nothing_is_capped(purse: Purse, rules: MoneyRules) -> None:
    purse.rules = rules
    charge = await purse.hold(call(profile="easy", key=Key("key_1", "tests", "easy")), TARGET, 100, 100)
    assert (charge.usd_micros, charge.price) == (0, None)
    assert purse.settle(charge, Usage(50, 50)).usd_micros is None, "unknown, which is not nothing"


@pytest.mark.parametrize(
    ("begun", "ended", "micros"),
    [
        ("2026-11-22T00:10:00", "2026-11-22T00:10:09", 90),  # 200 x 0.15 + 100 x 0.6
        ("2026-11-22T00:59:59", "2026-11-22T01:00:09", 180),  # 200 x 0.3 + 100 x 1.2
        ("2026-11-22T02:00:00", "2026-11-22T02:00:09", 180),
    ],
)
async def test_the_hour_counts(purse: Purse, clock: Clock, begun: str, ended: str, micros: int) -> None:
    purse.rules = prices(replace(PLAIN, hours=(Hours(3600, 4 * 3600, PEAK),)))
    clock.now_s = at(begun)
    charge = await purse.hold(call(), TARGET, 1000, 100)
    assert charge.usd_micros == 420, "the most, at the dearest hour: 1,000 x 0.3 + 100 x 1.2"
    clock.now_s = at(ended)
    assert purse.settle(charge, Usage(200, 100)).usd_micros == micros


async def test_a_change_to_come_holds_from_its_day_on_without_a_restart(purse: Purse, clock: Clock) -> None:
    purse.rules = prices(replace(PLAIN, later=((int(at("2026-12-01")), PEAK),)))
    before = await purse.hold(call(), TARGET, 1000, 100)
    clock.now_s = at("2026-12-01")
    after = await purse.hold(call(), TARGET, 1000, 100)
    assert (before.usd_micros, after.usd_micros) == (210, 420)
    costs = [purse.settle(charge, Usage(1000, 100)).usd_micros for charge in (before, after)]
    assert costs == [210, 420], "each by the day on which it was sent"


@pytest.mark.parametrize(("content", "micros"), [("hello", 210), (SOUND, 1_060)])
async def test_sound_is_held_and_charged_at_its_own_price(purse: Purse, content: Any, micros: int) -> None:
    purse.rules = prices(replace(PLAIN, media=Price(Rates.of(1_000_000, 600_000))))
    charge = await purse.hold(call(content), TARGET, 1000, 100)
    assert charge.usd_micros == micros
    assert purse.settle(charge, Usage(1000, 100)).usd_micros == micros


@pytest.mark.parametrize(
    ("part", "micros"),
    [
        ({}, 375),  # 100 x 3.75
        ({"cache_control": {"type": "ephemeral"}}, 375),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, 600),  # 100 x 6
        ({"text": 'say "1h"'}, 375),
    ],
)
async def test_an_hour_in_a_cache_is_held_for_where_it_is_asked_for(purse: Purse, part: Any, micros: int) -> None:
    purse.rules = prices(Price(Rates.of(3_000_000, 0, 300_000, 3_750_000, 6_000_000)))
    asked = call(
        [{"type": "text", "text": "a text of more than a hundred bytes" * 4}, {"type": "text", "text": "", **part}]
    )
    charge = await purse.hold(asked, TARGET, *worst(asked, replace(TARGET, window=100), asked.body, 10))
    assert charge.usd_micros == micros


async def test_a_call_that_is_settled_has_no_hold_any_more(purse: Purse) -> None:
    """It may be asked once more, of an engine that costs nothing."""
    purse.rules = prices(PLAIN)
    asked, nothing = call(), SimpleNamespace(ended=lambda *_: None, take=lambda *_: None)
    records: Any = SimpleNamespace(money=purse, health=nothing, reported=nothing, record=lambda *_: None)
    held = Held(records, asked)
    held.charge = await purse.hold(asked, TARGET, 100, 100)
    assert asked.hold == held.charge.id
    held.finish(200, "ok", Usage(10, 10), 0.0)
    assert asked.hold == "" and asked.paid is not None
