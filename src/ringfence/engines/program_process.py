"""An engine program of the owner's as a child process: `python -m ringfence.engines.program_process`.

The same protocol as `llamacpp_process`: one line of JSON on standard input (a `Spec`, with the key and our parent), one
line on standard output, `{"ready": "http://127.0.0.1:PORT"}` once the program answers, or `{"error": "why"}` with exit
status 1. What the program writes goes to standard error. It gets its key in its environment, which other users of the
machine cannot read, and not as an argument, which they can.

It leads a process group. When its parent dies, when standard input ends or when it is told to end, the whole group
ends: what the program has started must not keep a device's memory.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from ringfence.engines.said_to_parent import fail, say
from ringfence.tether import (
    PR_SET_PDEATHSIG,
    die_with_parent,
    go_first_when_memory_ends,
    leave_when_input_ends,
)

HOST = "127.0.0.1"
PORT = "{port}"
"""In the arguments: where the program must listen."""
LOOK_EVERY_S = 0.1
LOOK_TIMEOUT_S = 2.0
END_GRACE_S = 1.5
"""Less than a supervisor gives to this process."""
GONE_S = 1.0
LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run. `key_variable` is where the program looks for its key in its environment; `alive_path` answers 200
    once it serves. `device` and `window` are told back as they are."""

    command: Sequence[str]
    api_key: str = field(repr=False)
    title: str = "the program"
    key_variable: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    alive_path: str = "/health"
    device: str = ""
    window: int = 0
    parent_pid: int = 0


def main() -> None:
    """Run the program until it ends, or until it is no longer wanted."""
    if os.getpgrp() != os.getpid():
        os.setsid()
    spec = _read_spec()
    die_with_parent(spec.parent_pid, signal.SIGTERM)  # and not SIGKILL: there is a program to be ended first
    go_first_when_memory_ends()
    port = _free_port()
    ending = threading.Event()
    started: list[subprocess.Popen[bytes]] = []

    def end(*_: object) -> None:
        if not ending.is_set():
            ending.set()
            if started:  # else it is about to be, and is ended then
                threading.Thread(target=_end, args=started, name="end").start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    program = _started(spec, port)
    started.append(program)
    if ending.is_set():
        _end(program)
    leave_when_input_ends(end)
    _until_ready(spec, port, program, ending)
    if not ending.is_set():
        say({"ready": f"http://{HOST}:{port}", "device": spec.device, "window": spec.window})
    while program.poll() is None:  # not wait(): a handler of a signal runs between two looks
        time.sleep(LOOK_EVERY_S)
    while ending.is_set():
        signal.pause()  # `_end` ends this process too
    _end_as(program.returncode)


def _read_spec() -> Spec:
    try:
        return Spec(**json.loads(sys.stdin.readline()))
    except (ValueError, TypeError):
        fail("expected one line of JSON with command and api_key on standard input")


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _started(spec: Spec, port: int) -> subprocess.Popen[bytes]:
    command = [argument.replace(PORT, str(port)) for argument in spec.command]
    environment = {**os.environ, **spec.environment}
    if spec.key_variable:
        environment[spec.key_variable] = spec.api_key
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    ours = os.getpid()

    def tie() -> None:  # in the child: should this process be killed, the program goes as well
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != ours:
            os._exit(1)

    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            env=environment,
            preexec_fn=tie,  # noqa: PLW1509 - no other thread runs yet
        )
    except OSError as error:
        fail(f"cannot run {command[0]}: {error.strerror or error}")


def _until_ready(spec: Spec, port: int, program: subprocess.Popen[bytes], ending: threading.Event) -> None:
    while not ending.is_set():
        if program.poll() is not None:
            fail(f"{spec.title} ended with {_in_words(program.returncode)} before it was ready")
        if _answers(spec, port):
            if _is_of_this_group(port):
                return
            _fail_with(program, f"another program listens at the port {port} that {spec.title} was given")
        time.sleep(LOOK_EVERY_S)


def _answers(spec: Spec, port: int) -> bool:
    """No key is shown: until it is known who listens there, it is not for them."""
    connection = http.client.HTTPConnection(HOST, port, timeout=LOOK_TIMEOUT_S)
    try:
        connection.request("GET", spec.alive_path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_of_this_group(port: int) -> bool:
    """The port was free a moment before the program was started: whoever took it meanwhile must not get a call. Only
    Linux tells; elsewhere it is taken to be the program."""
    if sys.platform != "linux":
        return True
    sockets = _listening(port)
    return bool(sockets) and sockets <= {link for pid in _group() for link in _links(pid)}


def _listening(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
                cells = line.split()
                if cells[3] == LISTENING and int(cells[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{cells[9]}]")
    return found


def _group() -> list[int]:
    """The processes of our group."""
    ours, found = os.getpgrp(), list[int]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                after_name = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(after_name[2]) == ours:
                    found.append(int(entry.name))
    return found


def _links(pid: int) -> list[str]:
    found: list[str] = []
    with suppress(OSError):
        for descriptor in Path("/proc", str(pid), "fd").iterdir():
            with suppress(OSError):
                found.append(str(descriptor.readlink()))
    return found


def _end(program: subprocess.Popen[bytes]) -> NoReturn:
    """The program has a moment to end by itself; then the whole group is gone, this process with it."""
    with suppress(OSError):
        program.terminate()
    until = time.monotonic() + END_GRACE_S
    while program.poll() is None and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S / 2)
    if program.returncode is not None and _group() == [os.getpid()]:
        os._exit(0)
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _fail_with(program: subprocess.Popen[bytes], reason: str) -> NoReturn:
    program.kill()
    with suppress(subprocess.TimeoutExpired):
        program.wait(GONE_S)
    fail(reason)


def _end_as(code: int) -> NoReturn:
    """With the status of the program, so that whoever watches this process knows how it was."""
    sys.stderr.flush()
    if code < 0:
        number = signal.Signals(-code)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(GONE_S)
    os._exit(code)


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"


if __name__ == "__main__":
    main()
