"""The gateway process: `python -m ringfence.runtime.process`, started by `ringfence up`, or `ringfence serve` alone.

Started by a parent it reads one line of JSON from standard input, tells on standard output what is done (a line of
JSON each, the last one `ready` or `failed`), and lives no longer than the parent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any

import uvloop

from ringfence import engines
from ringfence.config.cloud_keys import handed_to_egress, not_used
from ringfence.config.load import load
from ringfence.config.problems import ConfigError, ConfigInvalid
from ringfence.config.routing import ALIASES
from ringfence.config.schema import Config, state_dir
from ringfence.core.registry import adapters
from ringfence.interrupts import end_at_once
from ringfence.runtime.claim import claim
from ringfence.runtime.configured import wanted
from ringfence.runtime.instances import WAY_OUT, NotServable
from ringfence.runtime.parent import Parent
from ringfence.runtime.parts import Origin, Runtime
from ringfence.runtime.prices import unpriced_in_words
from ringfence.runtime.reloading import Outcome
from ringfence.runtime.sensitive import sensitivity
from ringfence.store.failure import StoreFailed
from ringfence.store.private_file import make_private_folder, replace_private
from ringfence.tether import die_with_parent, leave_when_input_ends

log = logging.getLogger("ringfence.process")
Tell = Callable[[dict[str, Any]], None]
QUICK_DRAIN_S = 1.0
PATIENT_DRAIN_S = 25.0
FIRST_READY_S = 120.0


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run. `config` None: the built-in configuration. `cloud_keys` are names only, of what was found."""

    config: str | None = None
    overrides: dict[str, str] = field(default_factory=dict[str, str])
    log_file: str | None = None
    parent_pid: int = 0
    cloud_keys: tuple[str, ...] = ()


def main() -> None:
    """Run as a child of `ringfence up`."""
    spec = Spec(**json.loads(sys.stdin.readline()))
    die_with_parent(spec.parent_pid)
    parent = Parent(_tell)
    leave_when_input_ends(lambda: os.kill(os.getpid(), signal.SIGTERM), parent.said)
    code = run(spec, _tell, parent)
    sys.stderr.flush()
    os._exit(code)  # a download in a thread of its own must not hold up the end


def run(spec: Spec, tell: Tell, parent: Parent | None = None) -> int:
    """Serve until a signal ends it; the exit status."""
    _raise_file_limit()
    end_at_once()  # what follows until signals are taken holds nothing that an end could harm
    try:
        uvloop.run(_serve(spec, tell, parent))
    except ConfigInvalid as invalid:
        tell({"failed": "the configuration is not valid", "problems": [str(problem) for problem in invalid.problems]})
        return 2
    except (ConfigError, NotServable, StoreFailed) as error:
        tell({"failed": str(error), "problems": []})
        return 1
    except OSError as error:
        tell({"failed": _address_error(error), "problems": []})
        return 1
    return 0


async def _serve(spec: Spec, tell: Tell, parent: Parent | None) -> None:
    began = monotonic()
    path = Path(spec.config) if spec.config else None
    config = load(path, overrides=spec.overrides, kinds=adapters(engines))
    sensitivity(config)
    if path is not None:
        tell({"step": f"Configuration {path}"})
    origin = Origin(path, spec.overrides, _log_file(spec, config))
    folder = state_dir(config)
    make_private_folder(folder)
    _claim = claim(folder)  # held as long as this name is
    runtime = Runtime(config, origin, parent)
    runtime.cloud_keys = spec.cloud_keys
    loop, ending = asyncio.get_running_loop(), asyncio.Event()
    drain = [PATIENT_DRAIN_S]

    def end(number: int) -> None:
        if ending.is_set() or number == signal.SIGINT:
            drain[0] = QUICK_DRAIN_S
        ending.set()

    loop.add_signal_handler(signal.SIGTERM, end, signal.SIGTERM)
    loop.add_signal_handler(signal.SIGINT, end, signal.SIGINT)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(_reload(runtime))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    runtime.instances.on_progress = _Progress(tell)
    bringing_up = asyncio.create_task(_bring_up(runtime, tell, began))
    try:
        await _first(bringing_up, ending)
        if not ending.is_set():
            await bringing_up  # raises what went wrong
        await ending.wait()
    finally:
        bringing_up.cancel()
        with suppress(OSError):
            (runtime.folder / "run.json").unlink()
        await runtime.stop(drain[0])


async def _first(task: asyncio.Task[None], event: asyncio.Event) -> None:
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _bring_up(runtime: Runtime, tell: Tell, began: float) -> None:
    credentials = await runtime.start(lambda text: tell({"step": text}))
    _write_run_file(runtime)
    await _until_ready(runtime, tell)
    for problem in runtime.without_tokenizer:
        tell({"warning": problem})
    if reason := unpriced_in_words(runtime.config):
        tell({"warning": reason})
    if reason := await runtime.instances.closed_way_out():
        tell({"warning": reason})
    tell({"ready": _ready(runtime, credentials.api_key if credentials else None, monotonic() - began)})


class _Progress:
    """Tells of a download, four times a second at most."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told_at = 0.0

    def __call__(self, model: str, done: int, total: int) -> None:
        now = monotonic()
        if now - self._told_at > 0.25 or done >= total:
            self._told_at = now
            self._tell({"progress": {"model": model, "done": done, "total": total}})


async def _until_ready(runtime: Runtime, tell: Tell) -> None:
    """Tell of each configured model as it becomes ready, or why it does not; the gateway serves meanwhile."""
    desired = runtime.placing.desired
    defaults = {slot.default for slot in desired.config.slots.values()}
    stays = {
        one.instance for one in desired.entries.values() if one.settings.residency == "always" or one.name in defaults
    }
    ours = {status.name for status in runtime.placement.status() if status.is_ours}
    for one in desired.entries.values():
        if one.instance in ours - stays:
            tell({"step": f"{one.name} is loaded when it is asked for ({one.settings.residency})"})
    ours &= stays
    deadline = monotonic() + FIRST_READY_S
    while ours and monotonic() < deadline:
        for status in runtime.placement.status():
            if status.name not in ours:
                continue
            if status.state == "ready":
                ours.discard(status.name)
                tell(
                    {
                        "step": f"{status.model} on {status.engine}, {status.window or '?'} tokens "
                        f"x {status.slots or '?'}"
                    }
                )
            elif status.state == "failed" or runtime.placement.is_refused(status.name):
                ours.discard(status.name)
                tell({"warning": f"{status.model} cannot be served: {status.reason}"})
        await asyncio.sleep(0.02)


def _ready(runtime: Runtime, api_key: str | None, took_s: float) -> dict[str, Any]:
    names = runtime.pipeline.settings.catalog.names
    named = {name: one.settings.url for name, one in wanted(runtime.config).items()}
    found = [
        {"engine": s.engine, "url": named.get(s.name) or f"http://127.0.0.1:{s.port}", "models": s.model}
        for s in runtime.placement.status() if not s.is_ours and s.name != WAY_OUT
    ]  # fmt: skip
    return {
        "base_url": f"{runtime.base_url}/v1",
        "api_key": api_key,
        "models": [*names, *(name for name in runtime.pipeline.settings.offered if name not in ALIASES)],
        "pid": os.getpid(),
        "console_url": runtime.console_link(),
        "state_dir": str(runtime.folder),
        "adopted": found,
        "providers": list(runtime.config.providers),
        "house_cap": asdict(runtime.config.money.house.budget),
        "handed_to_egress": handed_to_egress(runtime.config),
        "cloud_keys": not_used(runtime.cloud_keys, runtime.config),
        "left_out": [asdict(one) for one in runtime.instances.left_out],
        "took_s": round(took_s, 3),
    }


async def _reload(runtime: Runtime) -> None:
    asked_s = time()
    try:
        outcome = await runtime.reload()
    except Exception:
        log.exception("the reload failed inside the gateway")
        outcome = Outcome(False, problems=("the gateway failed on this reload; its log says where",))
    write_outcome(runtime.folder, outcome, asked_s)


def write_outcome(folder: Path, outcome: Outcome, asked_s: float) -> None:
    """Where `ringfence config reload` looks for what became of its signal, which came at `asked_s` (Unix time)."""
    row = {
        "at_s": asked_s,
        "ok": outcome.ok,
        "problems": list(outcome.problems),
        "dead_keys": list(outcome.dead_keys),
        "notes": list(outcome.notes),
        "changes": [{"path": change.path, "reload": change.reload} for change in outcome.changes],
    }
    replace_private(folder / "reload.json", json.dumps(row).encode())


def _write_run_file(runtime: Runtime) -> None:
    path = runtime.origin.path
    row = {"pid": os.getpid(), "base_url": runtime.base_url, "started_s": runtime.started_s,
           "config": str(path.absolute()) if path is not None else None}  # fmt: skip
    replace_private(runtime.folder / "run.json", json.dumps(row).encode())


def _log_file(spec: Spec, config: Config) -> Path | None:
    """None: as configured. What the configuration names rules over the place in the state folder."""
    if spec.log_file == "*":
        return None if config.logging.file else state_dir(config) / "logs" / "gateway.log"
    return Path(spec.log_file) if spec.log_file else None


def _raise_file_limit() -> None:
    """Every client is a file; the usual soft limit of 1,024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _address_error(error: OSError) -> str:
    if error.errno in (98, 48):
        return (
            f"{error.strerror}: another program listens there; choose another with --port, or --port 0 for a free one"
        )
    if isinstance(error, socket.gaierror):
        return f"the address to listen on cannot be resolved: {error.strerror}"
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def _tell(row: dict[str, Any]) -> None:
    """A parent that has gone is no reason to fail: the tether ends us."""
    with suppress(OSError):
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
