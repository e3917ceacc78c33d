"""Python clients that must never be dependencies of ours, each run in the environment that install.sh makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.clients, pytest.mark.timeout(240)]
SCRIPTS = Path(__file__).parent / "python"
CHECKS = [
    (script.name, name)
    for script in sorted(SCRIPTS.glob("*_checks.py"))
    for name in re.findall(r"^def (check_\w+)", script.read_text(), re.M)
]


@pytest.mark.parametrize(("script", "check"), CHECKS)
def test_check(request: pytest.FixtureRequest, run_checks: Any, engines: Any, script: str, check: str) -> None:
    python = request.getfixturevalue("aider_python" if script == "aider_checks.py" else "clients_python")
    told = run_checks([python], SCRIPTS / script)[check]
    assert not (isinstance(told, dict) and "failed" in told), told["failed"]


def test_leaving_a_langchain_stream_frees_the_engine(run_checks: Any, clients_python: str, engines: Any) -> None:
    left_s = run_checks([clients_python], SCRIPTS / "langchain_checks.py")["check_leaving_a_stream"]
    gone_s = [call.client_left_s for call in engines["fakes/slow"].calls if call.client_left_s]
    # The best of three: this machine may be busy with something else.
    assert any(0 <= at - left < 0.5 for at in gone_s for left in left_s), (left_s, gone_s)
