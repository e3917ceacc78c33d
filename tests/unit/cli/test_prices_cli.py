"""`ringfence prices`: what each rented model costs, what is unknown and what to do, and what changed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ringfence.cli.main import app
from ringfence.store.db import Database
from ringfence.store.prices import record

NOON_S = 1_800_014_400.0  # 2027-01-15T12:00Z: DeepSeek asks for more at some hours
CONFIG = """\
state_dir: ./state
providers:
  ds: {url: "https://api.deepseek.com/v1", api_key: "env:K", calls_per_day: 1, max_tokens: 1}
  mine: {url: "https://api.cloud.example/v1", api_key: "env:K", calls_per_day: 1, max_tokens: 1}
models:
  deep: {provider: ds, provider_model: deepseek-v4-flash}
  told: {provider: mine, price: {input: 3, output: 15, per_call: 0.01}}
  strange: {provider: mine}
"""


def said(*words: str) -> Result:
    return CliRunner().invoke(app, ["prices", *words], env={"COLUMNS": "200"})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ringfence.cli.prices.time", SimpleNamespace(time=lambda: NOON_S))
    for name in ("RINGFENCE_CONFIG", "RINGFENCE_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "ringfence.yaml").write_text(CONFIG)
    return tmp_path


def test_every_rented_model_has_a_line_and_an_unknown_one_says_what_to_do() -> None:
    shown = said()
    assert shown.exit_code == 0
    for words in ("ds/deepseek-v4-flash", "$0.003", "the configuration", "unknown", "models.strange.price"):
        assert words in shown.output


def test_one_is_shown_with_all_that_is_known_of_it() -> None:
    shown = said("deep")
    assert shown.exit_code == 0
    assert "from 01:00 to 04:00 UTC" in shown.output and "$1.20" in shown.output
    assert "each call: $0.01" in said("mine/told").output


def test_one_of_the_table_is_shown_before_it_is_rented() -> None:
    shown = said("anthropic/claude-sonnet-4-5", "--json")
    row = json.loads(shown.output)["models"][0]
    assert (row["name"], row["now"]["input"], row["price"]["batch_percent"]) == (None, 3_000_000, 50)


@pytest.mark.parametrize("which", ["strange", "mine/strange", "anthropic/no-such"])
def test_asked_for_one_that_nobody_knows_the_status_is_1(which: str) -> None:
    shown = said(which)
    assert shown.exit_code == 1
    assert "Nobody knows" in shown.output


def test_a_model_that_is_not_there_is_named() -> None:
    shown = said("nothing")
    assert shown.exit_code == 1
    assert "No rented model is named 'nothing'" in shown.output


def test_history_shows_what_was_written_down(here: Path) -> None:
    assert "No price has been written down yet." in said("history").output
    database = Database(here / "state" / "ringfence.db")
    database.migrate()
    for at_s, rates in ((0.0, "[1000000,2000000,0,0,0]"), (86_400.0, "[5000000,2000000,0,0,0]")):
        rows = {("mine", "told"): ("the configuration", f'{{"rates":{rates}}}')}
        database.call(lambda c, at_s=at_s, rows=rows: record(c, at_s, rows))
    database.close()
    shown = said("history").output
    assert "1970-01-01" in shown and "$1.00" in shown and "1970-01-02" in shown and "$5.00" in shown
    found = json.loads(said("history", "mine/told", "--json").output)["prices"]
    assert [row["since_s"] for row in found] == [0.0, 86_400.0]
    assert json.loads(said("history", "mine/other", "--json").output)["prices"] == []
