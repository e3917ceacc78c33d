"""`ringfence plan`, `modes` and `mode`, in front of a made-up gateway over a real socket."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ringfence.cli import placing
from ringfence.cli.main import app
from ringfence.cli.show_plan import modes_page, plan_page, short_id
from ringfence.testing.fake_placement import IMAGES, sample_model, sample_modes, sample_plan
from ringfence.testing.fake_view import FakeView

GIB = 1024**3
CALM: dict[str, Any] = {
    "actions": [], "waiting": [], "refused": [], "asked_again_in_s": None, "models": [], "mode": None, "recent": [],
}  # fmt: skip

READY = sample_model("a", "ready", {})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "ASK_EVERY_S", 0.01)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def on_screen(page: Any, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(page, crop=False)
    return console.file.getvalue()  # type: ignore[attr-defined]


def said(**changes: Any) -> str:
    return on_screen(plan_page(CALM | changes), 100)


# -- the plan


def test_the_plan_tells_what_would_be_done_who_waits_and_where_models_are(view: FakeView) -> None:
    done = run("plan")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    for parts in (
        ("unload", "tts-kokoro", "cpu 400 MiB", "it failed 3 times in a row"),
        ("recall", IMAGES, "GPU-3060 4.0 GiB", "qwen3-8b needs it"),
        ("load", "vision-7b", "sim0 5.0 GiB", "1 caller waits for it"),
        ("llama3.3-70b", "in about 48 s", "qwen3-14b serves 1 request"),
        ("mixtral-8x22b", "not as things are", "it takes 79.0 GiB"),
        ("qwen3-8b", "P0 always", "ready", "GPU-4090 18.1 GiB", "3 running, 1 waiting"),
        ("coder-80b", "P2 lazy", "sleeping", "sim0 1.0 GiB", "idle 30 min"),
        ("11 min ago", "grant", IMAGES, "its room is free"),
    ):
        assert any(all(part in line for part in parts) for line in lines), parts
    assert [line.split()[0] for line in lines[4:7]] == ["unload", "recall", "load"]
    assert "looked at again in 4 s" in done.output
    assert "asking does nothing" in done.output


def test_the_plan_as_json_is_what_the_gateway_tells(view: FakeView) -> None:
    assert json.loads(run("plan", "--json").stdout) == view.placement.plan


@pytest.mark.parametrize(("changes", "words"), [
    ({}, "no model of this configuration is placed by Ringfence"),
    ({"models": [READY, sample_model("b", "absent", {})]}, "nobody waits, and 1 of 2 models is ready"),
    ({"models": [READY], "refused": [{"name": "b", "reason": "too large"}]}, "cannot come"),
    ({"models": [READY], "waiting": [{"name": "b", "reason": "c", "estimate_s": 4}]}, "those who wait are"),
])  # fmt: skip
def test_nothing_to_do_is_calm(changes: dict[str, Any], words: str) -> None:
    text = said(**changes)
    assert text.startswith("Nothing to do: ")
    assert words in text
    assert "To be done" not in text


def test_nothing_at_all_is_one_line() -> None:
    assert len(said().splitlines()) == 1


def test_a_mode_that_is_on_stands_first_and_bytes_that_were_not_observed_are_marked() -> None:
    text = said(mode="forensic", models=[sample_model("a", "starting", {"gpu": GIB}, basis="predicted")])
    assert text.startswith("Mode forensic is on.")
    assert "(predicted)" in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_screen_and_nothing_is_cut(width: int) -> None:
    long = sample_plan(0.0)
    long["models"][0] |= {"name": "m" * 90, "devices": {"GPU-8f6c1d2e-1111-2222-3333-444444444444": GIB}}
    for page in (plan_page(long), modes_page(sample_modes(0.0))):
        text = on_screen(page, width)
        assert max(len(line) for line in text.splitlines()) <= width
        assert "…" not in text


def test_names_are_shown_as_they_are() -> None:
    text = said(actions=[{"what": "load", "name": "[red]a[/red]", "devices": {}, "cause": "", "reason": "[b]c[/]"}])
    assert "[red]a[/red]" in text and "[b]c[/]" in text


def test_long_ids_are_told_by_their_first_part() -> None:
    assert short_id("GPU-8f6c1d2e-1111-2222-3333-444444444444") == "GPU-8f6c1d2e"
    assert short_id("amd-0000:03:00.0") == "amd-0000:03:00.0"


# -- modes


def test_modes_are_listed_with_what_belongs_to_them_and_the_switch_under_way(view: FakeView) -> None:
    lines = run("modes").output.splitlines()
    for parts in (
        ("No mode is on",), ("forensic", "GPU-4090", "llama3.3-70b", "-"), ("creative", "images"),
        ("from no mode to creative goes on since",), ("qwen3-14b takes no new requests",),
    ):  # fmt: skip
        assert any(all(part in line for part in parts) for line in lines), parts
    assert json.loads(run("modes", "--json").stdout) == view.placement.modes
    assert run("mode").output.splitlines()[0] == lines[0]


def test_no_modes_are_two_sentences(view: FakeView) -> None:
    view.placement.modes = {"modes": [], "now": None, "switch": None}
    assert run("modes").output == "No mode is on: devices are for everybody.\nThe configuration has no modes.\n"


def test_a_switch_tells_its_steps_as_they_come_and_how_it_ended(view: FakeView) -> None:
    view.placement.script = ["qwen3-8b takes no new requests", "qwen3-8b stopped", "llama3.3-70b is ready", "done"]
    done = run("mode", "forensic")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line[10:] for line in lines[:-1]] == view.placement.script[:-1]
    assert lines[-1] == "Mode forensic is on."
    assert view.placement.asked == ["forensic"]
    assert "switch" not in run("modes").output


def test_a_switch_that_was_rolled_back_says_why_and_is_a_failure(view: FakeView) -> None:
    view.placement.script = ["qwen3-8b stopped", "rolled back: llama3.3-70b was not ready after 300 s"]
    done = run("mode", "forensic")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[0].endswith("qwen3-8b stopped")
    assert done.stderr == (
        "Rolled back: llama3.3-70b was not ready after 300 s. No mode is on: devices are for everybody.\n"
    )
    told = json.loads(run("mode", "forensic", "--json").stdout)
    assert told["switch"]["outcome"] == view.placement.script[-1]
    assert run("mode", "forensic", "--json").exit_code == 1
    assert "was rolled back: llama3.3-70b was not ready" in run("modes").output


def test_off_is_no_mode(view: FakeView) -> None:
    view.placement.modes["now"] = "audio"
    view.placement.script = ["done"]
    done = run("mode", "off")
    assert (done.exit_code, done.output) == (0, "No mode is on: devices are for everybody.\n")
    assert view.placement.asked == [None]


def test_who_does_not_wait_is_told_that_it_has_begun(view: FakeView) -> None:
    view.placement.script = ["rolled back: never"]
    done = run("mode", "audio", "--no-wait")
    assert (done.exit_code, done.output) == (
        0, "The switch to audio has begun; `ringfence modes` tells how it goes.\n",
    )  # fmt: skip
    assert json.loads(run("mode", "audio", "--no-wait", "--json").stdout)["switch"]["outcome"] is None


def test_a_mode_that_is_on_already_is_no_switch(view: FakeView, monkeypatch: pytest.MonkeyPatch) -> None:
    view.placement.modes |= {"now": "audio", "switch": None}
    monkeypatch.setattr(view.placement, "switch", lambda _name: view.placement.now())
    for words in (("mode", "audio"), ("mode", "audio", "--no-wait")):
        done = run(*words)
        assert (done.exit_code, done.output) == (0, "Mode audio is on.\n")


def test_another_switch_meanwhile_is_said(view: FakeView, monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = view.placement.now, view.placement.asked

    def by_somebody_else() -> dict[str, Any]:
        if asked == ["forensic"]:
            view.placement.switch("audio")
        return now()

    monkeypatch.setattr(view.placement, "now", by_somebody_else)
    done = run("mode", "forensic")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Another switch was asked for meanwhile." in done.stderr


def test_an_unknown_mode_is_said_with_the_nearest(view: FakeView) -> None:
    done = run("mode", "forensics")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "did you mean 'forensic'?" in done.stderr


def test_an_interrupt_leaves_the_switch_alone(view: FakeView, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(placing.time, "sleep", interrupted)
    done = run("mode", "audio")
    assert done.exit_code == 130
    assert "The switch goes on" in done.stderr


@pytest.mark.parametrize("words", [("plan",), ("modes",), ("mode", "audio"), ("devices",)])
def test_without_a_gateway(state: Path, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "Start one with `ringfence up`" in done.stderr
