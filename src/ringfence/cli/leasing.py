"""Running a command within a lease: wait for the memory, keep it while the command lives, leave when it is recalled."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from ringfence.cli.asking import asked
from ringfence.cli.client import Gateway, NotRunning, Refused, connect, folder_of
from ringfence.cli.command_group import CommandGroup
from ringfence.cli.show_leases import why
from ringfence.cli.sizes import in_bytes, refused
from ringfence.store.failure import StoreFailed

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
NOT_GRANTED, NOT_STARTABLE, NOT_FOUND = 75, 126, 127
"""Exit statuses: EX_TEMPFAIL of sysexits.h; the other two as shells have them."""
LOOK_EVERY_S, BEAT_EVERY_S, TTL_S = 0.5, 1.0, 60.0
ENDED_BY = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command is to have. `grace_s` is how long it has from SIGTERM to SIGKILL."""

    tenant: str
    memory_bytes: int
    priority: int | None
    device: str | None
    wait_s: float
    grace_s: float


class Stopped(Exception):
    """A signal came before there was a command to hand it to."""


def seconds(given: str, option: str) -> float:
    """Of text such as 30s or 10m. Ends with status 2 where it is none."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smhd]?)", given.strip())
    if found is None:
        refused(f"{option} takes a time such as 30s, 10m or 2h, not {given}")
    return float(found[1]) * UNITS[found[2]]


def run(config: Path | None, wish: Wish, command: list[str]) -> int:
    """The exit status of the command, or why it was not run."""
    if shutil.which(command[0]) is None:
        is_there = Path(command[0]).exists()
        _say(f"{command[0]} cannot be run" if is_there else f"There is no command {command[0]}", "red")
        return NOT_STARTABLE if is_there else NOT_FOUND
    gateway = connect(config)
    with _stoppable():
        try:
            claim = Claim(folder_of(config), gateway, wish)
            try:
                if not _granted(claim, wish):
                    return NOT_GRANTED
                return _carried(claim, wish, command)
            finally:
                claim.end()
        except Stopped as stopped:
            return 128 + int(stopped.args[0])
        except KeyboardInterrupt:
            return 128 + signal.SIGINT


class Claim:
    """Our lease, whichever it is now: a gateway that was started anew may not know it any more, and is asked again."""

    def __init__(self, folder: Path, gateway: Gateway, wish: Wish) -> None:
        self.said = ""
        """What went wrong last in talking to the gateway; empty when all is well."""
        self._folder = folder
        self._gateway: Gateway | None = gateway
        self._fields: dict[str, Any] = {
            "tenant": wish.tenant, "device": wish.device, "memory": wish.memory_bytes, "priority": wish.priority,
            "ttl_s": TTL_S, "pid": os.getpid(),
        }  # fmt: skip
        try:
            self.row: dict[str, Any] = gateway.ask("POST", "/leases", self._fields)
        except Refused as problem:
            if problem.param == "pid":  # it runs in a container, or is not to see our processes: heartbeats do
                self._fields["pid"] = None
            self.row = asked(gateway, "POST", "/leases", self._fields)
        except NotRunning:
            self.row = asked(gateway, "POST", "/leases", self._fields)

    def beat(self) -> None:
        """We live; what the lease is now. A gateway that is away is no reason to end: what we hold is seen to be held
        when it comes back."""
        try:
            gateway = self._gateway = self._gateway or Gateway(self._folder)
            try:
                self.row = gateway.ask("POST", f"/leases/{self.row['id']}/heartbeat")
            except Refused as problem:
                if problem.status != 404:
                    raise
                self.row = gateway.ask("POST", "/leases", self._fields)
            self.said = ""
        except (NotRunning, Refused, StoreFailed) as problem:
            self._gateway, self.said = None, str(problem)

    def end(self) -> None:
        """We are gone. What cannot be said now is seen by the end of our process."""
        with suppress(NotRunning, Refused, StoreFailed):
            gateway = self._gateway or Gateway(self._folder)
            gateway.ask("DELETE", f"/leases/{self.row['id']}")


def _granted(claim: Claim, wish: Wish) -> bool:
    """Waits; True once it is held."""
    until_s = time.monotonic() + wish.wait_s
    if claim.row["phase"] == "held":  # at once, mostly
        return True
    with _line() as show:
        while claim.row["phase"] != "held":
            if time.monotonic() >= until_s:
                reason = claim.said or why(claim.row) or "there was no room"
                _say(f"No {in_bytes(wish.memory_bytes)} of {claim.row['device']} in time: {reason}", "red")
                return False
            show(f"Waiting for {in_bytes(wish.memory_bytes)} of {claim.row['device']}", claim.said or why(claim.row))
            time.sleep(min(LOOK_EVERY_S, max(0.01, until_s - time.monotonic())))
            claim.beat()
            if claim.row["phase"] == "recalled":  # before we knew that it was ours
                claim.end()
    return True


def _carried(claim: Claim, wish: Wish, command: list[str]) -> int:
    """Runs it while we keep the lease."""
    env = os.environ | {"RINGFENCE_LEASE": claim.row["id"]}
    if claim.row["device"].startswith("GPU-"):  # as NVIDIA's driver names its cards, and CUDA takes it
        env["CUDA_VISIBLE_DEVICES"] = claim.row["device"]
    try:
        group = CommandGroup(command, env)
    except OSError as error:
        _say(f"{command[0]} cannot be started: {error.strerror}", "red")
        return NOT_STARTABLE
    over, recalled = threading.Event(), threading.Event()

    def beats() -> None:
        while not over.wait(BEAT_EVERY_S):
            claim.beat()
            if claim.row["phase"] == "recalled":
                recalled.set()

    keeper = threading.Thread(target=beats, daemon=True, name="heartbeats")
    keeper.start()
    try:
        with group.signals_passed_on(wish.grace_s):
            while not group.is_over():
                if recalled.is_set() and not group.is_asked_to_end:
                    reason = f": {claim.row['reason']}" if claim.row["reason"] else ""
                    _say(f"The memory is wanted back{reason}. {command[0]} has {wish.grace_s:.0f} s to end.", "yellow")
                    group.ask_to_end(wish.grace_s)
                if group.kill_when_due():
                    _say(f"{command[0]} did not end, and is killed.", "yellow")
    finally:
        group.close()
        over.set()
        keeper.join(BEAT_EVERY_S)
    return group.status


@contextmanager
def _stoppable() -> Iterator[None]:
    """While nothing runs yet, signals end us in order."""

    def stop(number: int, _frame: object) -> None:
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in ENDED_BY}
    try:
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)


@contextmanager
def _line() -> Iterator[Any]:
    """A function that shows what is waited for, and why: on a terminal in place, elsewhere when it changes."""
    if sys.stderr.isatty():
        with Console(stderr=True).status("") as status:
            yield lambda what, reason: status.update(f"{what}{f': {reason}' if reason else ''} ...")
        return
    last = ""

    def show(what: str, reason: str) -> None:
        nonlocal last
        told = re.sub(r",? ?in about .*", "", reason)  # an estimate that runs down is no news
        if last != (last := f"{what}: {told}" if told else what):
            _say(f"{what}{f': {reason}' if reason else ''}", "cyan")

    yield show


def _say(text: str, colour: str) -> None:
    typer.secho(text, err=True, fg=colour)
