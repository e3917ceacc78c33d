"""`ringfence parked`, and what `ringfence status` says of it, in front of a made-up gateway over a real socket."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ringfence.cli.main import app
from ringfence.cli.show_parked import parked_page
from ringfence.testing.fake_parking import FakeParking, kept_row
from ringfence.testing.fake_view import FakeView

FIRST, TICKET, DONE = (f"parked-{number:020x}" for number in (2, 4, 6))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def lines_of(text: str, which: str) -> tuple[str, str]:
    lines = text.splitlines()
    place = next(place for place, line in enumerate(lines) if which in line)
    return lines[place], lines[place + 1]


def test_the_list_is_the_queue_in_order(view: FakeView) -> None:
    done = run("parked", "list")
    assert done.exit_code == 0
    assert [one["id"][-1] for one in view.parking.kept if one["id"] in done.output] == list("1234567")
    for one, parts, below in (
        (FIRST, (" 1 ", "waiting", "in 11 min"), ("qwen3-8b for laptop, private, user ", "3 min", "~ 20 s")),
        (TICKET, (" 3 ", "in 21 h 55 min"), ("local/quality for research-agent, private, agent, ticket", "2 h 4 min")),
        (DONE, (" - ", "done"), ("ticket",)),
    ):
        upper, lower = lines_of(done.output, one)
        assert all(part in upper for part in parts) and all(part in lower for part in below)
    assert "4 requests are parked, of at most 1,000." in done.output
    assert "cannot be read" not in done.output


def test_the_list_as_json_is_what_the_gateway_tells(view: FakeView) -> None:
    found = json.loads(run("parked", "list", "--json").stdout)
    assert (found["most"], found["sealed"]) == (1000, "ok")
    told = [{name: row[name] for name in row if not name.endswith("_s")} for row in found["parked"]]
    assert told == [{name: row[name] for name in row if not name.endswith("_s")} for row in view.parking.rows()]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_an_id_is_never_cut_off(columns: int) -> None:
    terminal, waits = Console(width=columns, file=StringIO(), record=True), FakeParking()
    terminal.print(parked_page({"parked": waits.rows(), "most": 1000, "sealed": "ok"}))
    shown = terminal.export_text()
    assert max(map(len, shown.splitlines())) <= columns
    assert FIRST in shown
    assert "…" not in shown


def test_nothing_parked_is_a_sentence(view: FakeView) -> None:
    view.parking.kept.clear()
    done = run("parked", "list")
    assert (done.exit_code, done.output) == (0, "Nothing is parked.\n")


def test_sealed_texts_that_cannot_be_read_are_told(view: FakeView) -> None:
    view.parking.sealed = "unreadable: parking.key is another one"
    view.parking.kept.clear()
    assert "What was parked before cannot be read: parking.key is another one" in run("parked", "list").output


def test_names_are_shown_as_they_are(view: FakeView) -> None:
    view.parking.kept[1]["key"] = "[bold]lap[/bold]top [/]"
    assert "[bold]lap[/bold]top [/]" in run("parked", "list").output
    assert "[bold]lap[/bold]top [/]" in run("parked", "show", FIRST).output


def test_one_is_shown(view: FakeView) -> None:
    done = run("parked", "show", TICKET)
    assert done.exit_code == 0
    for part in (f"{TICKET} is waiting", "research-agent", "agent", "yes:", "2 h 4 min ago", "in 21 h 55 min"):
        assert part in done.output
    assert json.loads(run("parked", "show", TICKET, "--json").stdout)["position"] == 3


def test_one_is_cancelled_and_what_ended_stays_as_it_ended(view: FakeView) -> None:
    done = run("parked", "cancel", FIRST)
    assert (done.exit_code, done.output) == (0, f"Parked request {FIRST} is cancelled.\n")
    assert view.parking.kept[1]["state"] == "cancelled"
    late = run("parked", "cancel", DONE)
    assert (late.exit_code, late.output) == (1, f"Parked request {DONE} could not be cancelled: it is done.\n")
    assert view.parking.kept[5]["state"] == "done"
    assert json.loads(run("parked", "cancel", TICKET, "--json").stdout)["state"] == "cancelled"


@pytest.mark.parametrize("which", ["nobody", "a b", "a/b", "%2e", "ü", "x\r\ny"])
@pytest.mark.parametrize("word", ["show", "cancel"])
def test_an_unknown_id_is_said_in_a_line(view: FakeView, word: str, which: str) -> None:
    done = run("parked", word, which)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "There is no" in done.stderr
    assert {row["state"] for row in view.parking.rows()} == {"waiting", "serving", "done", "unreadable"}


def test_a_token_that_cannot_be_used_is_said_in_a_line(view: FakeView, state: Path) -> None:
    (state / "admin.token").write_text("short")
    done = run("parked", "list")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "admin.token does not hold a token" in done.stderr


@pytest.mark.parametrize("words", [("list",), ("show", FIRST), ("cancel", FIRST), ("list", "--json")])
def test_without_a_gateway(state: Path, words: tuple[str, ...]) -> None:
    done = run("parked", *words)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "Start one with `ringfence up`" in done.stderr


def test_status_tells_how_many_are_parked_and_only_then(view: FakeView) -> None:
    assert "4 requests are parked: see `ringfence parked list`" in run("status").output
    view.sample["parking"]["waiting"] = 1
    assert "1 request is parked: see" in run("status").output
    view.sample["parking"]["waiting"] = 0
    assert "parked" not in run("status").output


def test_a_thousand_are_listed(view: FakeView) -> None:
    view.parking.kept[:] = [kept_row(number, number, 900, key="laptop") for number in range(1000)]
    output = run("parked", "list").output
    assert output.count("parked-") == 1000
    assert "1,000 requests are parked, of at most 1,000." in output
