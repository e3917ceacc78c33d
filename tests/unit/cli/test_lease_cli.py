"""`ringfence lease` as a process of its own, in front of the real book of leases behind the real control API."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from control_site import ControlSite
from rich.console import Console
from typer.testing import CliRunner

from ringfence.cli.main import app
from ringfence.cli.show_leases import leases_page
from ringfence.core.device import Device, DeviceKind
from ringfence.gateway import http
from ringfence.placement.planning import DeviceState, Plan, Waiting
from ringfence.placement.tenants import Lease, Tenants
from ringfence.runtime.what_is_lent import WhatIsLent
from ringfence.store.credentials import admin_token
from ringfence.testing.fake_leases import FakeLeases
from ringfence.testing.fake_view import FakeView

pytestmark = pytest.mark.slow

GIB = 1 << 30
CARD = Device("GPU-4090", DeviceKind.GPU, "card", 24 * GIB, 24 * GIB, 0)
RAM = Device("cpu", DeviceKind.RAM, "CPU", 64 * GIB, 40 * GIB, 24 * GIB)
PYTHON = sys.executable


class Gateway(FakeView):
    """Holds what is asked for at once, unless it is `busy`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.busy = False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.open()

    def open(self) -> None:
        """As after a start: with an empty book, and on a port of its own."""

        async def listen() -> int:
            self.book = Tenants(lambda: [DeviceState(CARD), DeviceState(RAM)], time.monotonic)
            self.view = WhatIsLent(self.book)
            self.server = http.HttpServer(ControlSite(self), http.Limits())
            return await self.server.listen("127.0.0.1", 0)

        port = asyncio.run_coroutine_threadsafe(listen(), self.loop).result(5)
        note = {"base_url": f"http://127.0.0.1:{port}/v1", "pid": os.getpid(), "started_s": time.time()}
        (self.folder / "run.json").write_text(json.dumps(note))

    def shut(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.drain(0), self.loop).result(5)

    def close(self) -> None:
        self.shut()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def do(self, what: Callable[[], Any]) -> Any:
        """In the loop, as the reconciler does it."""

        async def done() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(5)

    def all(self) -> list[Lease]:
        return self.do(self.book.all)

    def is_admin(self, token: str) -> bool:
        return token == admin_token(self.folder)

    async def leases(self) -> dict[str, Any]:
        return self.view.all()

    async def lease(self, fields: dict[str, Any]) -> dict[str, Any]:
        row = await self.view.ask(fields)
        if not self.busy:
            self.book.granted(row["id"])
        return self.view.keep(row["id"])

    async def keep_lease(self, lease_id: str) -> dict[str, Any]:
        return self.view.keep(lease_id)

    async def end_lease(self, lease_id: str) -> dict[str, Any]:
        return self.view.end(lease_id)


@pytest.fixture
def gateway(state: Path) -> Iterator[Gateway]:
    gateway = Gateway(state)
    yield gateway
    gateway.close()


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `ringfence lease ARGUMENTS -- COMMAND`."""
    started: list[subprocess.Popen[str]] = []

    def start(command: list[str], *arguments: str, memory: str = "16GiB") -> subprocess.Popen[str]:
        words = [PYTHON, "-m", "ringfence", "lease", "--memory", memory, *arguments, "--", *command]
        program = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        started.append(program)
        return program

    yield start
    for program in started:
        if program.poll() is None:
            program.kill()
        program.communicate()


def until(holds: Callable[[], Any], within_s: float = 20.0) -> Any:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if found := holds():
            return found
        time.sleep(0.02)
    pytest.fail("it never came")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def running(program: subprocess.Popen[str]) -> int:
    """The pid that the command tells when it runs."""
    assert program.stdout is not None
    return int(program.stdout.readline())


def script(*lines: str) -> list[str]:
    """A command that tells its pid, and then does this."""
    return [PYTHON, "-c", "\n".join(("import os, signal, sys, time", "print(os.getpid(), flush=True)", *lines))]


ENDURES = script("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "print('ready', flush=True)", "time.sleep(60)")
OBEYS = script("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))", "print('ready', flush=True)", "time.sleep(60)")


def test_the_command_runs_once_the_memory_is_held_and_its_status_is_ours(
    gateway: Gateway, lease: Callable[..., subprocess.Popen[str]]
) -> None:
    shows = "print(os.environ['RINGFENCE_LEASE'], os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(0.3)"
    program = lease(script(shows, "sys.exit(3)"), "--priority", "4", "--tenant", "finetune", "--device", "gpu0")
    pid = running(program)
    [held] = gateway.all()
    assert (held.tenant, held.device, held.leased_bytes, held.priority) == ("finetune", "GPU-4090", 16 * GIB, 4)
    assert held.owner is not None
    assert held.owner.pid == program.pid != pid
    assert program.stdout is not None
    assert program.stdout.readline().split() == [held.id, "GPU-4090"]
    assert program.communicate(timeout=20)[1] == ""
    assert program.returncode == 3
    assert gateway.all() == []


def test_ram_is_no_card(gateway: Gateway, lease: Callable[..., subprocess.Popen[str]]) -> None:
    program = lease(["sh", "-c", "echo card:$CUDA_VISIBLE_DEVICES"], "--device", "ram", memory="30GiB")
    assert program.communicate(timeout=20)[0] == "card:\n"


def test_it_waits_and_says_why_and_until_about_when(
    gateway: Gateway, lease: Callable[..., subprocess.Popen[str]]
) -> None:
    gateway.busy = True
    program = lease(["echo", "trained"])
    [asked] = until(gateway.all)
    plan = Plan(waiting=(Waiting(asked.id, "qwen3-8b is being drained", time.monotonic() + 42),))
    gateway.do(lambda: gateway.book.told(plan))
    assert program.stderr is not None
    said = [program.stderr.readline(), program.stderr.readline()]
    assert "Waiting for 16.0 GiB of GPU-4090" in said[0]
    assert "qwen3-8b is being drained, in about 4" in said[-1]
    assert gateway.do(lambda: gateway.book.granted(asked.id))
    assert program.communicate(timeout=20)[0] == "trained\n"
    assert (program.returncode, gateway.all()) == (0, [])


def test_who_waited_long_enough_gets_nothing(gateway: Gateway, lease: Callable[..., subprocess.Popen[str]]) -> None:
    gateway.busy = True
    program = lease(["echo", "trained"], "--wait", "0.2s")
    out, err = program.communicate(timeout=20)
    assert (program.returncode, out, gateway.all()) == (75, "", [])
    assert "No 16.0 GiB of GPU-4090 in time" in err


def test_when_the_memory_is_wanted_the_command_is_asked_to_end(
    gateway: Gateway, lease: Callable[..., subprocess.Popen[str]]
) -> None:
    program = lease(OBEYS, "--grace", "30s")
    running(program)
    assert program.stdout is not None
    program.stdout.readline()
    [held] = gateway.all()
    gateway.do(lambda: gateway.book.recalled(held.id, "qwen3-70b comes before it"))
    err = program.communicate(timeout=20)[1]
    assert program.returncode == 7
    assert "The memory is wanted back: qwen3-70b comes before it." in err
    assert "has 30 s to end" in err
    assert gateway.all() == []


def test_what_does_not_end_is_killed_with_all_that_it_started(
    gateway: Gateway, lease: Callable[..., subprocess.Popen[str]]
) -> None:
    starts = f"import subprocess; child = subprocess.Popen([{PYTHON!r}, '-c', {ENDURES[2]!r}]); child.wait()"
    program = lease([PYTHON, "-c", starts], "--grace", "0.3s")
    pid = running(program)
    assert program.stdout is not None
    program.stdout.readline()
    [held] = gateway.all()
    gateway.do(lambda: gateway.book.recalled(held.id))
    err = program.communicate(timeout=20)[1]
    assert program.returncode == 128 + signal.SIGTERM
    assert "did not end, and is killed" in err
    assert not is_alive(pid)
    assert gateway.all() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_waits_ends_the_waiting(
    gateway: Gateway, lease: Callable[..., subprocess.Popen[str]], number: int
) -> None:
    gateway.busy = True
    program = lease(["echo", "trained"])
    assert program.stderr is not None
    program.stderr.readline()
    program.send_signal(number)
    out, _ = program.communicate(timeout=20)
    assert (program.returncode, out, gateway.all()) == (128 + number, "", [])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 7), (signal.SIGINT, 130)])
def test_a_signal_while_it_runs_is_handed_on(
    gateway: Gateway, lease: Callable[..., subprocess.Popen[str]], number: int, status: int
) -> None:
    program = lease(OBEYS)
    pid = running(program)
    assert program.stdout is not None
    program.stdout.readline()
    program.send_signal(number)
    program.communicate(timeout=20)
    assert program.returncode == status
    assert not is_alive(pid)
    assert gateway.all() == []


def test_when_it_is_killed_its_command_ends_and_the_lease_is_free(
    gateway: Gateway, lease: Callable[..., subprocess.Popen[str]]
) -> None:
    program = lease(script("time.sleep(60)"))
    pid = running(program)
    assert len(gateway.all()) == 1
    program.kill()
    program.wait()
    until(lambda: not is_alive(pid))
    assert gateway.all() == []


def test_a_gateway_that_was_started_anew_is_asked_again(
    gateway: Gateway, lease: Callable[..., subprocess.Popen[str]]
) -> None:
    program = lease(OBEYS)
    running(program)
    [before] = gateway.all()
    gateway.shut()
    time.sleep(0.2)
    assert program.poll() is None
    gateway.open()
    [after] = until(gateway.all)
    assert (after.id != before.id, after.tenant, after.leased_bytes) == (True, before.tenant, before.leased_bytes)
    program.terminate()
    program.communicate(timeout=20)
    assert (program.returncode, gateway.all()) == (7, [])


def test_a_pid_that_the_gateway_cannot_see_is_not_insisted_on(
    gateway: Gateway, lease: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.book, "_find_owner", lambda _pid: None)
    program = lease(script("time.sleep(60)"))
    running(program)
    [held] = gateway.all()
    assert held.owner is None
    program.terminate()
    program.communicate(timeout=20)
    assert gateway.all() == []  # it says itself that it is gone


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--memory", "30GiB", "--device", "gpu0", "--", "true"], 1, "more than GPU-4090 could ever give: 24.0 GiB"),
        (["--memory", "1GiB", "--device", "gpu7", "--", "true"], 1, "There is no device 'gpu7'"),
        (["--memory", "1GiB", "--priority", "9", "--", "true"], 1, "Priority 9 is not in the order"),
        (["--memory", "much", "--", "true"], 2, "--memory takes bytes"),
        (["--memory", "0", "--", "true"], 2, "--memory takes"),
        (["--memory", "1GiB", "--wait", "soon", "--", "true"], 2, "--wait takes a time such as 30s"),
        (["--memory", "1GiB", "--", "no-such-command"], 127, "There is no command no-such-command"),
        (["--memory", "1GiB", "--", "./state"], 126, "./state cannot be run"),
    ],
)
def test_what_cannot_be_is_said(gateway: Gateway, arguments: list[str], status: int, words: str) -> None:
    done = CliRunner().invoke(app, ["lease", *arguments])
    assert (done.exit_code, done.stdout) == (status, "")
    assert words in done.stderr
    assert gateway.all() == []


def test_without_a_gateway_nothing_is_run(state: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["lease", "--memory", "1GiB", "--", "touch", str(tmp_path / "ran")])
    assert (done.exit_code, done.stdout) == (3, "")
    assert "Start one with `ringfence up`" in done.stderr
    assert not (tmp_path / "ran").exists()
    assert CliRunner().invoke(app, ["leases"]).exit_code == 3


# -- on a terminal ------------------------------------------------------------------------------------------------


class Terminal:
    """`ringfence lease` as somebody runs it who sits before it."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.execv(PYTHON, [PYTHON, "-m", "ringfence", "lease", "--memory", "1GiB", "--", *command])
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self.end, text.encode())

    def read_until(self, text: str) -> None:
        while text not in self.shown:
            try:
                self.shown += os.read(self.end, 4096).decode("utf-8", "replace")
            except OSError:
                pytest.fail(f"it ended with {self.shown!r}")

    def status(self) -> int:
        os.set_blocking(self.end, False)
        found = until(lambda: os.waitpid(self.pid, os.WNOHANG)[1:] if not self._drain() else None)
        os.close(self.end)
        return os.waitstatus_to_exitcode(found[0])

    def _drain(self) -> bool:
        try:
            self.shown += os.read(self.end, 4096).decode("utf-8", "replace")
        except (BlockingIOError, OSError):
            return not self._is_over()
        return True

    def _is_over(self) -> bool:
        return not is_alive(self.pid)

    def state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_the_terminal_is_the_commands_and_ctrl_c_is_for_it(gateway: Gateway) -> None:
    terminal = Terminal([PYTHON, "-c", "import sys\ntry: print('said', input()); input()\n"
                         "except KeyboardInterrupt: print('interrupted'); sys.exit(9)"])  # fmt: skip
    terminal.type("hello\n")
    terminal.read_until("said hello")
    terminal.type("\x03")
    terminal.read_until("interrupted")
    assert terminal.status() == 9
    assert gateway.all() == []


def test_ctrl_z_stops_both_and_both_go_on(gateway: Gateway) -> None:
    terminal = Terminal(["cat"])
    terminal.type("one\n")
    terminal.read_until("one\r\none")
    terminal.type("\x1a")
    until(lambda: terminal.state() == "T")
    assert len(gateway.all()) == 1
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.type("two\n")
    terminal.read_until("two\r\ntwo")
    terminal.type("\x04")
    assert terminal.status() == 0
    assert gateway.all() == []


# -- who has leases -----------------------------------------------------------------------------------------------


@pytest.fixture
def shown(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """With made-up leases."""

    async def leases() -> dict[str, Any]:
        return {"leases": gateway.lent.rows()}

    monkeypatch.setattr(gateway, "leases", leases)
    return gateway


def test_the_list_tells_who_has_what_and_why_one_waits(shown: Gateway) -> None:
    done = CliRunner().invoke(app, ["leases"])
    assert done.exit_code == 0
    for part in ("finetune, pid 8123", "16.0 GiB", "12.0 GiB", "held", "with pid", "recalled",
                 "qwen3-8b needs it", "asked", "room is being made, in about 40 s",
                 "in 5"):  # fmt: skip
        assert part in done.output
    assert json.loads(CliRunner().invoke(app, ["leases", "--json"]).stdout)["leases"][0]["tenant"] == "finetune"
    shown.lent.kept.clear()
    assert CliRunner().invoke(app, ["leases"]).output == "Nobody else has a lease.\n"


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_of_the_list_is_cut_off(columns: int) -> None:
    rows = FakeLeases().rows()
    rows[0]["device"] = "GPU-8f3c2a10-7b1d-4e5f-9a6b-0c1d2e3f4a5b"
    terminal = Console(width=columns, file=StringIO(), record=True)
    terminal.print(leases_page({"leases": rows}))
    shown = terminal.export_text()
    words = shown.split()
    for part in (rows[0]["id"], rows[0]["device"], "recalled", "pid", "needs", "made,"):
        assert any(part in word for word in words), part
    assert max(map(len, shown.splitlines())) <= columns
