"""`ringfence up`: a small parent that starts the gateway with a scrubbed environment, shows progress, and waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from ringfence.cli.clouds import CLOUD_KEYS, clouds_in_words
from ringfence.cli.outside import Outside
from ringfence.cli.settings import variables
from ringfence.egress.child import EgressNotStarted
from ringfence.tether import adopt_orphans, bury_orphans

PASSED_ON = frozenset((
    "PATH", "HOME", "USER", "LANG", "TMPDIR", "TZ", "TERM", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "HF_TOKEN", "HF_ENDPOINT",
    "HF_HUB_OFFLINE", "CREDENTIALS_DIRECTORY", "SSL_CERT_FILE", "SSL_CERT_DIR",
))  # fmt: skip
PASSED_ON_PREFIXES = (
    "LC_",
    "XDG_",
    "RINGFENCE_",
    "PYTHON",
    "CUDA_",
    "NVIDIA_",
    "HIP_",
    "ROCR_",
    "GGML_",
    "OMP_",
    "GOMP_",
)
STOP_S = 2.7
IN_STATE_FOLDER = "*"  # for the log: the gateway knows where its state is
MOST_FAILED_STARTS = 5
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 3.0
LONG_START_S = 60.0
"""A gateway that lived so long did start, although an engine of it was still loading."""
TITLES = {"llamacpp": "llama.cpp", "vllm": "vLLM", "ollama": "Ollama", "lmstudio": "LM Studio"}


def scrubbed(
    source: Mapping[str, str], wanted: frozenset[str] = frozenset(), kept_out: frozenset[str] = frozenset()
) -> dict[str, str]:
    """What the gateway needs of our environment, and `wanted`. Never what holds a provider's key, even where the
    gateway would use it otherwise, and no cloud key that no engine of ours asks for."""
    usual = {name for name in source if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)}
    return {name: source[name] for name in sorted((usual - {*CLOUD_KEYS} | wanted) - kept_out) if name in source}


def wait_before_start_s(failed_starts: int) -> float:
    """One that was ready begins again at once, however often it dies; one that does not start is given time."""
    return min(FIRST_WAIT_S * 2**failed_starts, LONGEST_WAIT_S)


class _Killed(Exception):
    """The gateway was given its moment to end, and is gone now."""


class Parent:
    """Starts the gateway, follows what it tells, starts it again when it dies, ends it with us."""

    def __init__(self, spec: dict[str, Any], *, as_json: bool, open_console: bool, console: Console) -> None:
        self._spec = spec
        self._as_json = as_json
        self._open_console = open_console
        self._console = console
        self._child: subprocess.Popen[str] | None = None
        self._outside: Outside | None = None
        self._ending = False
        self._has_told = False
        self._was_ready = False
        self._is_ready = False
        self._gave_reason = False
        self._is_listening = False
        self._spinner: Status | None = None
        self._has_terminal = _has_terminal()

    def warn(self, line: str) -> None:
        """Also where only one line of JSON is wanted: on standard error then."""
        out = Console(stderr=True) if self._as_json else self._console
        out.print(f"[yellow]![/] {escape(line)}", highlight=False)

    def run(self, outside: Outside) -> int:
        """Until a signal comes or the gateway gives up; the exit status. `outside` is there before it, and after it."""
        signal.signal(signal.SIGTERM, self._pass_on)
        signal.signal(signal.SIGINT, self._pass_on)
        signal.signal(signal.SIGHUP, self._reload)
        self._outside = outside
        adopt_orphans()
        try:
            outside.start()
            return self._run(outside)
        except EgressNotStarted as error:
            self.failed({"failed": f"the egress process: {error}", "problems": []})
            return 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)  # the gateway is gone; at our own end nobody would take the signal
            outside.stop()
            bury_orphans(alive=True)

    def _run(self, outside: Outside) -> int:
        failed_starts = 0
        while not self._ending:
            began, self._is_ready = time.monotonic(), False
            code = self._live_once()
            if self._ending:
                break
            did_start = self._is_ready or time.monotonic() - began > LONG_START_S
            failed_starts = 0 if did_start else failed_starts + 1
            if not self._was_ready or self._gave_reason or failed_starts >= MOST_FAILED_STARTS:
                self._gave_up(code)
                return code if code > 0 else 1
            self._say(f"[red]The gateway ended with status {code}; starting it again.[/]")
            time.sleep(wait_before_start_s(failed_starts))
            bury_orphans(spare=outside.pids)
            if reason := outside.catch_up():
                self.warn(reason)
        return 0

    def _live_once(self) -> int:
        """One life of the gateway; its exit status."""
        path = Path(self._spec["config"]) if self._spec["config"] else None
        env = scrubbed(os.environ, *variables(path, self._spec["overrides"]))  # anew: a reload may name other keys
        command = [sys.executable, "-P", "-m", "ringfence.runtime.process"]
        self._has_told = False
        child = self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True
        )
        assert child.stdin is not None and child.stdout is not None
        if self._ending:  # the signal came when there was no child to pass it on to
            _kill_all_of(child)
        self._spec["parent_pid"] = os.getpid()
        with suppress(BrokenPipeError):
            child.stdin.write(json.dumps(self._spec) + "\n")
            child.stdin.flush()
        self._spin("Starting")
        with suppress(_Killed):
            self._listen(child.stdout)
        self._spin(None)
        code = self._wait(child)
        with suppress(OSError):
            child.stdin.close()
        return code

    def _listen(self, lines: Iterable[str]) -> None:
        """To the end of what the gateway tells; _Killed when that was waited for long enough."""
        self._is_listening = True
        try:
            for line in lines:
                with suppress(ValueError):
                    self._told(json.loads(line))
        finally:
            self._is_listening = False

    def _wait(self, child: subprocess.Popen[str]) -> int:
        try:
            return child.wait(STOP_S if self._ending else None)
        except subprocess.TimeoutExpired:
            _kill_all_of(child)
            return child.wait()

    def _pass_on(self, number: int, _frame: object) -> None:
        """The first signal asks the gateway to end; it has a moment, then it is killed."""
        child, is_first, self._ending = self._child, not self._ending, True
        if child is None:
            sys.exit(128 + number)
        if is_first:
            if number == signal.SIGINT and self._outside is not None:  # side by side: both take their moment
                threading.Thread(target=self._outside.stop, daemon=True).start()
            # one that has told nothing serves nobody, and may still load its modules: Python may lose a SIGINT then
            child.send_signal(signal.SIGINT if number == signal.SIGINT and self._has_told else signal.SIGTERM)
            signal.signal(signal.SIGALRM, self._kill)
            signal.setitimer(signal.ITIMER_REAL, STOP_S if number == signal.SIGINT else 30.0)
        else:
            _kill_all_of(child)

    def _kill(self, _number: int, _frame: object) -> None:
        if self._child is not None:
            _kill_all_of(self._child)
        if self._is_listening:  # an engine that was about to start may hold the other end of the pipe
            raise _Killed

    def _reload(self, number: int, frame: object) -> None:
        """SIGHUP means two things: the terminal was closed, or somebody wants the configuration read again."""
        if self._has_terminal and not _has_terminal():
            self._pass_on(number, frame)
        elif self._child is not None:
            self._child.send_signal(signal.SIGHUP)

    # -- what people see --------------------------------------------------------------------------------------------

    def _told(self, row: dict[str, Any]) -> None:
        self._has_told = True
        if "step" in row:
            self._say(f"[green]✓[/] {escape(row['step'])}")
            self._spin("Loading")
        elif "warning" in row:
            self._say(f"[yellow]![/] {escape(row['warning'])}")
        elif "progress" in row:
            at = row["progress"]
            share = at["done"] / max(1, at["total"])
            bar = "━" * round(share * 30)
            self._spin(f"{at['model']} [cyan]{bar:<30}[/] {share:4.0%} of {at['total'] / 1e6:,.0f} MB")
        elif "egress" in row:
            outside = self._outside
            if outside is not None:
                self._answer(outside.asked(row["egress"]), outside.renewed)
        elif "failed" in row:
            self.failed(row)
        elif "ready" in row:
            self._ready(row["ready"])

    def _answer(self, reason: str, renewed: list[str]) -> None:
        """The gateway waits for it: whether its providers may change, or why not, and whose key did."""
        if reason:
            self.warn(reason)
        child = self._child
        if child is not None and child.stdin is not None:
            with suppress(OSError):
                child.stdin.write(json.dumps({"egress": reason, "renewed": renewed}) + "\n")
                child.stdin.flush()

    def _ready(self, ready: dict[str, Any]) -> None:
        """Said in full once; a gateway that came back has the same address and key."""
        self._spin(None)
        self._is_ready = True
        if self._was_ready:
            self._say(f"[green]✓[/] Ready again on {escape(ready['base_url'])}")
            return
        self._was_ready = True
        port = ready["base_url"].rsplit(":", 1)[1].split("/")[0]
        self._spec["overrides"] = {**self._spec["overrides"], "server.port": port}
        if self._as_json:
            print(json.dumps(ready), flush=True)  # noqa: T201
        else:
            self._banner(ready)
        if self._open_console:
            webbrowser.open(ready["console_url"])

    def _gave_up(self, code: int) -> None:
        """The last word, unless the gateway has said itself why it does not run."""
        if not self._gave_reason:
            log = self._spec["log_file"] or "its log"
            self.failed({"failed": f"the gateway ended with status {code}; see {log}", "problems": []})

    def failed(self, row: dict[str, Any]) -> None:
        """It did not start, or does not run any more: `failed` says why, `problems` every line of it."""
        self._spin(None)
        self._gave_reason = True
        if self._as_json:
            print(json.dumps({"error": row["failed"], "problems": row["problems"]}), flush=True)  # noqa: T201
            return
        error = Console(stderr=True)
        error.print(f"[red]✗ Ringfence did not start:[/] {escape(row['failed'])}")
        for problem in row["problems"]:
            error.print(f"  {escape(problem)}")

    def _banner(self, ready: dict[str, Any]) -> None:
        url, key, models = ready["base_url"], ready["api_key"] or "", ready["models"]
        out = self._console
        out.print()
        out.print(f"[bold green]Ringfence is ready[/] in {ready['took_s']:.1f} s", highlight=False)
        out.print()
        for name, value in (
            ("Address", url),
            ("API key", key),
            ("Models", ", ".join(models)),
            ("Console", ready["console_url"]),
        ):
            out.print(f"  [dim]{name:<8}[/] {escape(value)}", soft_wrap=True, highlight=False)
        for found in ready["adopted"]:
            title = TITLES.get(found["engine"], found["engine"])
            models_there = escape(found["models"]) or "[yellow]nothing answers yet[/]"
            out.print(f"  [dim]{'Adopted':<8}[/] {title} at {found['url']}: {models_there}", highlight=False)
        for left in ready["left_out"]:
            out.print(
                f"  [dim]{'Left out':<8}[/] {escape(left['engine_model'])}: {escape(left['reason'])}", highlight=False
            )
        for title, text in clouds_in_words(ready):
            out.print(f"  [dim]{title:<8}[/] {escape(text)}", highlight=False)
        model = "auto" if "auto" in models or not models else models[0]
        out.print()
        out.print("  [dim]from openai import OpenAI[/]", highlight=False)
        out.print(f'  [dim]client = OpenAI(base_url="{url}", api_key="{key}")[/]', soft_wrap=True, highlight=False)
        question = 'messages=\\[{"role": "user", "content": "What is Ringfence?"}]'
        call = f'client.chat.completions.create(model="{model}", {question})'
        out.print(f"  [dim]print({call}.choices\\[0].message.content)[/]", soft_wrap=True, highlight=False)
        out.print()
        out.print(
            "  Ctrl-C ends everything. Elsewhere: [bold]ringfence chat[/], [bold]ringfence status --watch[/]",
            highlight=False,
        )

    def _say(self, text: str) -> None:
        if not self._as_json:
            self._console.print(text, highlight=False)

    def _spin(self, text: str | None) -> None:
        """A spinner with a text, where people look; None ends it."""
        if self._as_json or not self._console.is_terminal:
            return
        if self._spinner is not None and text is not None:
            self._spinner.update(text)
        elif text is not None:
            self._spinner = self._console.status(text)
            self._spinner.start()
        elif self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


def _has_terminal() -> bool:
    """Whether a terminal controls us: one that was closed cannot be opened any more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _kill_all_of(child: subprocess.Popen[str]) -> None:
    """With its group: an engine that it was just about to start would hold the pipe that we read to the end."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
