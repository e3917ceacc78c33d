"""Which price holds for which model of a configuration."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from ringfence.config.load import load
from ringfence.config.schema import Config
from ringfence.core.money import Rates
from ringfence.prices.shape import told_of
from ringfence.runtime.money import money_rules
from ringfence.runtime.prices import price_rows, prices_of, prices_then, record_prices, unpriced_in_words
from ringfence.store.db import Database
from ringfence.store.prices import UNKNOWN, history, record

CONFIG = """\
providers:
  claude: {dialect: anthropic, url: "https://api.anthropic.com", api_key: "env:K", calls_per_day: 9, max_tokens: 9}
  cloud: {url: "https://api.cloud.example/v1", api_key: "env:K", calls_per_day: 9, max_tokens: 9}
models:
  demo: {source: demo}
  known: {provider: claude, provider_model: claude-sonnet-4-5}
  claude-opus-4-5: {provider: claude}
  told: {provider: claude, provider_model: claude-haiku-4-5, price: PRICE}
  strange: {provider: cloud}
profiles:
  easy: {unpriced: allow}
"""
PRICE = "{input: 1, output: 2}"


@pytest.fixture
def configured(tmp_path: Path) -> Any:
    def read(price: str = PRICE) -> Config:
        (tmp_path / "ringfence.yaml").write_text(CONFIG.replace("PRICE", price))
        return load(tmp_path / "ringfence.yaml", check_secrets=False)

    return read


def test_what_the_configuration_says_comes_first_and_the_table_second(configured: Any) -> None:
    rules = money_rules(configured())
    assert rules.prices["claude", "claude-haiku-4-5"].rates == Rates.of(1_000_000, 2_000_000)
    assert rules.prices["claude", "claude-haiku-4-5"].source == "the configuration"
    assert rules.prices["claude", "claude-sonnet-4-5"].rates.input == 3_000_000
    assert rules.prices["claude", "claude-opus-4-5"].source.startswith("genai-prices")
    assert rules.prices.keys() & {("cloud", "strange"), ("", "demo")} == set()
    assert rules.unpriced == {"easy"}


def test_models_without_a_price_are_named(configured: Any) -> None:
    told = unpriced_in_words(configured())
    assert told is not None
    assert told.startswith("Nobody knows what 'strange' costs, so calls under a budget are refused there")
    many = configured()
    many.models.update({f"more{number}": many.models["strange"] for number in range(6)})
    assert "'strange', 'more0', 'more1', 'more2', 'more3' and 2 more cost, so" in str(unpriced_in_words(many))
    del many.models["strange"]
    assert unpriced_in_words(many.model_copy(update={"models": {"known": many.models["known"]}})) is None


def test_every_shape_can_be_told(configured: Any) -> None:
    price = money_rules(configured(
        "{input: 3, output: 15, cached: 0.3, cache_write: 3.75, cache_write_1h: 6, batch_percent: 50, per_call: 0.01, "
        "tiers: [{above: 200000, input: 6, output: 22.5, cache_write: 7.5}]}"
    )).prices["claude", "claude-haiku-4-5"]  # fmt: skip
    assert price.rates == (3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000)
    assert price.tiers == ((200_000, (6_000_000, 22_500_000, 6_000_000, 7_500_000, 7_500_000)),)
    assert (price.batch_percent, price.per_call) == (50, 10_000)


def test_rows_for_people_say_what_is_unknown(configured: Any) -> None:
    rows = {row["name"]: row for row in price_rows(configured(), 0.0)}
    assert rows.keys() == {"known", "claude-opus-4-5", "told", "strange"}
    assert rows["strange"]["known"] is False and rows["strange"]["price"] is None
    assert rows["known"]["now"]["cache_write_1h"] == 6_000_000
    assert rows["known"]["now"]["tiers"][0]["above"] == 200_000


async def test_a_price_that_changes_is_written_down_once(configured: Any, tmp_path: Path) -> None:
    db = Database(tmp_path / "state" / "ringfence.db")
    db.migrate()
    for price in (PRICE, PRICE, "{input: 5, output: 2}"):
        await record_prices(db, configured(price))
    rows = db.call(lambda c: history(c, "claude", "claude-haiku-4-5"))
    assert [json.loads(row.rates or "")["rates"][0] for row in rows] == [1_000_000, 5_000_000]
    assert len(db.call(history)) == 4
    db.close()


async def test_what_a_model_cost_before_is_read_again(configured: Any, tmp_path: Path) -> None:
    db = Database(tmp_path / "state" / "ringfence.db")
    db.migrate()
    old, new = (money_rules(configured(price)).prices for price in (PRICE, "{input: 5, output: 2, batch_percent: 50}"))
    for at_s, prices in ((10.0, old), (20.0, new)):
        rows = {at: (price.source, json.dumps(told_of(price))) for at, price in prices.items()}
        rows["claude", "gone"] = rows["claude", "claude-haiku-4-5"] if at_s < 20 else (UNKNOWN, None)
        db.call(lambda c, at_s=at_s, rows=rows: record(c, at_s, rows))
    db.call(lambda c: record(c, 10.0, {("claude", "broken"): ("the configuration", '{"rates": 7}')}))
    told = {"provider": "claude", "model": "claude-haiku-4-5"}
    price_at = await prices_then(db, new)
    moments = [price_at(*told.values(), at_s) for at_s in (10.0, 19.9, 20.0, 9.9)]
    assert moments == [old[*told.values()]] * 2 + [new[*told.values()]] * 2  # before all that is written: that of now
    assert price_at("claude", "gone", 15.0) == old[*told.values()] and price_at("claude", "gone", 25.0) is None
    assert price_at("claude", "never", 15.0) is None and price_at("claude", "broken", 15.0) is None
    db.close()


@pytest.mark.sqlite("a file in the place of its folder")
async def test_that_it_cannot_be_written_is_told_and_stops_nothing(
    configured: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = Database(tmp_path / "nowhere" / "ringfence.db")
    (tmp_path / "nowhere").write_text("a file in place of a folder")
    with caplog.at_level(logging.WARNING, "ringfence.runtime"):
        await record_prices(db, configured())
    assert "prices are not written down" in caplog.text
    db.close()


def test_nothing_rented_nothing_asked() -> None:
    assert prices_of(Config()) == {}
