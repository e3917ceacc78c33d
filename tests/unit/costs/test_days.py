"""Days of a time zone, what was saved on each, and their pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from ringfence.core.money import Price, Rates
from ringfence.core.spending import Slice
from ringfence.costs.charts import Series, bars, lines, round_up
from ringfence.costs.days import Day, days_of, last_days, sparkline, total
from ringfence.costs.pictures import saved_picture, spent_picture, tokens_picture
from ringfence.costs.words import electricity, months_in_words, percent, rounded, tokens_in_words

BERLIN = ZoneInfo("Europe/Berlin")
PRICE = Price(Rates.of(3_000_000, 15_000_000, 300_000))


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp())


def a_slice(text: str, provider: str, cost: int, *, is_kept: bool = False) -> Slice:
    """1,000 tokens of prompts, 200 of them cached, and 100 of answers: $4,140 a million at the price."""
    return Slice(at(text), provider, is_kept, 0, 1, 1000, 200, 0, 100, cost, 0, 0.0)


@pytest.fixture
def days() -> list[Day]:
    slices = [
        a_slice("2026-10-24T23:45", "openai", 500), a_slice("2026-10-25T00:00", "", 0),
        a_slice("2026-10-25T23:45", "anthropic", 9000), a_slice("2026-10-27T00:00", "", 0, is_kept=True),
        a_slice("2026-10-27T00:00", "openai", 7),
    ]  # fmt: skip
    return days_of(slices, at("2026-10-24T12:00"), at("2026-10-27T08:00"), BERLIN, PRICE)


def test_days_begin_at_midnight_also_where_clocks_are_put_back(days: list[Day]) -> None:
    assert [(one.date, one.begins_s, one.calls) for one in days] == [
        ("2026-10-24", at("2026-10-24"), 1), ("2026-10-25", at("2026-10-25"), 2),
        ("2026-10-26", at("2026-10-26"), 0), ("2026-10-27", at("2026-10-27"), 2),
    ]  # fmt: skip
    assert days[2].begins_s - days[1].begins_s == 25 * 3600


def test_what_was_saved_is_what_it_would_have_cost_less_what_was_paid(days: list[Day]) -> None:
    # 800 x $3 + 200 x $0.30 + 100 x $15 = 3,960 micro-dollars for each call that was worked for.
    assert [one.elsewhere_usd_micros for one in days] == [3960, 7920, 0, 3960]
    assert [one.saved_usd_micros for one in days] == [3460, -1080, 0, 3953]
    assert (days[1].local_tokens, days[1].cloud_tokens, days[3].kept_tokens) == (1100, 1100, 1100)


def test_they_add_up(days: list[Day]) -> None:
    sums = total(days)
    assert (sums.calls, sums.cost_usd_micros, sums.elsewhere_usd_micros) == (5, 9507, 15_840)
    assert sums.providers == {"openai": 507, "anthropic": 9000}
    assert total(days, at("2026-10-26")).calls == 2
    assert total(days, at("2026-11-01")) == Day(at("2026-11-01"), "")


def test_the_last_days_are_told_by_the_calendar() -> None:
    """Also where a day in between had 25 hours: half an hour before midnight is still of the last."""
    found = last_days(4, at("2026-10-27T23:30"), BERLIN)
    assert [begins_s for begins_s, _ in found] == [at(f"2026-10-{day}") for day in (24, 25, 26, 27)]
    assert [ends_s - begins_s for begins_s, ends_s in found] == [86_400, 90_000, 86_400, 86_400]


def test_electricity_has_a_cost_where_a_price_is_known() -> None:
    day = Day(0, "", energy_j=5_400_000.0)
    assert day.told(None)["electricity_usd_micros"] is None
    assert day.told(0.30)["electricity_usd_micros"] == 450_000
    assert [electricity(joules, 0.30) for joules in (0.0, 5_400_000.0)] == ["-", "$0.45"]
    assert [electricity(joules, None) for joules in (5_400_000.0, 180_000.0)] == ["1.5 kWh", "50 Wh"]


def test_a_sparkline_is_as_high_as_its_days() -> None:
    assert sparkline([0, 1, 50, 100]) == " ▁▄█"
    assert sparkline([]) == ""


@pytest.mark.parametrize(("amount", "up"), [(0, 1), (1, 1), (1.1, 2), (2.2, 2.5), (30, 50), (51, 100), (0.003, 0.005)])
def test_scales_are_round(amount: float, up: float) -> None:
    assert round_up(amount) == pytest.approx(up)


def test_bars_are_as_high_as_their_amounts() -> None:
    picture = ET.fromstring(
        bars("A <b>", "Told.", ["x", "y"], [Series("one", [5, 10]), Series("two & 3", [5, 0])], str)
    )
    space = "{http://www.w3.org/2000/svg}"
    rects = [one for one in picture.iter(f"{space}rect") if one.find(f"{space}title") is not None]
    heights = {one.findtext(f"{space}title"): float(one.get("height", "0")) for one in rects}
    assert set(heights) == {"x, one: 5", "y, one: 10", "x, two & 3: 5"}
    assert heights["y, one: 10"] == pytest.approx(2 * heights["x, one: 5"])
    assert heights["x, two & 3: 5"] == pytest.approx(heights["x, one: 5"] - 1, abs=0.11)  # a gap between layers
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == "A <b>. Told."


def test_lines_run_from_the_left_to_the_right() -> None:
    picture = ET.fromstring(lines("A", "b", [1, 2], [Series("one", [0, 4]), Series("two", [4, 4])], str, str))
    first, second = (one.get("points", "").split() for one in picture.iter("{http://www.w3.org/2000/svg}polyline"))
    assert [float(point.split(",")[0]) for point in first] == [384, 704]
    assert first[1] == second[1]
    assert float(first[0].split(",")[1]) > float(second[0].split(",")[1])


def test_pictures_say_their_sums_in_words(days: list[Day]) -> None:
    assert "2026-10-24 to 2026-10-27: $0.009507 in all; anthropic $0.009, openai $0.000507." in spent_picture(days)
    assert "$0.009507 paid, $0.02 at all-frontier, $0.006333 saved." in saved_picture(days, "all-frontier")
    assert "1,100 tokens of own engines, 3,300 of clouds, 1,100 of kept answers." in tokens_picture(days)
    assert "No days: $0.00 in all; nothing." in spent_picture([])


def test_amounts_are_written_as_people_read_them() -> None:
    assert [rounded(micros) for micros in (0, 4, 14_999, 96_984_000)] == ["$0.00", "$0.000004", "$0.01", "$96.98"]
    assert [rounded(micros) for micros in (-4, -1_325_000)] == ["-$0.000004", "-$1.32"]
    assert [tokens_in_words(count) for count in (850, 12_000, 3_456_000)] == ["850", "12K", "3.46M"]
    assert (percent(1, 3), percent(0, 0)) == ("33.3 %", "-")
    assert (months_in_words(3.94), months_in_words(60)) == ("3.9 months", "5.0 years")
