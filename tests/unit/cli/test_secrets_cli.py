"""`ringfence secrets check`: what stands where, who reads it, and what is wrong; never a value."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ringfence.cli.main import app

KEY = "sk-canary-3f9a1c77d2"
CONFIG = """\
state_dir: ./state
providers:
  groq: {url: "https://api.groq.com/openai/v1", api_key: "file:FOLDER/groq.key", calls_per_day: 1, max_tokens: 1}
  kimi: {url: "https://api.moonshot.ai/v1", api_key: "env:KIMI", calls_per_day: 1, max_tokens: 1}
models:
  near:
    url: http://127.0.0.1:9
    api_key: credential:near
"""
Check = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIMI", KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    for name in ("RINGFENCE_CONFIG", "RINGFENCE_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "ringfence.yaml").write_text(CONFIG.replace("FOLDER", str(tmp_path)))
    (tmp_path / "credentials").mkdir()
    (tmp_path / "state").mkdir()
    for name in ("groq.key", "credentials/near", "state/pepper", "state/credentials.json"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(KEY + "\n")
    return tmp_path


def check(*words: str) -> Result:
    result = CliRunner().invoke(app, ["secrets", "check", *words])
    assert KEY not in result.output
    return result


def told(*words: str, code: int = 0) -> dict[str, Any]:
    result = check("--json", *words)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_all_is_well(here: Path) -> None:
    found = told()
    assert (found["ok"], found["file"], found["problems"]) == (True, "ringfence.yaml", [])
    rows = {row["setting"]: row for row in found["secrets"]}
    groq, kimi, near = (rows[f"{name}.api_key"] for name in ("providers.groq", "providers.kimi", "models.near"))
    assert (groq["where"], groq["needed_by"], groq["mode"]) == ("ringfence.yaml:3", "egress", "0600")
    assert (groq["file"], groq["length"], groq["owner"]) == (f"{here}/groq.key", len(KEY), (here / "groq.key").owner())
    assert (kimi["where"], kimi["needed_by"], kimi["file"]) == ("ringfence.yaml:4", "egress", None)
    assert (near["where"], near["needed_by"], near["file"]) == (
        "ringfence.yaml:8",
        "gateway",
        f"{here}/credentials/near",
    )
    assert [Path(row["file"]).name for row in found["state"]] == ["pepper", "credentials.json"]
    page = check()
    assert page.exit_code == 0
    assert "✓ providers.kimi.api_key  env:KIMI  (egress)\n  ringfence.yaml:4, 20 characters\n" in page.stdout


def test_each_fault_is_told_with_its_mend(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "groq.key").chmod(0o640)
    monkeypatch.setenv("KIMI", f"{KEY} ")
    (here / "credentials" / "near").unlink()
    (here / "state" / "pepper").chmod(0o604)
    found = told(code=1)
    problems = {row["setting"]: row["problem"] for row in found["secrets"]}
    assert f"run: chmod 600 {here}/groq.key" in problems["providers.groq.api_key"]
    assert "holds spaces" in problems["providers.kimi.api_key"]
    assert "No such file" in problems["models.near.api_key"]
    assert [bool(row["problem"]) for row in found["state"]] == [True, False]
    assert f"chmod 600 {here}/state/pepper" in found["state"][0]["problem"]
    page = check()
    assert page.exit_code == 1
    assert page.stdout.count("✗") == 4


def test_a_fault_in_the_state_folder_alone_is_one(here: Path) -> None:
    (here / "state").chmod(0o770)
    found = told(code=1)
    assert not any(row["problem"] for row in found["secrets"])
    assert f"chmod go-w {here}/state" in found["state"][0]["problem"]


@pytest.mark.parametrize(
    ("process", "expected"), [("egress", ["providers.groq", "providers.kimi"]), ("gateway", ["models.near"])]
)
def test_one_process_alone(here: Path, process: str, expected: list[str]) -> None:
    """As that process sees it: the credentials of the other one are not in its unit."""
    found = told("--process", process)
    assert [row["setting"].removesuffix(".api_key") for row in found["secrets"]] == expected


def test_a_key_that_the_gateway_would_read_too_is_refused(here: Path) -> None:
    file = here / "ringfence.yaml"
    file.write_text(file.read_text().replace("credential:near", "env:KIMI"))
    assert "models.near.api_key: is also the key of provider 'kimi'" in told(code=1)["problems"][0]


def test_a_configuration_that_is_wrong_is_told_and_the_state_folder_looked_at(here: Path) -> None:
    file = here / "ringfence.yaml"
    file.write_text(file.read_text().replace("env:KIMI", KEY))
    found = told(code=1)
    assert "ringfence.yaml:4" in found["problems"][0]
    assert "looks like a key itself" in found["problems"][0]
    assert (found["secrets"], len(found["state"])) == ([], 2)
    assert check().exit_code == 1


def test_without_a_configuration(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "ringfence.yaml").unlink()
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(here / "none"))
    assert told() == {"ok": True, "file": None, "problems": [], "secrets": [], "state": []}
    assert "refers to no secret" in check().stdout
