"""The table of prices: what it knows, what it does not guess, and that it is what its source said."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from datetime import date
from importlib import resources
from pathlib import Path

import pytest

from ringfence.core.money import Price
from ringfence.core.usage import Usage
from ringfence.prices.shape import price_of, told_of
from ringfence.prices.table import table

OPENAI = "https://api.openai.com/v1"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/openai"
ANTHROPIC = "https://api.anthropic.com"


def price(url: str, model: str) -> Price:
    found = table().price(url, model)
    assert found is not None, model
    return found


@pytest.mark.parametrize(
    ("url", "model", "usage", "micros"),
    [
        # gpt-4o: $2.50, $10, cached $1.25: 600 x 2.5 + 400 x 1.25 + 100 x 10
        (OPENAI, "gpt-4o", Usage(1000, 100, 400), 3_000),
        # its first release costs $5 and $15: 1,000 x 5 + 100 x 15
        (OPENAI, "gpt-4o-2024-05-13", Usage(1000, 100), 6_500),
        # $3, $15, read $0.30, written $3.75 and $6: 100 x 3 + 400 x 0.3 + 300 x 3.75 + 200 x 6 + 100 x 15
        (ANTHROPIC, "claude-sonnet-4-5-20250929", Usage(1000, 100, 400, False, 0, 500, 200), 4_245),
        # Gemini beyond 200,000: $2.50 and $15 in place of $1.25 and $10: 200,001 x 2.5 + 10 x 15, rounded up
        (GOOGLE, "gemini-2.5-pro", Usage(200_001, 10), 500_153),
        (GOOGLE, "models/gemini-2.5-pro", Usage(200_000, 10), 250_100),
        # sonar: $1 and $1, and at most $12 for a thousand calls
        ("https://api.perplexity.ai", "sonar", Usage(100, 100), 12_200),
        # embeddings: 1,000 x 0.02
        (OPENAI, "text-embedding-3-small", Usage(1000), 20),
        ("https://openrouter.ai/api/v1", "qwen/qwen3-coder:free", Usage(1000, 1000), 0),
    ],
)  # fmt: skip
def test_what_it_says_is_what_the_providers_pages_say(url: str, model: str, usage: Usage, micros: int) -> None:
    assert price(url, model).cost(usage) == micros


def test_writing_to_anthropics_cache_costs_a_quarter_more_and_for_an_hour_the_double() -> None:
    for name, place in table().providers["anthropic"]["names"].items():
        if name.startswith(("claude-sonnet", "claude-opus", "claude-haiku")):
            rates = price_of(table().providers["anthropic"]["prices"][place]).rates
            assert rates.cache_write * 100 == rates.input * 125, name
            assert rates.cache_write_1h == rates.input * 2, name


def test_deepseek_costs_more_at_its_hours() -> None:
    flash = price("https://api.deepseek.com/v1", "deepseek-v4-flash")
    assert flash.at(3600 * 0.5).rates.output == 600_000
    assert flash.at(3600 * 1.5).rates.output == flash.at(3600 * 9.9).rates.output == 1_200_000
    assert flash.at(3600 * 10).rates.output == 600_000


def test_a_change_that_was_told_beforehand_comes_by_itself() -> None:
    flash = price(GOOGLE, "gemini-3.7-flash")
    before, after = flash.on(1_798_761_599), flash.on(1_798_761_600)  # 2027-01-01
    assert after.rates.input == 1_500_000
    assert before.rates.input != after.rates.input


@pytest.mark.parametrize(
    ("url", "model"),
    [
        (OPENAI, "gpt-4o-2029-01-01"),  # a release that nobody has priced: an older one cost the double
        (OPENAI, "gpt-4o-search-preview"),  # pays for each search
        (OPENAI, "gpt-realtime"),  # answers with sound
        (OPENAI, "gpt-4o-mini-tts"),
        (OPENAI, "no-such-model"),
        (OPENAI, ""),
        ("https://eu.api.openai.com/v1", "gpt-4o"),  # another price holds there
        ("https://api.openai.com:8443/v1", "gpt-4o"),
        ("https://api.openai.com.example/v1", "gpt-4o"),
        ("http://127.0.0.1:9/v1", "gpt-4o"),
        ("https://my-company.openai.azure.com", "gpt-4o"),
    ],
)
def test_what_it_does_not_know_is_not_guessed(url: str, model: str) -> None:
    assert table().price(url, model) is None


def test_a_day_at_the_end_of_a_name_is_read_where_all_releases_cost_the_same() -> None:
    assert price(ANTHROPIC, "claude-opus-5-5-20271231") == price(ANTHROPIC, "Claude-Opus-5-5")


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5", "claude-haiku-4-5"])
def test_batches_of_messages_cost_half(model: str) -> None:
    """With what is read from a cache and written to it."""
    used, one = Usage(9_000, 1_000, cached_tokens=4_000, cache_write_tokens=2_000), price(ANTHROPIC, model)
    assert one.cost(used, is_batch=True) == -(-one.cost(used) // 2)


@pytest.mark.parametrize("provider", table().providers)
def test_each_price_is_whole(provider: str) -> None:
    for told in table().providers[provider]["prices"]:
        one = price_of(told, "here")
        assert told_of(price_of(told_of(one), "here")) == told_of(one)
        for each in (one, *(late for _, late in one.later)):
            for rates in (each.rates, *(rates for _, rates in each.tiers)):
                assert all(isinstance(rate, int) and 0 <= rate <= 1_000_000_000 for rate in rates)
            assert [above for above, _ in each.tiers] == sorted({above for above, _ in each.tiers})
            assert 0 < each.batch_percent <= 100
            assert each.most(1000, 1000) >= each.most(1000, 1000, is_batch=True)


def test_it_is_dated_and_says_where_it_is_from() -> None:
    assert date.fromisoformat(table().date) >= date(2026, 11, 10)
    assert table().source.startswith("genai-prices ")
    assert price(OPENAI, "gpt-4o").source == f"{table().source}, {table().date}"
    licence = (resources.files("ringfence.prices") / "genai-prices.LICENSE").read_text()
    assert "The MIT License" in licence and "Pydantic Services" in licence


def test_names_are_small_and_lead_to_a_price() -> None:
    for one in table().providers.values():
        assert set(one["names"].values()) == set(range(len(one["prices"])))
        assert all(name == name.lower() for name in one["names"])
        assert set(one["dated"]) <= one["names"].keys()


def test_its_source_is_no_package_that_ringfence_needs() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert not any("genai" in needed for needed in project["dependencies"])


@pytest.mark.slow
def test_it_is_not_read_before_somebody_asks() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, ringfence.runtime.money; print('ringfence.prices.table' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert loaded.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("genai_prices") is None, reason="needs what `make prices` installs")
def test_it_is_what_its_source_says(tmp_path: Path) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    source = resources.files("ringfence.prices")
    (folder / "make_table.py").write_text((source / "make_table.py").read_text())
    subprocess.run([sys.executable, str(folder / "make_table.py"), table().date], check=True, capture_output=True)
    assert (folder / "table.json").read_bytes() == (source / "table.json").read_bytes()
