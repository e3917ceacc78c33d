"""Coding programs run for real with what `ringfence connect` prints, where they reach the gateway and nothing else.

Each asks, is told to run its shell, runs it, and tells what came of it. Those that install.sh has not installed (Codex
and Cline are too big for that) are skipped; what they send is in recorded/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alone import Alone, can_be_alone
from coder import WORD
from programs import PROGRAMS, settle

from ringfence.testing.fake_engine import Behaviour, Fault

TAKES_S = 60.0


@pytest.fixture
def alone(gateway: Any) -> Iterator[Alone]:
    if not can_be_alone():
        pytest.skip("needs namespaces, so that a program reaches nothing but the gateway")
    with Alone(gateway.base_url) as alone:
        yield alone


def _run(gateway: Any, alone: Alone, name: str, model: str, home: Path) -> str:
    program = PROGRAMS[name]
    if program.path is None:
        pytest.skip(f"{program.command[0]} is not installed; tests/clients/install.sh installs some programs")
    told = json.loads(gateway.run("connect", program.connect, "--model", model, "--json").stdout)
    command, env = settle(program, told, home)
    done = alone.run(command, env, home, TAKES_S)
    return done.stdout + done.stderr


@pytest.mark.clients
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_asks_runs_its_shell_and_goes_on(
    gateway: Any, alone: Alone, engines: dict[str, Any], tmp_path: Path, name: str
) -> None:
    said = _run(gateway, alone, name, "fakes/coder", tmp_path)
    assert f"The tool said {WORD}." in said, said[-3000:]
    asked = [one for one in alone.requests() if one.method == "POST"]
    assert len(asked) == 2 and all(one.body["model"] == "fakes/coder" for one in asked)
    recorded = json.loads((Path(__file__).parent / "recorded" / f"{name}.json").read_text())["exchanges"]
    first = next(one for one in recorded if one.get("method") == "POST")
    assert first["target"] == asked[0].target and asked[0].body.keys() <= first["body"].keys(), (
        "what was recorded holds"
    )
    roles = [message["role"] for message in engines["fakes/coder"].calls[-1].body["messages"]]
    assert roles.count("system") == 1 and roles[0] == "system" and roles[-2:] == ["assistant", "tool"]
    if name == "claude_code":  # it shows the window that it was told
        result = json.loads(next(line for line in said.splitlines() if '"type":"result"' in line))
        assert result["modelUsage"]["fakes/coder"]["contextWindow"] == 200_000
        assert asked[0].body["max_tokens"] == 32_000 and not result["is_error"]


@pytest.mark.clients
@pytest.mark.timeout(120)
def test_claude_code_knows_what_is_too_long(gateway: Any, alone: Alone, tmp_path: Path) -> None:
    """The window of this model is smaller than what it says before a question."""
    said = _run(gateway, alone, "claude_code", "fakes/vllm", tmp_path)
    assert "Prompt is too long" in said and "(limit 4096)" in said, said[-3000:]


@pytest.mark.clients
@pytest.mark.timeout(120)
def test_claude_code_shows_why_an_engine_refused(
    gateway: Any, alone: Alone, engines: dict[str, Any], tmp_path: Path
) -> None:
    why = {"error": {"message": "The watch is asleep.", "type": "BadRequestError", "code": 400}}
    engines["fakes/coder"].once(Behaviour(Fault.STATUS, status=400, body=why))
    said = _run(gateway, alone, "claude_code", "fakes/coder", tmp_path)
    assert "API Error: 400" in said and "The watch is asleep." in said, said[-3000:]
