"""Ctrl-C at the worst moment of a start: in a callback of a weak reference, where Python forgets the interrupt."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from whole import Terminal, gone, until

# who imports MODULE is interrupted in such a callback, as it may happen at the end of each import
AT_THE_WORST = """
import os, signal, sys, time, weakref

class Thing: pass

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            thing = Thing()
            reference = weakref.ref(thing, self.interrupt)
            del thing

    def interrupt(self, reference):
        with open({mark!r}, "w") as file:
            file.write(str(os.getpid()))
        os.kill({whom}, signal.SIGINT)
        time.sleep(0.2)

sys.meta_path.insert(0, Finder())
"""


def _up(tmp_path: Path, tiny_model: Path, module: str, whom: str) -> Terminal:
    """`ringfence up`, and the moment of its start at which `whom` is interrupted."""
    started = tmp_path / "first"
    started.mkdir()
    text = AT_THE_WORST.format(module=module, whom=whom, mark=str(tmp_path / "interrupted"))
    (started / "sitecustomize.py").write_text(text)
    env = {"PYTHONPATH": os.pathsep.join(filter(None, (str(started), os.environ.get("PYTHONPATH"))))}
    return Terminal(
        tmp_path, "up", "--port", "0", "--model", str(tiny_model), "--set", "discovery.adopt=false", env=env
    )


@pytest.mark.parametrize("module", ["typer", "ringfence.cli.keys", "rich.console", "ringfence.cli.up"])
def test_while_the_command_line_loads(tmp_path: Path, tiny_model: Path, module: str) -> None:
    with _up(tmp_path, tiny_model, module, "os.getpid()") as terminal:
        assert terminal.process.wait(20) == -signal.SIGINT
        assert terminal.text == ""


@pytest.mark.timed
def test_while_the_gateway_loads(tmp_path: Path, tiny_model: Path) -> None:
    with _up(tmp_path, tiny_model, "ringfence.runtime.claim", "os.getppid()") as terminal:
        pid = until(lambda: int((tmp_path / "interrupted").read_text()), 20, "the moment")
        began = time.monotonic()
        assert terminal.process.wait(20) == 0
        assert time.monotonic() - began < 2.0  # a gateway that does not hear it is killed, later than that
        gone([pid], 0.5)
        assert terminal.text == ""
