"""The child program that runs an engine program of the owner's, as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-P", "-m", "ringfence.engines.program_process"]
SERVE = """
import http.server, json, os, signal, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        env = os.environ
        told = json.dumps({{"key": env.get("THE_KEY"), "more": env.get("MORE"), "said": sys.argv[1:]}}).encode()
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
    def log_message(self, *_): pass
{before}
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", deaf])
open(sys.argv[2], "w").write(f"{os.getpid()} {child.pid}")
"""
WHEN_TOLD = """
import threading, time
def when_told():
    while not os.path.exists(sys.argv[2]): time.sleep(0.01)
    {line}
threading.Thread(target=when_told).start()
"""
Start = Callable[..., tuple["subprocess.Popen[str]", dict[str, Any]]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A program of the given text, and what is said of it. Whatever is left is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *more: str, command: list[str] | None = None, **spec: Any) -> Any:
        program = tmp_path / "program.py"
        program.write_text(text)
        pipe = subprocess.PIPE
        process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        started.append(process)
        whole = {
            "command": command or [sys.executable, str(program), "{port}", *more], "api_key": "secret-key",
            "key_variable": "THE_KEY", "environment": {"MORE": "1"}, "parent_pid": os.getpid(), **spec,
        }  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(whole) + "\n")
        process.stdin.flush()
        return process, json.loads(process.stdout.readline() or "{}")

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def gone(*pids: int, within_s: float = 25.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not any(map(is_there, pids)):
            return True
        time.sleep(0.02)
    return False


def pids_in(path: Path) -> list[int]:
    until = time.monotonic() + 25
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if len(words := path.read_text().split()) == 2:
                return [int(word) for word in words]
        time.sleep(0.02)
    raise AssertionError(path)


def test_it_tells_where_the_program_answers_and_hands_the_key_over_in_private(start: Start) -> None:
    process, said = start(SERVE.format(before=""), "--more", device="gpu", window=512)
    assert (said["device"], said["window"]) == ("gpu", 512)
    assert said["ready"].startswith("http://127.0.0.1:")
    with urllib.request.urlopen(said["ready"] + "/health", timeout=25) as answer:
        told = json.load(answer)
    assert told == {"key": "secret-key", "more": "1", "said": [said["ready"].rpartition(":")[2], "--more"]}
    shown = [
        Path(f"/proc/{pid}/cmdline").read_bytes()
        for pid in map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
    ]
    assert shown
    assert not any(b"secret-key" in arguments for arguments in shown)


@pytest.mark.parametrize("how", ["input ends", "sigterm", "killed"])
def test_the_whole_group_goes(start: Start, tmp_path: Path, how: str) -> None:
    """A program that ignores SIGTERM, and what it has started, hold memory of a device."""
    process, said = start(SERVE.format(before=STUBBORN), str(tmp_path / "pids"))
    assert "ready" in said
    program, child = pids_in(tmp_path / "pids")
    assert process.stdin is not None
    if how == "input ends":
        process.stdin.close()
    elif how == "sigterm":
        process.terminate()
    else:
        process.kill()
    if how == "killed":  # the kernel ends the program; what that has started is ended with the group by who started it
        assert gone(program)
        assert is_there(child)
    else:
        assert gone(program, child)
        assert process.wait(25) != 0


def test_a_program_that_listens_to_sigterm_is_given_the_time(start: Start, tmp_path: Path) -> None:
    ends = "signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[2], 'w').write('1 1'), os._exit(0)))"
    process, said = start(SERVE.format(before=ends), str(tmp_path / "ended"))
    assert "ready" in said
    process.terminate()
    assert process.wait(25) == 0
    assert (tmp_path / "ended").read_text() == "1 1"


def test_it_can_be_ended_before_it_is_ready(start: Start) -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    assert process.stdin is not None
    silent = {
        "command": [sys.executable, "-c", "import time; time.sleep(60)"],
        "api_key": "k",
        "parent_pid": os.getpid(),
    }
    process.stdin.write(json.dumps(silent) + "\n")
    process.stdin.flush()
    until = time.monotonic() + 25
    while not (kids := Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()):
        assert time.monotonic() < until
        time.sleep(0.02)
    process.terminate()
    out, _ = process.communicate(timeout=25)
    assert out == ""
    assert gone(int(kids[0]))


def test_a_program_that_ends_first_is_told(start: Start) -> None:
    process, said = start("import sys; print('no such model'); sys.exit(3)", title="vLLM")
    assert said == {"error": "vLLM ended with exit status 3 before it was ready"}
    assert process.wait(25) == 1
    assert process.stderr is not None
    assert "no such model" in process.stderr.read(), "what it writes can be read"


def test_a_program_that_is_not_there_is_told(start: Start) -> None:
    _, said = start("", command=["/no/such/llama-server", "{port}"])
    assert said["error"] == "cannot run /no/such/llama-server: No such file or directory"


@pytest.mark.parametrize(("line", "status"), [("os._exit(7)", 7), ("os.kill(os.getpid(), signal.SIGABRT)", -6)])
def test_it_ends_as_the_program_does(start: Start, tmp_path: Path, line: str, status: int) -> None:
    process, said = start(SERVE.format(before=WHEN_TOLD.format(line=line)), str(tmp_path / "told"))
    assert "ready" in said
    (tmp_path / "told").touch()
    assert process.wait(25) == status


def test_who_took_the_port_meanwhile_gets_nothing(start: Start, tmp_path: Path) -> None:
    """The program fails to listen and stays; somebody else answers there."""
    elsewhere = """
import os, socket, sys, time
port = int(sys.argv[1])
if os.fork() == 0:
    os.setsid()
    server = socket.create_server(("127.0.0.1", port))
    server.settimeout(1)
    while True:
        connection, _ = server.accept()
        heard = connection.recv(4096)
        open(sys.argv[2], "ab").write(heard)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n")
        connection.close()
time.sleep(60)
"""
    heard = tmp_path / "heard"
    _, said = start(elsewhere, str(heard))
    assert "another program listens at the port" in said["error"]
    assert b"GET /health" in heard.read_bytes()
    assert b"secret-key" not in heard.read_bytes()


def test_it_does_not_start_for_a_parent_that_is_gone(start: Start) -> None:
    process, said = start(SERVE.format(before=""), parent_pid=os.getppid())
    assert said == {}
    assert process.wait(25) == 1


def test_a_line_that_is_no_spec_is_refused() -> None:
    out, _ = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True).communicate("{}\n", 25)
    assert "expected one line of JSON" in json.loads(out)["error"]
