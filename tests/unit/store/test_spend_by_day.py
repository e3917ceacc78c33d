"""Days of a time zone, by provider, from the rows of calls."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from ringfence.core.ledger import CallRow
from ringfence.core.money import Period
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger
from ringfence.store.spend_by_day import DaySpend, spend_by_day

BERLIN = ZoneInfo("Europe/Berlin")
NOON_S = 1_792_922_400  # 2026-10-25T12:00+01:00: the day has 25 hours


def call(number: int, at_s: float, provider: str, cost: int | None, tokens: tuple[int, int] = (100, 20)) -> CallRow:
    return CallRow(
        f"call-{number}", at_s, "key_1", "personal", "", "chat", "smart", f"{provider or 'near'}/smart", provider, 200,
        "ok", False, tokens[0], 0, 0, tokens[1], 0, False, cost, None, 0.1, 0.2,
    )  # fmt: skip


async def test_each_day_has_what_was_spent_in_it_by_provider(db: Database) -> None:
    begins_s, ends_s = Period.DAY.start_s(NOON_S, BERLIN), Period.DAY.end_s(NOON_S, BERLIN)
    assert ends_s - begins_s == 25 * 3600
    ledger = Ledger(db)
    for number, row in enumerate((
        (begins_s - 1, "rented", 7), (begins_s, "rented", 300), (ends_s - 0.5, "rented", 40), (NOON_S, "rented", None),
        (NOON_S, "other", 5), (NOON_S, "", 0), (ends_s, "rented", 9),
    )):  # fmt: skip
        ledger.record(call(number, *row))
    await ledger.flush()
    assert not ledger.is_failing
    found = await db.run(
        lambda connection: spend_by_day(connection, [(begins_s - 86_400, begins_s), (begins_s, ends_s)])
    )
    assert found == [
        DaySpend(begins_s - 86_400, "rented", 1, 100, 20, 7, 0),
        DaySpend(begins_s, "", 1, 100, 20, 0, 0),
        DaySpend(begins_s, "other", 1, 100, 20, 5, 0),
        DaySpend(begins_s, "rented", 3, 300, 60, 340, 1),
    ]
