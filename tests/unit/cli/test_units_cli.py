"""`ringfence service install` writes below a folder, and says what would keep the units from working."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ringfence.cli import units
from ringfence.cli.main import app


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests make lies below /tmp, which the units hide too: only a folder of the tests' own counts."""
    monkeypatch.delenv("RINGFENCE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(units, "HIDDEN", (tmp_path / "home",))


def install(*words: str) -> Result:
    return CliRunner().invoke(app, ["service", "install", "--root", "preview", *words])


def configured(folder: Path, source: str = "demo") -> str:
    folder.mkdir(exist_ok=True)
    (folder / "lab.yaml").write_text(f"models:\n  fast: {{source: {source}}}\n")
    return str(folder / "lab.yaml")


def test_a_preview_says_that_it_is_one(tmp_path: Path) -> None:
    done = install("--config", configured(tmp_path / "etc"))
    assert done.exit_code == 0
    assert (tmp_path / "preview/etc/systemd/system/ringfence-gateway.service").exists()
    assert "systemd does not look below preview" in done.stdout
    assert done.stderr == ""


def test_what_is_no_place_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path / "etc")
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    assert install("--config", config).stderr == ""


def test_units_that_were_there_are_started_anew(tmp_path: Path) -> None:
    config = configured(tmp_path / "etc")
    assert "systemctl restart" not in install("--config", config).stdout
    assert "systemctl restart ringfence-gateway" in install("--config", config).stdout


def test_what_the_units_hide_is_named(tmp_path: Path) -> None:
    model = tmp_path / "home" / "small.gguf"
    done = install("--config", configured(tmp_path / "home", str(model)))
    assert done.exit_code == 0
    [config, named] = done.stderr.splitlines()
    assert config.startswith(f"The configuration lies at {tmp_path}/home/lab.yaml: the units hide {tmp_path}/home.")
    assert named.startswith(f"The model 'fast' lies at {model}")


def test_a_link_out_of_what_is_hidden_does_not_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "python").touch()
    (tmp_path / "python").symlink_to(tmp_path / "home" / "python")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(units, "_program", lambda: "/opt/ringfence/bin/ringfence")
    [python] = install("--config", configured(tmp_path / "etc")).stderr.splitlines()
    assert python.startswith(f"Its Python lies at {tmp_path}/python: the units hide {tmp_path}/home.")


def test_where_nothing_can_be_written_the_way_on_is_told(tmp_path: Path) -> None:
    (tmp_path / "preview").touch()
    done = install("--config", configured(tmp_path / "etc"))
    assert done.exit_code == 1
    assert "--root FOLDER" in done.stderr
