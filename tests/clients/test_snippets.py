"""docs/clients.md shows the files of snippets/ and nothing else; each is run as it stands but for address and key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SNIPPETS = HERE / "snippets"
PAGE = HERE.parent.parent / "docs" / "clients.md"
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.M | re.S)
CLAUDE = """
curl -sN "$ANTHROPIC_BASE_URL/v1/messages?beta=true" -H "authorization: Bearer $ANTHROPIC_AUTH_TOKEN" \\
  -H "anthropic-version: 2023-06-01" -H "content-type: application/json" -d '{"max_tokens": 9, "stream": true,
  "model": "'$ANTHROPIC_MODEL'", "messages": [{"role": "user", "content": "Hello"}]}'
"""
"""What the program itself asks with these settings; it is not installed here."""
AIDER = "--no-analytics --yes-always --no-git --no-pretty --chat-mode ask --message Hello\n"
"""It is asked one thing, and ends."""
NOWHERE = "http://127.0.0.1:9"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(gateway: Any) -> Run:
    def run(name: str, *command: str) -> subprocess.CompletedProcess[str]:
        shown = (SNIPPETS / name).read_text()
        address = gateway.base_url.removesuffix("/v1")
        text = shown.replace("http://127.0.0.1:7464", address).replace("sk-rf-...", gateway.api_key)
        text = text.replace("\nclaude\n", CLAUDE).replace("--no-analytics\n", AIDER)
        assert text.count(gateway.api_key) == shown.count("sk-rf-...") > 0
        done = subprocess.run(
            command,
            input=text,
            cwd=HERE / "node",
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_the_page_shows_every_snippet_and_no_other_code() -> None:
    shown = BLOCK.findall(PAGE.read_text())
    assert sorted(shown) == sorted(path.read_text() for path in SNIPPETS.iterdir())


def test_openai_python(run: Run) -> None:
    assert run("openai_python.py", sys.executable, "-").stdout.strip().endswith("128")


def test_openai_errors(run: Run) -> None:
    assert run("openai_errors.py", sys.executable, "-").stdout.startswith("404 model_not_found ")


def test_openai_responses(run: Run) -> None:
    assert run("openai_responses.py", sys.executable, "-").stdout.count("\n") >= 1


def test_curl(run: Run) -> None:
    assert '"chat.completion"' in run("curl.sh", "bash", "-s").stdout


def test_anthropic_python(run: Run) -> None:
    assert int(run("anthropic_python.py", sys.executable, "-").stdout.split()[-1]) > 0


def test_the_settings_of_claude_code(run: Run) -> None:
    assert run("claude_code.sh", "bash", "-s").stdout.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')


@pytest.mark.clients
@pytest.mark.parametrize(
    "name",
    ["langchain_client.py", "litellm_client.py", "llamaindex_client.py", "ollama_client.py", "openai_python.py"],
)
def test_python_clients(run: Run, clients_python: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    assert run(name, clients_python, "-").stdout.strip().endswith("128")


@pytest.mark.clients
def test_llm(run: Run, clients_python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{Path(clients_python).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    assert run("llm.sh", "bash", "-s").stdout.strip()


@pytest.mark.clients
@pytest.mark.timeout(120)
def test_aider(run: Run, aider_python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{Path(aider_python).parent}:{os.environ['PATH']}")
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CHAT", "INPUT"):
        monkeypatch.setenv(f"AIDER_{name}_HISTORY_FILE", str(tmp_path / name))
    (tmp_path / ".aider.model.settings.yml").write_text("- {name: aider/extra_params, extra_params: {max_tokens: 16}}")
    told = run("aider.sh", "bash", "-s").stdout
    assert "openai/auto with ask edit format" in told and "okens: " in told and "litellm." not in told, told


@pytest.mark.clients
@pytest.mark.parametrize(
    ("name", "last"), [("openai_node.mjs", "128"), ("ai_sdk_compatible.mjs", "128"), ("ai_sdk_openai.mjs", "")]
)
def test_node_clients(run: Run, clients_node: str, name: str, last: str) -> None:
    told = run(name, clients_node, "--input-type=module", "-").stdout
    assert told.strip() and told.strip().endswith(last)
