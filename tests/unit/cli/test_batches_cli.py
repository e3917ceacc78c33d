"""`ringfence batches` in front of a made-up gateway over a real socket."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from ringfence.cli.main import app
from ringfence.testing.fake_view import FakeView

RUNNING, WRONG, DONE = (f"batch_{number:024x}" for number in (3, 2, 1))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["batches", *arguments])


def test_the_list(view: FakeView) -> None:
    done = run("list")
    assert done.exit_code == 0
    assert all(each in done.output for each in (RUNNING, WRONG, DONE, "nightly, private", "in progress", "22 h 57 min"))
    assert "1,200 of 5,000 answered, 3 refused" in done.output and "1 lines are under way." in done.output
    assert json.loads(run("list", "--json").stdout)["batches"] == view.batched
    view.batched.clear()
    assert run("list").output == "There are no batches.\n"


def test_one(view: FakeView) -> None:
    assert f"Batch {WRONG} is failed" in run("show", WRONG).output
    assert "Line 7: Twice." in run("show", WRONG).output
    assert run("show", "nobody").exit_code == 1


def test_cancelled(view: FakeView) -> None:
    done = run("cancel", RUNNING)
    assert done.exit_code == 0 and "is cancelling" in done.output
    assert run("cancel", DONE).exit_code == 1
