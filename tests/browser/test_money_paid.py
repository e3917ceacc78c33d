"""The page of money over a whole gateway that pays a cloud: what it shows is what was spent, and what is held."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from renting import House, clouds, started_up
from test_money import BAR, settled
from whole import control, until

from ringfence.testing.fake_cloud import Conduct, Misdeed, make_certificate

if TYPE_CHECKING:
    from conftest import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CONFIG = """
discovery: {{adopt: false}}
money: {{zone: Europe/Berlin, house: {{month: 0.02}}}}
providers:
  rented: {{url: "{cloud}", api_key: "env:RENTED_KEY", calls_per_day: 1000, max_tokens: 1000, budget: {{day: 0.05}}}}
models:
  smart: {{provider: rented, provider_model: fake-large, price: {{input: 3, output: 15}}}}
profiles:
  personal: {{tier: T2, chain: [smart], budget: {{week: 0.04}}}}
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    certificate = make_certificate(tmp_path)
    with clouds(certificate, {"rented": "openai"}) as made:
        file = tmp_path / "ringfence.yaml"
        file.write_text(CONFIG.format(cloud=f"{made['rented'].url}/v1"))
        with started_up(file, made, certificate) as house:
            house.make_keys("personal")
            yield house


def of(told: dict[str, Any], scope: str, period: str) -> dict[str, Any]:
    return next(one for one in told["standings"] if (one["scope"], one["period"]) == (scope, period))


def test_paid_calls_are_seen_as_spent_and_those_under_way_as_held(page: Page, house: House) -> None:
    page.driver.get(str(control(house, "/console-link", "POST")["url"]))
    page.driver.get(f"{house.root_url}/console/money")
    page.until_text("#verdict", "$0.00 of $0.02 spent this month.")
    assert page.run(BAR, "Budget of the house, a month") == [0, 0]

    replies = [house.chat("personal", model="smart", max_tokens=200) for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    usages = [reply.json["usage"] for reply in replies]
    cost = sum(3 * usage["prompt_tokens"] + 15 * usage["completion_tokens"] for usage in usages)
    until(
        lambda: of(control(house, "/money"), "house", "month")["spent_usd_micros"] == cost, 25, "the three calls paid"
    )
    share = round(100 * cost / 20_000)
    page.until_text("#caps", f"${cost / 1e6:.6f}".rstrip("0"))
    settled(page)
    assert page.run(BAR, "Budget of the house, a month") == [share, 0]

    house.clouds["rented"].once(Conduct(Misdeed.HANG))
    hanging = threading.Thread(target=house.chat, args=("personal",), kwargs={"model": "smart", "max_tokens": 200})
    hanging.start()
    until(lambda: control(house, "/money")["holds"], 25, "the hold of a call under way")
    told = control(house, "/money")
    (hold,) = told["holds"]
    assert hold["usd_micros"] == of(told, "house", "month")["held_usd_micros"] >= 200 * 15
    page.until_text("#holds", hold["model"])
    settled(page)
    spent, held = page.run(BAR, "Budget of the house, a month")
    assert (spent, held) == (share, pytest.approx(100 * hold["usd_micros"] / 20_000, abs=1))
    assert "Held" in page.text("#holds-panel") and "personal" in page.text("#holds")
    page.shot("money-paid")
    (today,) = control(house, "/spend?days=1")["days"]
    assert (today["calls"], today["cost_usd_micros"], today["unpriced_calls"]) == (3, cost, 0)
    assert today["providers"] == {"rented": cost}
    assert "saved" in page.text("#saved")
    assert "rented" in page.text("#spend") and page.overflow() == 0
    page.driver.get("about:blank")
    assert page.hosts() <= {house.root_url.removeprefix("http://"), page.served.url.removeprefix("http://")}
    house.process.terminate()
    hanging.join(30)
