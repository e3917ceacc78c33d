"""Whoever switches on the first provider is asked what the house may spend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringfence.cli import house_cap
from ringfence.cli.main import app
from ringfence.config.load import load
from ringfence.config.money import HOUSE_NOT_NAMED
from ringfence.config.problems import ConfigInvalid

CLOUDS = """# mine
providers:
  cloud: {url: "https://api.a.example/v1", api_key: "env:SOME_KEY", calls_per_day: 9, max_tokens: 9}
"""
LITELLM = Path(__file__).parents[1] / "config" / "litellm" / "clouds.yaml"


def seen(path: Path, *answers: str) -> list[str]:
    """What is said at the first sight of a configuration; `answers` are typed, one after the other."""
    said: list[str] = []
    spec: dict[str, Any] = {"config": str(path), "overrides": {}}
    with CliRunner().isolation(input="".join(f"{answer}\n" for answer in answers)):
        house_cap.at_first_sight(spec, said.append, may_ask=bool(answers))
    return said


def test_it_is_asked_once_and_written(tmp_path: Path) -> None:
    path = tmp_path / "ringfence.yaml"
    path.write_text(CLOUDS)
    assert seen(path, "a lot", "$25.50") == []
    assert path.read_text() == CLOUDS + "\nmoney:\n  house: {month: 25.5}\n"
    assert seen(path, "7") == []
    assert load(path, check_secrets=False).money.house.month == 25.5


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_it_is_written_into_the_section_that_is_there(tmp_path: Path, end: str) -> None:
    path = tmp_path / "ringfence.yaml"
    section = "money:  # mine\n\n  # where I live\n    zone: Europe/Berlin\nprofiles: {}\n"
    path.write_bytes((CLOUDS + section).replace("\n", end).encode())
    assert seen(path, "5") == []
    wanted = (CLOUDS + section).replace("    zone:", "    house: {month: 5}\n    zone:").replace("\n", end)
    assert path.read_bytes().decode() == wanted
    found = load(path, check_secrets=False).money
    assert (found.house.month, found.zone) == (5.0, "Europe/Berlin")
    path.write_text(CLOUDS + "money: {zone: UTC}\n")
    (said,) = seen(path, "5")
    assert "write 'house: {month: 5}' under 'money:'" in said
    assert path.read_text() == CLOUDS + "money: {zone: UTC}\n"


def test_nobody_is_there_to_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "ringfence.yaml"
    path.write_text(CLOUDS)
    assert seen(path) == [HOUSE_NOT_NAMED]
    assert path.read_text() == CLOUDS
    path.write_text("models: {a: {url: 'http://127.0.0.1:9'}}\n")
    assert seen(path) == []
    path.write_text(f"{{providers: {CLOUDS.split('providers:')[1].strip().replace('cloud: ', '{cloud: ')}}}}}\n")
    (said,) = seen(path, "5")
    assert "cannot be added to" in said


def test_an_import_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["import", "litellm", str(LITELLM), "--out", "made.yaml"])
    assert "All of them together may cost $100.00 a month: money.house.month says otherwise." in done.stdout
    assert load(tmp_path / "made.yaml", check_secrets=False).money.house.month == 100
    monkeypatch.setattr(house_cap, "is_answered", lambda: True)
    asked = CliRunner().invoke(app, ["import", "litellm", str(LITELLM), "--out", "asked.yaml"], input="\n")
    assert "House cap per month in USD" in asked.stderr and "may cost $100.00 a month" in asked.stdout


@pytest.mark.parametrize(("usd", "is_one"), [("0", True), ("0.000001", True), ("0.0000004", False)])
def test_a_cap_that_would_come_to_nothing_is_no_cap(tmp_path: Path, usd: str, is_one: bool) -> None:
    path = tmp_path / "ringfence.yaml"
    path.write_text(f"money: {{house: {{day: {usd}}}}}\n")
    if is_one:
        assert load(path).money.house.budget.day == round(float(usd) * 1_000_000)
        return
    with pytest.raises(ConfigInvalid, match="at least a millionth of a dollar"):
        load(path)
