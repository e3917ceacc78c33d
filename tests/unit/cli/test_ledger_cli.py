"""`ringfence ledger`: against a real database, while another program writes to it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringfence.cli import ledger as ledger_command
from ringfence.cli.main import app
from ringfence.core.ledger import CallRow
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger

NOON_S = 20_000 * 86_400 + 43_200.0  # 2024-10-04T12:00Z
ROW = CallRow(
    "call-0", NOON_S, "key_1", "default", "=cmd()", "chat", "small", "seat/small", "", 200, "ok", True, 900, 100, 0,
    1_234, 0, True, 2_500_000, None, 0.25, 1.5,
)  # fmt: skip


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["ledger", *arguments])


@pytest.fixture
def written(state: Path) -> Iterator[Ledger]:
    """Five calls, an hour apart; the database stays open, as in a gateway that runs."""
    db = Database(state / "ringfence.db")
    db.migrate()

    async def fill() -> Ledger:
        ledger = Ledger(db)
        for number in range(5):
            ledger.record(ROW._replace(id=f"call-{number}", at_s=NOON_S + 3600 * number))
        ledger.record(ROW._replace(id="call-5", at_s=NOON_S + 86_400, outcome="engine_failed", cost_usd_micros=None))
        await ledger.flush()
        return ledger

    yield asyncio.run(fill())
    db.close()


def test_export_and_show(written: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_command, "PAGE", 2)
    done = run("export")
    assert done.exit_code == 0, done.output
    told = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["id"] for row in told] == [f"call-{number}" for number in range(6)]
    assert {row["agent"] for row in told} == {"'=cmd()"}
    assert done.stderr == "6 rows\n"

    some = run("export", "--format", "jsonl", "--since", "2024-10-04T13:00", "--until", "2024-10-04T15:00+00:00")
    objects = [json.loads(line) for line in some.stdout.splitlines()]
    assert [row["id"] for row in objects] == ["call-1", "call-2"]
    assert objects[0]["agent"] == "=cmd()"

    file = tmp_path / "calls.csv"
    assert run("export", "--since", "2024-10-05", "--output", str(file)).exit_code == 0
    assert [row["id"] for row in csv.DictReader(file.open())] == ["call-5"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*.part")] == []

    page = run("show", "-n", "2").stdout
    lines = [line for line in page.splitlines() if "2024-10" in line]
    assert ["unknown" in line and "engine_failed" in line for line in lines] == [True, False]
    assert "$2.50" in lines[1] and "~1,234" in lines[1]
    assert [row["id"] for row in json.loads(run("show", "--json").stdout)][:2] == ["call-5", "call-4"]


@pytest.mark.sqlite("a file that is not there yet; a server is")
def test_without_a_first_start_there_is_none(state: Path) -> None:
    nothing = run("show")
    assert nothing.exit_code == 1
    assert "There is no ledger" in nothing.stderr


def test_what_cannot_be_done_is_said(state: Path, tmp_path: Path) -> None:
    wrong = run("export", "--since", "yesterday")
    assert wrong.exit_code == 2
    assert "--since takes a day, a time or how long ago" in wrong.stderr
    Database(state / "ringfence.db").migrate()
    assert run("show").stdout == "No calls yet.\n"
    assert run("export", "--since", "7d", "--until", "1d").exit_code == 0
    nowhere = run("export", "--output", str(tmp_path / "none" / "calls.csv"))
    assert nowhere.exit_code == 1
    assert "cannot be written: No such file or directory" in nowhere.stderr
