"""`ringfence keys` with budgets: what is asked of a gateway that runs, and what is written where none does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from rich.table import Table
from typer.testing import CliRunner

from ringfence.cli.main import app
from ringfence.cli.show import keys_page, money_lines
from ringfence.core.ledger import CallRow
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger
from ringfence.testing.fake_view import FakeView


def invoked(*words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["keys", *words])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.slow
def test_with_a_gateway(view: FakeView) -> None:
    made = json.loads(
        invoked(
            "create", "laptop", "--budget-day", "5", "--budget-call", "0.25", "--soft-percent", "50", "--json"
        ).stdout
    )
    wanted = {"day": 5_000_000, "week": None, "month": None, "call": 250_000, "soft_percent": 50}
    assert made["budget"] == wanted
    told = invoked("budget", made["id"], "--budget-day", "none", "--budget-month", "$12.5").stdout
    assert told == f"{made['id']} (laptop) may spend $12.50 a month, $0.25 a call; its soft limit is 50 %.\n"
    listed = invoked("list").stdout
    assert "$0.00 of $12.50 a month" in listed and "$0.25 a call" in listed
    bare = invoked("budget", made["id"], "--budget-month", "none", "--budget-call", "none")
    assert bare.stdout.endswith("may spend whatever the house and its profile allow.\n")
    assert invoked("budget", "nobody", "--budget-day", "1", code=1).stderr == "There is no key 'nobody'.\n"


@pytest.mark.slow
def test_without_one(state: Path) -> None:
    made = json.loads(invoked("create", "laptop", "--budget-week", "3", "--json").stdout)
    assert made["budget"]["week"] == 3_000_000
    changed = json.loads(invoked("budget", "laptop", "--budget-day", "0", "--json").stdout)
    assert (changed["budget"]["day"], changed["budget"]["week"]) == (0, 3_000_000)
    assert "There is no key 'nobody'" in invoked("budget", "nobody", "--budget-day", "1", code=1).stderr


async def test_what_is_spent_in_the_period_is_told(state: Path) -> None:
    made = json.loads(invoked("create", "laptop", "--budget-month", "3", "--json").stdout)
    db = Database(state / "ringfence.db")
    ledger = Ledger(db)
    for at_s, cost in ((4e9, 1_250_000), (1e9, 7_000_000)):
        ledger.record(CallRow(
            f"call{cost}", at_s, made["id"], "default", "", "chat", "smart", "cloud/smart", "cloud", 200, "ok", False,
            1, 0, 0, 1, 0, False, cost, None, 0.0, 0.0,
        ))  # fmt: skip
    await ledger.flush()
    db.close()
    (row,) = json.loads(invoked("list", "--json").stdout)
    assert (row["spent"]["month"], row["cost_usd_micros"]) == (1_250_000, 8_250_000)
    cells = [cell for column in cast(Table, keys_page([row])).columns for cell in column.cells]
    assert "$1.25 of $3.00 a month" in cells and "$8.25" in cells


@pytest.mark.parametrize("amount", ["-1", "much", "nan", "10000001"])
def test_what_is_no_amount(state: Path, amount: str) -> None:
    assert "a number of US dollars" in invoked("create", "x", f"--budget-day={amount}", code=2).stderr
    assert "at least $0.000001" in invoked("create", "x", "--budget-day=0.0000001", code=2).stderr
    assert "Say which" in invoked("budget", "x", code=2).stderr


def test_the_status_page_tells_of_caps_that_matter() -> None:
    cap = {"scope": "house", "name": "", "period": "month", "limit": 100_000_000, "spent": 0, "held": 0,
           "projected": None, "soft_percent": 75, "is_soft": False, "is_ahead": False}  # fmt: skip
    near = cap | {"scope": "key", "name": "laptop", "limit": 1_000_000, "spent": 900_000, "held": 50_000,
                  "is_soft": True, "is_ahead": True, "projected": 1_800_000}  # fmt: skip
    above = {"provider": "cloud", "target": "cloud/smart", "held": 40_000, "cost": 50_000}
    assert money_lines({"can_write": True, "caps": [cap], "above_held": []}, is_paid=False) == []
    told = {"can_write": False, "caps": [cap, near, near | {"held": 100_000}], "above_held": [above]}
    ledger, house, key, full, other = money_lines(told, is_paid=True)
    assert "the ledger cannot be written, so nothing is paid for" in ledger
    assert house == "Money     the house: $0.00 of $100.00 a month spent, $100.00 left"
    assert "key laptop: $0.90 of $1.00 a month spent, $0.05 held, $0.05 left" in key
    assert "past its soft limit (75 %)" in key and "$1.80 at this pace, 80 % above it" in key
    assert full.endswith("$0.90 of $1.00 a month spent, $0.10 held; [red]used up[/]")
    assert "a call at cloud/smart cost $0.05, and $0.04 was held" in other
