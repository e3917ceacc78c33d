"""The pages, a gateway for what they show, and a folder in which their commands find what they name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:7464"
KEY = "sk-rf-..."

RINGFENCE = """\
#!{python}
'''`ringfence` as the pages write it. What would run until Ctrl-C gets a free port, and is ended once it is ready.'''
import os, sys
command = [sys.executable, "-m", "ringfence", *sys.argv[1:]]
if sys.argv[1:2] not in (["up"], ["serve"]):
    os.execv(sys.executable, command)
import signal, subprocess, tempfile
command += ["--port", "0", "--set", "discovery.adopt=false"]
with tempfile.TemporaryDirectory(dir=".") as state:
    env = os.environ | {{"RINGFENCE_STATE_DIR": os.path.abspath(state), "COLUMNS": "200"}}
    child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    for line in child.stdout:
        said += line
        if "cannot be served" in line:
            break
        if "Ringfence is ready" in line or line.startswith('{{"ready"'):
            child.send_signal(signal.SIGINT)
            sys.exit(child.wait(20))
    child.send_signal(signal.SIGINT)
    child.wait(20)
sys.exit("it was never ready:" + chr(10) + said)
"""


@pytest.fixture(scope="session")
def gateway(start_up: Any) -> Any:
    """What `ringfence up` starts for somebody who has nothing; pages may make keys on it."""
    return start_up()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `ringfence` and `python`, to go first on the path."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "ringfence"
    program.write_text(RINGFENCE.format(python=sys.executable))
    program.chmod(0o755)
    python = folder / "python"  # a link to it would not find its packages
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return folder


@pytest.fixture
def environment(gateway: Any, programs: Path) -> Mapping[str, str]:
    """As somebody has it who just started a gateway."""
    kept = {name: value for name, value in os.environ.items() if name not in ("RINGFENCE_CONFIG", "HF_TOKEN")}
    return kept | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "RINGFENCE_STATE_DIR": str(gateway.folder),
        "RINGFENCE_URL": gateway.base_url,
        "RINGFENCE_API_KEY": gateway.api_key,
        "PYTHONIOENCODING": "utf-8",
    }


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Path:
    """Where a page's commands run, one after the other."""
    (tmp_path / "model.gguf").symlink_to(tiny_model)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.fixture
def filled_in(gateway: Any) -> Callable[[str], str]:
    """A page's text with this gateway's address and key in place of those that it shows."""
    return lambda text: text.replace(ADDRESS, gateway.root_url).replace(KEY, gateway.api_key)
