"""`ringfence cost`: what it tells of a ledger, with and without a gateway, what-if, and the reports."""

from __future__ import annotations

import asyncio
import json
import os
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ringfence.cli import show_cost
from ringfence.cli.main import reduced
from ringfence.cli.spending import Books, assumed
from ringfence.cli.spent import spent
from ringfence.core.ledger import CallRow, HoldRow
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger

COST = reduced(["cost"])
CAP = {
    "scope": "house", "name": "", "label": "", "period": "month", "limit_usd_micros": 100_000_000,
    "spent_usd_micros": 60_000_000, "held_usd_micros": 25_000_000, "soft_percent": 80, "begins_s": 0, "ends_s": 1,
}  # fmt: skip

SMALL = CAP | {
    "scope": "key", "label": "tiny", "limit_usd_micros": 125_000, "spent_usd_micros": 3_042, "held_usd_micros": 0
}  # fmt: skip
"""What is left of it is no cent more than there is."""


@pytest.fixture
def ledger(state: Path) -> Path:
    """A minute ago: one local call, one rented one of $2, one of which nobody knows the price; a kept answer."""
    database = Database(state / "ringfence.db")
    database.migrate()
    at_s = max(time.time() - 60, Books(None).start_s("today"))
    plain = CallRow(
        "call", at_s, "key_1", "default", "", "chat", "small", "t", "", 200, "ok", False, 200_000, 0, 0, 50_000, 0,
        False, 0, None, 0.1, 1.0,
    )  # fmt: skip

    async def write() -> None:
        books = Ledger(database)
        books.record(plain)
        books.record(plain._replace(id="call_2", model="big", provider="openai", cost_usd_micros=2_000_000))
        books.record(plain._replace(id="call_3", model="new", provider="openai", cost_usd_micros=None, input_tokens=0))
        books.record(plain._replace(id="call_4", outcome="cached"))
        await books.hold(
            HoldRow("hold_1", "call_5", at_s, "key_1", "default", "", "chat", "big", "t", "openai", 30_000)
        )
        await books.flush()

    asyncio.run(write())
    database.close()
    return state


def run(*words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(COST, ["cost", *words])
    assert done.exit_code == code, done.output
    return done


def test_nothing_was_called_yet(state: Path) -> None:
    found = json.loads(run("--json").stdout)
    assert found["month"]["calls"] == 0
    assert found["caps"] is None
    assert list(state.iterdir()) == []  # who only looks leaves nothing behind
    page = run("--by", "model").stdout
    assert "There was no call in the last 30 days." in page and "No calls this month." in page


@pytest.mark.usefixtures("ledger")
def test_it_tells_what_was_paid_who_answered_and_what_was_saved() -> None:
    found = json.loads(run("--json", "--by", "model").stdout)
    today = found["today"]
    assert today == found["month"]
    assert (today["calls"], today["cost_usd_micros"], today["unpriced_calls"]) == (4, 2_000_000, 1)
    assert (today["local_tokens"], today["cloud_tokens"], today["kept_tokens"]) == (250_000, 300_000, 250_000)
    # At $3 and $15: 200K and 50K twice, and 50K of output alone.
    assert today["elsewhere_usd_micros"] == 2 * (600_000 + 750_000) + 750_000
    assert today["saved_usd_micros"] == 3_450_000 - 2_000_000
    assert found["held"] == {"holds": 1, "usd_micros": 30_000}
    assert len(found["days"]) == len(found["sparkline"]) == 30
    assert found["sparkline"][-1] == "█"
    assert [part["name"] for part in found["parts"]] == ["big", "small", "new"]
    assert "Calls this month, by model:" in run("--by", "model").stdout
    assert "Calls in the last 7d, by key:" in run("--by", "key", "--since", "7d").stdout
    page = run("--by", "provider").stdout
    for words in ("$2.00", "$1.45 this month (42.0 %)", "$0.03 for 1 call under way", "own engines", "$2.00 + ?"):
        assert words in page


@pytest.mark.usefixtures("ledger")
def test_it_tells_by_whom() -> None:
    for by in ("key", "profile", "agent", "target", "day", "outcome"):
        found = spent(None, "1d", by, "month", None)["parts"]
        assert sum(part["calls"] for part in found) == 4, by
        assert sum(part["cost_usd_micros"] for part in found) == 2_000_000, by


def test_caps_are_shown_with_what_is_left() -> None:
    sums = {
        "calls": 0, "cost_usd_micros": 0, "unpriced_calls": 0, "local_tokens": 0, "cloud_tokens": 0, "kept_tokens": 0,
        "elsewhere_usd_micros": 0, "saved_usd_micros": 0, "energy_j": 0.0, "electricity_usd_micros": None,
    }  # fmt: skip
    found = {
        "zone": "UTC", "today": sums, "month": sums, "held": {"holds": 0, "usd_micros": 0}, "days": [],
        "caps": [CAP, CAP | {"limit_usd_micros": None}, SMALL], "against": {"scenario": "all-frontier", "price": ""},
        "call_caps": [{"scope": "profile", "name": "bold", "label": "bold", "limit_usd_micros": 500_000}],
        "usd_per_kwh": None,
    }  # fmt: skip
    out = StringIO()
    Console(file=out, width=120).print(show_cost.cost_page(found))
    rows = [line.split() for line in out.getvalue().splitlines() if " a month " in line]
    assert rows == [
        ["house", "$100.00", "a", "month", "$60.00", "$25.00", "$15.00"],
        ["key", "tiny", "$0.125", "a", "month", "$0.003042", "$0.00", "$0.121958"],
    ]
    assert "profile bold $0.50 a call" in " ".join(out.getvalue().split())


def with_energy(state: Path, *calls: tuple[str, float, float | None]) -> None:
    """Local calls of 120 tokens: their ids, when, and what they took."""
    database = Database(state / "ringfence.db")
    database.migrate()

    async def write() -> None:
        books = Ledger(database)
        for name, at_s, energy_j in calls:
            books.record(CallRow(
                name, at_s, "key_1", "default", "", "chat", "small", "t", "", 200, "ok", False, 100, 0, 0, 20, 0,
                False, 0, energy_j, 0.1, 1.0,
            ))  # fmt: skip
        await books.flush()

    asyncio.run(write())
    database.close()


def said(tmp_path: Path, money: str) -> list[str]:
    file = tmp_path / "with-money.yaml"
    file.write_text(f"money: {{{money}}}\n", encoding="utf-8")
    return ["--config", str(file)]


def test_electricity_has_one_price_for_all_that_is_shown(state: Path, tmp_path: Path) -> None:
    """2 kWh: at the price of the configuration, and at that of a file of assumptions where one is given."""
    at_s = max(time.time() - 60, Books(None).start_s("today"))
    with_energy(state, ("call", at_s, 7_200_000.0))
    assert "2.0 kWh this month at own engines; money.usd_per_kwh says" in " ".join(run().stdout.split())
    config = said(tmp_path, "usd_per_kwh: 0.25")
    found = json.loads(run("--json", *config).stdout)
    assert (found["usd_per_kwh"], found["month"]["electricity_usd_micros"]) == (0.25, 500_000)
    assert found["month"]["cost_usd_micros"] == 0, "what is paid is not what is drawn"
    page = " ".join(run("--by", "model", *config).stdout.split())
    assert "Electricity $0.50 this month at own engines: 2.0 kWh at $0.25, an estimate; no cap counts it" in page
    assert "small 1 120 0 0 $0.00 $0.50" in page
    (was, *_) = json.loads(run("whatif", "--json", *config).stdout)["scenarios"]
    assert (was["scenario"], was["electricity_usd_micros"]) == ("as it was", 500_000)
    html = tmp_path / "report.html"
    run("report", "--html", str(html), *config)
    assert "2.0 kWh at $0.25, an estimate; in no cap" in html.read_text(encoding="utf-8")


@pytest.mark.usefixtures("state")
def test_what_a_file_of_assumptions_says_of_electricity_goes_first(tmp_path: Path) -> None:
    config, mine = said(tmp_path, "usd_per_kwh: 0.32"), tmp_path / "mine.yaml"
    assert assumed(None, None).usd_per_kwh == 0.16, "as in the reference month"
    found = json.loads(run("whatif", "--tokens-per-day", "2M", "--scenario", "hybrid", "--json", *config).stdout)
    assert found["scenarios"][0]["electricity_usd_micros"] == 31_968_000  # 99.9 kWh
    text = run("whatif", "--print-assumptions", *config).stdout
    (line,) = [line for line in text.splitlines(keepends=True) if "usd_per_kwh:" in line]
    assert line.split("#")[0].split() == ["usd_per_kwh:", "0.32"]
    mine.write_text(text.replace(line, "usd_per_kwh: 0.08\n"), encoding="utf-8")
    assert assumed(mine, 0.32).usd_per_kwh == 0.08
    mine.write_text(text.replace(line, ""), encoding="utf-8")
    assert assumed(mine, 0.32).usd_per_kwh == 0.32


def test_days_have_what_was_done_in_them_and_none_but_those_asked_for(state: Path) -> None:
    """The last day of the month before is none of this month; where it is shown, all of it is."""
    month_s, now_s = Books(None).start_s("month"), time.time()
    first_s = Books(None).start_s("today") - 29 * 86_400
    with_energy(state, ("last month", month_s - 3600, None), ("now", now_s, None), ("first shown", first_s + 1, None))
    by_day = spent(None, None, "day", "month", None)
    assert sum(part["calls"] for part in by_day["parts"]) == by_day["month"]["calls"] < 3
    assert min(part["name"] for part in by_day["parts"]) >= time.strftime("%Y-%m-01", time.gmtime(now_s))
    shown = spent(None, None, None, "month", None)["days"]
    assert (len(shown), shown[0]["calls"]) == (30, 1 + int(first_s == month_s - 86_400))
    exact = spent(None, "30m", None, "month", None)
    assert exact["chosen"]["calls"] == 1 and "In the last 30m" in run("--since", "30m").stdout


@pytest.mark.usefixtures("ledger")
def test_the_ledger_is_replayed() -> None:
    found = json.loads(run("whatif", "--json", "--scenario", "all-frontier", "--scenario", "all-cheap").stdout)
    bills = {one["scenario"]: one for one in found["scenarios"]}
    assert bills["as it was"]["rented_usd_micros"] == 2_000_000
    assert bills["all-frontier"]["whole_usd_micros"] == 3_450_000
    assert bills["all-cheap"]["whole_usd_micros"] == 400_000 * 60 // 100 + 150_000 * 220 // 100
    assert found["inflections"] == []
    page = " ".join(run("whatif", "--scenario", "all-frontier").stdout.split())
    assert "The ledger of one day again: 550,000 tokens, 550K a day; $2.00 was paid for them." in page
    assert "until the hardware is paid for; it saves" in page and "saves -" not in page


def test_without_a_ledger_it_asks_for_a_statement(state: Path) -> None:
    assert "--tokens-per-day 2M" in run("whatif", code=1).output


@pytest.mark.usefixtures("state")
def test_stated_traffic_other_assumptions_and_a_report(tmp_path: Path) -> None:
    text = run("whatif", "--print-assumptions").stdout
    assert "# given" in text
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("capex_usd: 1800", "capex_usd: 2400"), encoding="utf-8")
    html = tmp_path / "whatif.html"
    page = run("whatif", "--tokens-per-day", "2M", "--assumptions", str(mine), "--html", str(html)).stdout
    assert "$196.98" in page  # $25 more than $171.98
    assert "all-cheap costs least: $84.00." in page
    written = html.read_text(encoding="utf-8")
    assert "$196.98" in written and "capex_usd: 2400" in written and written.count("<svg") == 1
    halved = json.loads(run("whatif", "--tokens-per-day", "1m", "--output-share", "0", "--json").stdout)
    assert halved["scenarios"][0]["whole_usd_micros"] == 30 * 3_000_000


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--tokens-per-day", "many"), 2, "takes a number"),
        (("--tokens-per-day", "2M", "--since", "1d"), 2, "give one of it"),
        (("--output-share", "0.5"), 2, "goes with"),
        (("--tokens-per-day", "2M", "--scenario", "none"), 1, "There is no scenario 'none'; there are all-frontier"),
        (("--since", "yesterday"), 2, "takes a day"),
        (("--assumptions", "none.yaml"), 1, "none.yaml cannot be read"),
    ],
)
def test_what_makes_no_sense_is_said(words: tuple[str, ...], code: int, told: str) -> None:
    assert told in " ".join(run("whatif", *words, code=code).output.replace("│", " ").split())


@pytest.mark.usefixtures("ledger")
def test_the_report_is_one_file_with_three_pictures(tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    run("report", "--html", str(html))
    text = html.read_text(encoding="utf-8")
    assert text.count("<svg") == 3
    assert "$2.00" in text and "own engines" in text
    assert "<script" not in text
    assert "src=" not in text and "href=" not in text
    assert "cannot be written" in run("report", "--html", str(tmp_path / "no" / "report.html"), code=1).output


def test_the_configuration_that_the_gateway_was_started_with_is_read(state: Path, tmp_path: Path) -> None:
    """As with `ringfence up --config`: nobody has to name it again; a gateway that is gone has none."""
    with_energy(state, ("call", time.time(), 3_600_000.0))
    file = tmp_path / "elsewhere.yaml"
    file.write_text("money: {usd_per_kwh: 0.5}\n", encoding="utf-8")
    note = {"pid": os.getpid(), "base_url": "http://127.0.0.1:1/v1", "started_s": time.time(), "config": str(file)}
    (state / "run.json").write_text(json.dumps(note), encoding="utf-8")
    assert json.loads(run("--json").stdout)["usd_per_kwh"] == 0.5
    (state / "run.json").write_text(json.dumps(note | {"pid": 2**22 + 1}), encoding="utf-8")
    assert json.loads(run("--json").stdout)["usd_per_kwh"] is None
