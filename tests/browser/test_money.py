"""The page of money in a real browser: caps as bars, what is held, and the days that were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from test_console import CONTRAST

if TYPE_CHECKING:
    from conftest import Page

pytestmark = pytest.mark.browser

BAR = """
    const meter = document.querySelector(`[role=meter][aria-label="${arguments[0]}"]`);
    const width = (css) => meter.querySelector(css).getBoundingClientRect().width / meter.clientWidth;
    return [Math.round(100 * width('.spent')), Math.round(100 * width('.held'))];
"""
READ = "return document.querySelector(`#${arguments[0]} .read`).textContent"


@pytest.fixture
def money(visitor: Page) -> Iterator[Page]:
    visitor.driver.get(f"{visitor.served.url}/console/money")
    visitor.until("return document.getElementById('verdict').innerText.includes('$')")
    yield visitor


def change(money: Page, **parts: Any) -> None:
    money.served.do(lambda: money.served.view.purse.update(parts))


def settled(money: Page) -> None:
    money.until("return document.getAnimations().every((one) => !(one instanceof CSSTransition))")


def test_bars_show_what_is_spent_and_held_of_each_cap(money: Page) -> None:
    settled(money)
    assert "$63.40 of $100.00 spent this month." in money.text("#verdict")
    assert "Nearly used up" in money.text("#verdict") and "key laptop" in money.text("#verdict")
    assert money.run(BAR, "Budget of the house, a month") == [63, 0]
    assert money.run(BAR, "Budget of profile bold, a day") == [85, 7]
    assert money.text("#caps").count("No cap") == 1 and money.text("#caps").count("Not capped") == 1
    assert "At most $0.50 a call" in money.text("#caps [data-key=bold]")
    assert money.text("#caps [data-key=key_ci]").split("\n\n") == ["ci", "At most $0.04 a call"]
    assert " by then at this pace" in money.text("#caps [data-key=anthropic]")
    assert "At this pace provider anthropic comes to $67.28 this month, of $60.00." in money.text("#verdict")
    assert "Key 2 of 3 of groq is at its limit" in money.text("#aside")
    assert "$0.36" in money.text("#holds") and "claude-sonnet-4-5" in money.text("#holds")
    money.shot("money-light")
    money.look(1440, 1000, "dark")
    money.shot("money-dark")


def test_what_is_paid_for_is_seen_without_loading_again(money: Page) -> None:
    house = next(one for one in money.served.view.purse["standings"] if one["period"] == "month")
    change(money, standings=[house | {"spent_usd_micros": 100_000_000, "held_usd_micros": 0}], holds=[])
    money.until_text("#verdict", "$100.00 of $100.00 spent this month.")
    settled(money)
    assert money.run(BAR, "Budget of the house, a month") == [100, 0]
    assert "used up" in money.text("#caps") and money.text("#state") == "Used up"
    assert not money.find("#holds-panel").is_displayed()


def test_what_runs_ahead_of_its_cap_is_told(money: Page) -> None:
    house = next(one for one in money.served.view.purse["standings"] if one["period"] == "month")
    told = {"spent_usd_micros": 60_000_000, "is_ahead": True, "projected_usd_micros": 131_000_000}
    change(money, standings=[house | told], holds=[])
    money.until_text("#verdict", "At this pace the house comes to $131.00 this month, of $100.00.")


def test_a_day_is_read_by_pointer_and_by_keys(money: Page) -> None:
    days = money.served.view.spent["days"]
    paid = [part for day in days for part in day["providers"].values()]
    assert len(money.driver.find_elements("css selector", "#spend rect")) == len(paid) + len(days)  # and electricity
    chart = money.find("#spend [role=slider]")
    chart.send_keys("\ue011")  # Home
    assert "anthropic $1.15" in money.run(READ, "spend") and "groq $0.21" in money.run(READ, "spend")
    chart.send_keys("\ue012")  # no further than the first
    assert chart.get_attribute("aria-valuenow") == "1"
    chart.send_keys("\ue014")
    assert chart.get_attribute("aria-valuenow") == "2"
    assert chart.get_attribute("aria-valuetext") == money.run(READ, "spend")
    assert "% of" in money.text("#tokens-note") and "kept answers" in money.text("#tokens")


def test_electricity_stands_beside_what_was_paid_and_in_no_cap(money: Page) -> None:
    spent = money.served.view.spent
    kwh = sum(day["energy_j"] for day in spent["days"]) / 3_600_000
    power = f"${kwh * 0.32:.2f}"
    assert f"Own engines took about {kwh:.1f} kWh of electricity: {power} at $0.32" in money.text("#power")
    assert f"electricity {power}" in money.text("#spend .layers")
    assert f"${sum(day['cost_usd_micros'] for day in spent['days']) / 1e6:.2f} paid in 30" in money.text("#spend-note")
    unknown = spent | {"usd_per_kwh": None, "days": [day | {"electricity_usd_micros": None} for day in spent["days"]]}
    money.served.do(lambda: money.served.view.spent.update(unknown))
    money.driver.refresh()
    money.until_text("#power", "money.usd_per_kwh in the configuration says what that costs")
    assert "electricity" not in money.text("#spend .layers")


def test_what_was_saved_hangs_below_the_line_where_it_cost_more(money: Page) -> None:
    days = money.served.view.spent["days"]
    saved, elsewhere = (sum(day[name] for day in days) / 1e6 for name in ("saved_usd_micros", "elsewhere_usd_micros"))
    assert f"${saved:.2f} less than ${elsewhere:.2f} at all-frontier" in money.text("#saved-note")
    assert f"saved ${saved:.2f}" in money.text("#saved .layers")
    (dear,) = [place for place, day in enumerate(days) if day["saved_usd_micros"] < 0]
    zero = money.run("return document.querySelector('#saved .zero').y.baseVal.value")
    tops = money.run("return [...document.querySelectorAll('#saved rect.layer1')].map((one) => one.y.baseVal.value)")
    assert [place for place, top in enumerate(tops) if top >= zero] == [dear]
    chart = money.find("#saved [role=slider]")
    for key in ("\ue011", *["\ue014"] * dear):  # Home, and to the right
        chart.send_keys(key)
    lost = -days[dear]["saved_usd_micros"] / 1e6
    assert f"saved -${lost:.2f}" in chart.get_attribute("aria-valuetext")
    money.shot("money-saved")


def test_without_a_provider_it_says_what_to_do(money: Page) -> None:
    change(money, standings=[], call_caps=[], holds=[], providers=[])
    money.until_text("#verdict", "Nothing costs money.")
    assert "No provider is configured: there is no way out at all." in money.text("#verdict")
    assert "api_key" in money.text("#start")
    money.look(400, 800, "light")
    assert money.overflow() == 0
    money.shot("money-empty-narrow")


@pytest.mark.parametrize(("spent_usd_micros", "told"), [(0, ""), (63_400_000, " $63.40 was spent this month.")])
def test_without_a_provider_it_says_what_was_spent_if_anything_was(
    money: Page, spent_usd_micros: int, told: str
) -> None:
    house = next(one for one in money.served.view.purse["standings"] if one["period"] == "month")
    change(money, standings=[house | {"spent_usd_micros": spent_usd_micros}], holds=[], providers=[])
    money.until_text("#verdict", "Nothing costs money.")
    assert money.text("#verdict").endswith(f"No provider is configured: there is no way out at all.{told}")


def test_a_ledger_that_cannot_be_written_is_said_first(money: Page) -> None:
    change(money, can_write=False, problem="ringfence.db cannot grow: the disk is full; free some space on that disk")
    money.until_text("#verdict", "The ledger cannot be written")
    assert "the disk is full" in money.text("#verdict") and money.text("#state") == "No ledger"


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(money: Page, colours: str) -> None:
    money.look(400, 800, colours)
    settled(money)
    assert money.overflow() == 0
    money.shot(f"money-narrow-{colours}")
    assert money.run(CONTRAST) == []
