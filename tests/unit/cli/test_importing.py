"""`ringfence import litellm`: what it writes, what it says, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringfence.cli.main import app

FIXTURES = Path(__file__).parents[1] / "config" / "litellm"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RINGFENCE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def invoked(*words: str, given: str | None = None) -> Any:
    return CliRunner().invoke(app, ["import", "litellm", *words], input=given)


def test_all_of_it_taken(folder: Path) -> None:
    done = invoked(str(FIXTURES / "whole.yaml"))
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "wrote ringfence.yaml: 1 model, 1 profile\n"
    checked = CliRunner().invoke(app, ["config", "check"])
    assert checked.exit_code == 0, checked.output
    again = invoked(str(FIXTURES / "whole.yaml"))
    assert again.exit_code == 2 and "not overwritten" in again.stderr


def test_with_remarks(folder: Path) -> None:
    done = invoked(str(FIXTURES / "clouds.yaml"), "--out", "made.yaml")
    assert done.exit_code == 1
    assert "left out  litellm_settings.max_budget: budgets are set for the house, for profiles, " in done.stderr
    assert "only keys of profile 'cloud' reach them" in done.stdout
    keys = dict.fromkeys(("GROQ_API_KEY", "ANTHROPIC_API_KEY", "LLM_EXAMPLE_COM_API_KEY"), "made-up")
    checked = CliRunner().invoke(app, ["config", "check", "-c", "made.yaml"], env=keys)
    assert checked.exit_code == 0, checked.output


def test_as_json_and_to_standard_output() -> None:
    source = (FIXTURES / "clouds.yaml").read_text()
    found = json.loads(invoked("-", "--out", "-", "--json", given=source).stdout)
    assert (found["ok"], found["whole"], found["file"]) == (True, False, None)
    assert found["providers"] == ["groq", "anthropic", "example"]
    assert {"path", "line", "state", "why", "do"} == set(found["remarks"][0])
    plain = invoked("-", "--out", "-", given=source)
    assert plain.stdout == found["text"] and plain.exit_code == 1
    assert not Path("ringfence.yaml").exists()


@pytest.mark.parametrize(
    ("content", "said"), [("model_list: []", "no model"), ("a: [", "YAML"), ("server: {port: 1}", "model_list")]
)
def test_what_is_none_writes_nothing(content: str, said: str) -> None:
    Path("config.yaml").write_text(content)
    done = invoked("config.yaml")
    assert done.exit_code == 2 and said in done.stderr and not Path("ringfence.yaml").exists()
    problems = json.loads(invoked("config.yaml", "--json").stdout)
    assert problems["ok"] is False and problems["problems"]


def test_what_cannot_be_read_or_written(folder: Path) -> None:
    assert "cannot be read: no such file" in invoked("nowhere.yaml").stderr
    done = invoked(str(FIXTURES / "whole.yaml"), "--out", "nowhere/made.yaml")
    assert done.exit_code == 2 and "cannot be written" in done.stderr
