"""Clients of the npm registry, each run by Node where install.sh has installed them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent / "node"
PROVIDERS = ("compatible", "openai")


def _names(script: Path) -> list[str]:
    text = script.read_text()
    plain = re.findall(r'^check\("([^"]+)"', text, re.M)
    return plain + [
        f"{provider}: {rest}"
        for rest in re.findall(r"^  check\(`\$\{name\}: ([^`]+)`", text, re.M)
        for provider in PROVIDERS
    ]


CHECKS = [(script.name, name) for script in sorted(SCRIPTS.glob("*_checks.mjs")) for name in _names(script)]


@pytest.mark.clients
@pytest.mark.timeout(150)
@pytest.mark.parametrize(("script", "check"), CHECKS)
def test_check(run_checks: Any, clients_node: str, script: str, check: str) -> None:
    told = run_checks([clients_node], SCRIPTS / script)[check]
    assert not (isinstance(told, dict) and "failed" in told), told["failed"]


@pytest.mark.clients
@pytest.mark.timeout(150)
@pytest.mark.parametrize("script", ["openai_checks.mjs", "ai_sdk_checks.mjs"])
def test_leaving_a_stream_frees_the_engine(run_checks: Any, clients_node: str, engines: Any, script: str) -> None:
    left_s = run_checks([clients_node], SCRIPTS / script)["leaving a stream"]
    gone_s = [call.client_left_s for call in engines["fakes/slow"].calls if call.client_left_s]
    # The best of three: this machine may be busy with something else.
    assert any(0 <= at - left < 0.5 for at in gone_s for left in left_s), (left_s, gone_s)


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((SCRIPTS / "package-lock.json").read_text())
    assert lock["packages"] and not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert "http" not in re.sub(r'"url": "[^"]*"', "", (SCRIPTS / "package-lock.json").read_text())
