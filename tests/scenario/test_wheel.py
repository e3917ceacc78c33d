"""The wheel: what is in it, and that it runs from an empty folder in an environment that has nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from whole import ask, question

ROOT = Path(__file__).parents[2]
NEEDED = (
    "py.typed",
    "config/ringfence.example.yaml",
    "store/migrations/env.py",
    "store/migrations/versions/0001_first.py",
    "models/__init__.py",
    "prices/table.json",
    "prices/genai-prices.LICENSE",
    "console/assets.py",
)
NOT_OURS = ("tests", "training", "bench", "docs", ".venv", "__pycache__")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    [path] = folder.glob("ringfence-*.whl")
    return path


def test_everything_it_needs_is_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src" / "ringfence"
    shipped = {
        f"ringfence/{path.relative_to(source)}"
        for path in source.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".gguf") and "__pycache__" not in path.parts
    }
    assert shipped - names == set()
    assert {f"ringfence/{name}" for name in NEEDED} <= names
    assert [name for name in names if name.endswith(".html")]
    assert [name for name in names if name.endswith((".js", ".css", ".svg"))]
    foreign = [name for name in names if name.startswith(NOT_OURS) or "__pycache__" in name]
    assert foreign == []
    assert {name.split("/")[0].split("-")[0] for name in names} == {"ringfence"}


def test_it_runs_where_nothing_else_is(wheel: Path, tmp_path: Path, tiny_model: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", str(wheel)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(empty)}
    process = subprocess.Popen(
        [tmp_path / "venv" / "bin" / "ringfence", "up", "--json", "--port", "0", "--model", str(tiny_model),
         "--set", "discovery.adopt=false"],
        env=env, cwd=empty, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        root = ready["base_url"].removesuffix("/v1")
        assert ask(root, "POST", "/v1/chat/completions", question(), ready["api_key"]).status == 200
        assert ask(root, "GET", ready["console_url"].removeprefix(root)).status in (200, 303)
        assert ask(root, "GET", "/metrics").status == 200
        status = subprocess.run(
            [tmp_path / "venv" / "bin" / "ringfence", "status", "--json"], env=env, cwd=empty, capture_output=True,
            text=True, timeout=30, check=True,
        )  # fmt: skip
        assert json.loads(status.stdout)["ready"]
        assert ready["state_dir"] == str(empty / ".local" / "state" / "ringfence")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert sorted(path.name for path in empty.iterdir()) == [".local"]
