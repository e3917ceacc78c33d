"""How `ringfence up` brings its gateway back: at once when it had been ready, not for ever when it does not start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ringfence.cli.outside import Outside
from ringfence.cli.up import LONGEST_WAIT_S, MOST_FAILED_STARTS, Parent, wait_before_start_s
from ringfence.egress.child import EgressProcess

READY, DEAD = True, False


class Scripted(Parent):
    """Its gateways live as they are told to, in no time; after the last one it is asked to end."""

    def __init__(self, *lives: bool) -> None:
        spec = {"config": None, "overrides": {}, "log_file": "the log", "cloud_keys": []}
        super().__init__(spec, as_json=True, open_console=False, console=Console())
        self._lives = iter(lives)
        self.lived = 0

    def _live_once(self) -> int:
        was_ready = next(self._lives, None)
        self._ending = was_ready is None
        if was_ready:
            self._told({"ready": {"base_url": "http://127.0.0.1:7464/v1"}})
        self.lived += was_ready is not None
        return -9


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The waits between two lives, none of which happens."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    yield waits


def _run(parent: Scripted) -> int:
    return parent.run(Outside(None, {}, parent.warn))


def test_one_that_was_ready_comes_back_at_once_however_often_it_dies(slept: list[float]) -> None:
    parent = Scripted(*[READY] * 100)
    assert _run(parent) == 0
    assert parent.lived == 100
    assert max(slept) <= 0.1


def test_one_that_does_not_start_any_more_is_given_up(slept: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    parent = Scripted(READY, *[DEAD] * 100)
    assert _run(parent) == 1
    assert parent.lived == 1 + MOST_FAILED_STARTS
    assert "ended with status -9; see the log" in capsys.readouterr().out
    assert slept == sorted(slept)


def test_one_that_never_was_ready_is_given_up_at_once(slept: list[float]) -> None:
    parent = Scripted(DEAD, READY)
    assert _run(parent) == 1
    assert (parent.lived, slept) == (1, [])


def test_a_start_in_between_makes_failures_count_anew(slept: list[float]) -> None:
    parent = Scripted(*([READY] + [DEAD] * (MOST_FAILED_STARTS - 1)) * 3)
    assert _run(parent) == 0
    assert parent.lived == 3 * MOST_FAILED_STARTS


def test_waits_are_bounded() -> None:
    waits = [wait_before_start_s(count) for count in range(20)]
    assert waits == sorted(waits)
    assert waits[0] <= 0.1
    assert waits[-1] == LONGEST_WAIT_S


def test_before_another_life_the_configuration_is_looked_at_only_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "ringfence.yaml"
    file.write_text("models: {demo: {source: demo}}\n")
    outside = Outside(file, {}, lambda _line: None)
    outside.prepare()
    assert outside.catch_up() == ""
    file.write_text("providers: [\n")
    assert "ringfence.yaml" in outside.catch_up()
    assert outside.catch_up() == ""  # told once


def test_another_state_folder_does_not_move_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(EgressProcess, "start", lambda process: told.append(process._settings))
    monkeypatch.setattr(EgressProcess, "change", lambda _process, settings: told.append(settings))
    monkeypatch.setenv("ONE_KEY", "k")
    file = tmp_path / "ringfence.yaml"

    def write(folder: str, cap: int) -> None:
        provider = f"{{url: https://a.example, api_key: env:ONE_KEY, calls_per_day: {cap}, max_tokens: 1}}"
        file.write_text(f"state_dir: {tmp_path / folder}\nproviders: {{p: {provider}}}\n")

    write("first", 1)
    outside = Outside(file, {}, lambda _line: None)
    outside.prepare()
    outside.start()
    write("second", 2)
    assert outside.asked("change") == ""
    file.write_text("models: {demo: {source: demo}}\n")
    assert outside.asked("change") == ""
    write("third", 3)
    assert outside.asked("change") == ""
    assert [row["providers"][0]["calls_per_day"] for row in told] == [1, 2, 3]
    for name in ("socket", "journal", "log_file"):
        assert {row[name] for row in told} == {told[0][name]}
        assert told[0][name].startswith(str(tmp_path / "first"))
