"""What every test may use: a random tiny model, and a whole Ringfence in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from ringfence.testing.tiny_model import tiny_model as make_tiny_model
from share import share_of

pytest_plugins = ["second_run"]

# How long an example takes is no finding: the machine may do something else as well.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("ci"), max_examples=share_of(100, least=40))
settings.load_profile("unhurried")

START_S = 60

# Engines of tests have one thread each. Several with as many as there are processors wait for each other spinning: four
# at once on two processors took up to 25 s for what takes one of them 1 s.
os.environ.setdefault("OMP_THREAD_LIMIT", "1")


class ToldAtOnce:
    """What failed is told as it fails, also where it is tried again: a run that is cut off, or a part that is over its
    budget, has said it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        is_tried_again = report.outcome == "rerun"
        if (report.failed or is_tried_again) and terminal is not None:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = str(crash.message if crash is not None else report.longrepr)
            word = "TRIED AGAIN after" if is_tried_again else "FAILED in"
            terminal.write(f"\n{word} its {report.when}: {report.nodeid}: {' '.join(why.split())[:500]}\n")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ToldAtOnce(config))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF with random weights: answers gibberish, quickly."""
    return make_tiny_model(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL of the tests' own."""
    from postgres_server import serving

    with serving() as server:
        yield server


RINGFENCE = (sys.executable, "-m", "ringfence")


@dataclass
class Up:
    """A running `ringfence up --json`."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    folder: Path

    @property
    def base_url(self) -> str:
        return str(self.ready["base_url"])

    @property
    def root_url(self) -> str:
        return self.base_url.removesuffix("/v1")

    @property
    def api_key(self) -> str:
        return str(self.ready["api_key"])

    def run(self, *words: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """`ringfence WORDS` against this one."""
        env = os.environ | {"RINGFENCE_STATE_DIR": str(self.folder)}
        command = [*RINGFENCE, *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False, **kwargs)

    def stop(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(40)


Starter = Callable[..., Up]


@pytest.fixture(scope="session")
def start_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts `ringfence up --port 0 --json ARGS` in a fresh (or given) state folder; all are stopped at the end."""
    running: list[Up] = []

    def start(
        *args: str, folder: Path | None = None, env: dict[str, str] | None = None, port: int = 0,
        program: Sequence[str] = RINGFENCE, **kwargs: Any,
    ) -> Up:  # fmt: skip
        folder = folder or tmp_path_factory.mktemp("state")
        command = [*program, "up", "--json", "--port", str(port), *args]
        if not any("discovery" in arg for arg in args):
            command += ["--set", "discovery.adopt=false"]
        environment = os.environ | {"RINGFENCE_STATE_DIR": str(folder)} | (env or {})
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=folder, **kwargs)
        assert process.stdout is not None
        line = process.stdout.readline()
        up = Up(process, json.loads(line) if line else {}, folder)
        running.append(up)
        assert "base_url" in up.ready, f"did not start: {line}"
        return up

    yield start
    for up in running:
        up.stop()


@pytest.fixture(scope="session")
def ringfence(start_up: Starter, tiny_model: Path) -> Up:
    """One shared gateway with the random model, for tests that do not disturb it."""
    return start_up("--model", str(tiny_model))
