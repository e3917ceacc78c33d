"""Every command as people and programs use it: JSON that parses, exit statuses, narrow terminals, closed pipes."""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from whole import chat, command

RUNNING = {
    "status": ("status",),
    "console link": ("status", "--console"),
    "models": ("models",),
    "chat": ("chat", "hello"),
    "explain": ("explain", "auto", "--prompt", "hello", "--max-tokens", "5"),
    "keys list": ("keys", "list"),
    "keys create": ("keys", "create", "made"),
    "keys revoke": ("keys", "revoke", "made"),
    "parked list": ("parked", "list"),
    "config show": ("config", "show"),
    "config check": ("config", "check"),
    "config schema": ("config", "schema"),
    "config reload": ("config", "reload"),
    "doctor": ("doctor",),
}


@pytest.fixture(scope="module")
def up(start_up: Any) -> Iterator[Any]:
    running = start_up()  # the demo model: random weights may well answer with nothing
    yield running
    running.stop()


@pytest.mark.parametrize("name", list(RUNNING))
def test_json_parses_and_nothing_else_is_printed(up: Any, name: str) -> None:
    told = command(*RUNNING[name], "--json", folder=up.folder)
    assert told.returncode == 0 or name == "doctor", told.stderr
    assert json.loads(told.stdout) is not None
    assert told.stderr == ""


@pytest.mark.parametrize("name", ["status", "models", "keys list", "parked list", "explain", "config show", "doctor"])
def test_a_narrow_terminal(up: Any, name: str) -> None:
    assert chat(up).status == 200
    status, shown = _on_a_terminal(60, *RUNNING[name], folder=up.folder)
    assert status == 0 or name == "doctor", shown
    assert shown.strip()
    assert "\x1b[" not in shown
    assert "Traceback" not in shown
    if name in ("status", "models", "keys list", "parked list"):
        assert max(map(len, shown.splitlines())) <= 60


def _on_a_terminal(columns: int, *words: str, folder: Path) -> tuple[int, str]:
    """`ringfence WORDS` where it has a terminal of this width; its exit status, and what it shows, bold or not."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    env |= {"RINGFENCE_STATE_DIR": str(folder), "NO_COLOR": "1", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "ringfence", *words], env=env, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the end of a terminal
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    return process.returncode, re.sub(r"\x1b\[[0-2]?m", "", shown.decode())


@pytest.mark.parametrize("told", [{"NO_COLOR": "1", "FORCE_COLOR": ""}, {"TERM": "dumb"}])
def test_no_colours_where_they_are_not_wanted(up: Any, told: dict[str, str]) -> None:
    assert "\x1b[" not in command("status", folder=up.folder, env=told).stdout


@pytest.mark.slow
def test_a_reader_that_leaves(up: Any) -> None:
    """`ringfence status | true`: no traceback, no matter who is first."""
    for words in (("status",), ("config", "schema"), ("keys", "list", "--json"), ("chat", "hello")):
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.run(
            [sys.executable, "-m", "ringfence", *words],
            env=os.environ | {"RINGFENCE_STATE_DIR": str(up.folder)}, cwd=up.folder,
            stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30, check=False,
        )  # fmt: skip
        os.close(writing)
        assert process.stderr == "", words
        assert process.returncode in (0, 1), words


@pytest.mark.parametrize(
    "words", [("status",), ("status", "--json"), ("models",), ("chat", "hello"), ("explain",), ("status", "--console")]
)
def test_when_nothing_runs(tmp_path: Path, words: tuple[str, ...]) -> None:
    told = command(*words, folder=tmp_path)
    assert told.returncode == 3
    assert told.stdout == ""
    assert "Start one with `ringfence up`" in told.stderr
    assert "Traceback" not in told.stderr


def test_the_note_of_a_dead_gateway_is_not_believed(tmp_path: Path) -> None:
    """Whoever has its port by now would be shown the token of the control API."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    note = {"pid": int(ended.stdout), "base_url": "http://127.0.0.1:9", "started_s": 0}
    (tmp_path / "run.json").write_text(json.dumps(note))
    told = command("status", folder=tmp_path)
    assert told.returncode == 3
    assert "No gateway runs" in told.stderr
    assert not (tmp_path / "admin.token").exists()


@pytest.mark.parametrize("note", ["", "null", "[]", '{"pid": "x"}', '{"pid": 1}', '{"pid": 0, "base_url": "http://x"}'])
def test_a_note_that_makes_no_sense(tmp_path: Path, note: str) -> None:
    (tmp_path / "run.json").write_text(note)
    told = command("status", folder=tmp_path)
    assert (told.returncode, told.stdout) == (3, "")
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("chat", "--model", "nothing", "hello"), 1),
        (("explain", "nothing"), 1),
        (("explain", "auto", "--key", "sk-rf-unknown"), 1),
        (("keys", "revoke", "nobody"), 1),
        (("keys", "create", "x", "--profile", "nope"), 1),
        (("parked", "show", "nobody"), 1),
        (("parked", "cancel", "nobody"), 1),
        (("keys", "create", "x", "--rpm", "0"), 2),
        (("keys", "create", "x", "--expires", "soon"), 2),
        (("up", "--set", "nothing"), 2),
        (("up", "--set", "server.prot=1", "--json"), 2),
        (("nonsense",), 2),
    ],
)
def test_what_is_wrong_is_said_in_a_line(up: Any, words: tuple[str, ...], status: int) -> None:
    told = command(*words, folder=up.folder)
    assert told.returncode == status
    assert told.stdout + told.stderr != ""
    assert "Traceback" not in told.stderr


def test_chat_reads_its_question_from_a_pipe(up: Any) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "ringfence", "chat", "--json"],
        env=os.environ | {"RINGFENCE_STATE_DIR": str(up.folder)}, cwd=up.folder,
        input="hello", capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    found = json.loads(told.stdout)
    assert found["target"] == f"llamacpp/{up.ready['models'][0]}"
    assert found["usage"]["completion_tokens"] > 0
    assert found["answer"]


@pytest.mark.parametrize("words", [(), ("--help",), ("up", "--help"), ("keys", "--help"), ("config", "--help")])
def test_help(tmp_path: Path, words: tuple[str, ...]) -> None:
    told = command(*words, folder=tmp_path)
    assert told.returncode in (0, 2)
    assert "Usage: ringfence" in told.stdout + told.stderr


def test_version(tmp_path: Path) -> None:
    assert command("--version", folder=tmp_path).stdout == command("version", folder=tmp_path).stdout
    assert command("version", folder=tmp_path).stdout.startswith("ringfence 0.")


def test_serve_keeps_the_key_to_itself(tmp_path: Path, tiny_model: Path) -> None:
    """A supervisor of services keeps what it is told."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ringfence", "serve", "--port", "0", "--model", str(tiny_model),
         "--set", "discovery.adopt=false"],
        env=os.environ | {"RINGFENCE_STATE_DIR": str(tmp_path / "state")}, cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    row: dict[str, Any] = {}
    printed: list[str] = []
    while "ready" not in row:
        printed.append(process.stdout.readline())
        row = json.loads(printed[-1])
    assert row["ready"]["api_key"] is None
    secret = json.loads((tmp_path / "state" / "credentials.json").read_text())["api_key"]
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert secret not in "".join(printed) + out + err
