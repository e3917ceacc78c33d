"""The egress process: `python -m ringfence.egress.process`, the only one that holds cloud keys and dials clouds.

It reads its settings, keys included, as one line of JSON from standard input, says on standard output `ready` or
`failed`, serves gateways of this user on a Unix socket, and lives no longer than its parent. A further line has other
providers in it; they are put to work while calls under way go on as they began, and it says `changed` or `refused`.

`ringfence egress` runs the same without a parent.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import resource
import signal
import stat
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import uvloop

from ringfence.core.registry import adapters
from ringfence.egress import tls
from ringfence.egress.calls import Calls
from ringfence.egress.cloud import Adapter, Cloud
from ringfence.egress.journal import Journal
from ringfence.egress.server import SocketServer
from ringfence.egress.settings import Settings, SettingsInvalid, read_settings
from ringfence.store.failure import StoreFailed
from ringfence.store.private_file import OTHERS, make_private_folder
from ringfence.telemetry.logs import configure
from ringfence.tether import die_with_parent, keep_memory_private, leave_when_input_ends

DRAIN_S = 1.0
log = logging.getLogger("ringfence.egress.process")
Tell = Callable[[dict[str, Any]], None]
Change = Callable[[Callable[[], Settings]], object]
"""Reads the settings anew and puts their providers to work; may be called from any thread."""
Feed = Callable[[Change], None]
"""Is handed a Change once this process serves, and calls it whenever there is something new."""


def main() -> None:
    """Run as a child of `ringfence up`."""
    try:
        settings = read_settings(sys.stdin.readline())
    except SettingsInvalid as invalid:
        _tell({"failed": str(invalid)})
        sys.exit(2)
    die_with_parent(settings.parent_pid)
    code = run(settings, _tell, _from_parent)
    sys.stderr.flush()
    os._exit(code)  # the resolver's threads must not hold up the end


def run(settings: Settings, tell: Tell, feed: Feed) -> int:
    """Serve until a signal ends it; the exit status. Whoever runs it should leave by os._exit."""
    try:
        _write_no_core_file()
        keep_memory_private()
        _raise_file_limit()
        configure(settings.log_level, settings.log_file)
        uvloop.run(_serve(settings, tell, feed))
    except (StoreFailed, SettingsInvalid) as error:
        tell({"failed": str(error)})
        return 1
    except OSError as error:
        tell({"failed": f"{error.strerror or 'the system refused'}: {error.filename or settings.socket}"})
        return 1
    return 0


def _from_parent(change: Change) -> None:
    leave_when_input_ends(
        lambda: os.kill(os.getpid(), signal.SIGTERM), lambda line: change(lambda: read_settings(line))
    )


async def _serve(settings: Settings, tell: Tell, feed: Feed) -> None:
    _check_folder(settings.socket.parent)
    _claim = claimed(settings.socket)  # held as long as this name is
    clouds = made_clouds(settings, adapters(import_module("ringfence.providers")))
    journal = Journal.open(settings.journal)
    calls = Calls(clouds, journal, settings.timeouts, time.time)
    server = SocketServer(calls.serve)
    ending, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    try:
        await server.listen(settings.socket)
        feed(partial(loop.call_soon_threadsafe, partial(_change, settings, calls, tell)))  # its turn comes after this
        tell({"ready": {"socket": str(settings.socket), "pid": os.getpid(), "providers": sorted(clouds)}})
        log.info("ready for %d providers", len(clouds))
        await ending.wait()
    finally:
        await _stop(server, calls)
        with suppress(OSError):
            settings.socket.unlink()
        journal.close()


def _change(settings: Settings, calls: Calls, tell: Tell, read: Callable[[], Settings]) -> None:
    """What cannot be used changes nothing. Where the socket and the journal lie stays as it was at the start."""
    try:
        fresh = replace(settings, providers=read().providers)
        clouds = made_clouds(fresh, adapters(import_module("ringfence.providers")), calls.clouds)
    except SettingsInvalid as error:
        log.warning("the providers stay as they were: %s", error)
        tell({"refused": str(error)})
        return
    calls.change(clouds)
    log.info("changed to %d providers", len(clouds))
    tell({"changed": {"providers": sorted(clouds)}})


async def _stop(server: SocketServer, calls: Calls) -> None:
    """Calls under way have a moment; then they are cut off, and their ends are written down all the same."""
    server.stop_listening()
    if calls.running:
        await asyncio.wait(calls.running, timeout=DRAIN_S)
    server.close()
    if calls.running:
        await asyncio.wait(calls.running, timeout=DRAIN_S)


def made_clouds(
    settings: Settings, known: Mapping[str, Adapter], kept: Mapping[str, Cloud] = MappingProxyType({})
) -> dict[str, Cloud]:
    """The providers by name; those that are the same among `kept` are taken from there, with their lines.

    SettingsInvalid for a dialect that nobody speaks, or authorities that cannot be read.
    """
    try:
        trusted = tls.context(settings.ca_file)
    except OSError:
        raise SettingsInvalid(f"{settings.ca_file}: no certificates can be read from it") from None
    clouds: dict[str, Cloud] = {}
    for name, provider in settings.providers.items():
        adapter = known.get(provider.dialect)
        if adapter is None:
            raise SettingsInvalid(f"'{name}' speaks a dialect that is not known; known are: {', '.join(sorted(known))}")
        old = kept.get(name)
        clouds[name] = old if old is not None and old.provider == provider else Cloud(
            provider, adapter, trusted, settings.timeouts.connect_s,
            is_loopback_allowed=settings.allow_insecure_loopback,
        )  # fmt: skip
    return clouds


def claimed(socket: Path) -> IO[bytes]:
    """Hold the place of the socket until the file is closed or this process ends, however it ends. StoreFailed."""
    path = socket.with_name(socket.name + ".lock")
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            file.close()
            raise
    except BlockingIOError:
        raise StoreFailed(
            socket,
            "is in use: another egress process listens there",
            "end that one, or set RINGFENCE_STATE_DIR to a folder of its own",
        ) from None
    except OSError as error:
        raise StoreFailed.of(path, error) from error
    if socket.exists() and not socket.is_socket():
        file.close()
        raise StoreFailed(socket, "is in the way: it is not a socket", "move it away")
    return file


def _check_folder(folder: Path) -> None:
    make_private_folder(folder)
    found = folder.stat()
    if stat.S_IMODE(found.st_mode) & OTHERS:
        raise StoreFailed(folder, "can be entered by others", f"run: chmod 700 {folder}")
    if found.st_uid != os.geteuid():
        raise StoreFailed(folder, "belongs to another user", "give it to the user that runs Ringfence (chown)")


def _write_no_core_file() -> None:
    """It holds the keys."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _raise_file_limit() -> None:
    """Every call is two files; the usual soft limit of 1,024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tell(row: dict[str, Any]) -> None:
    """A parent that has gone is no reason to fail: the tether ends us."""
    with suppress(OSError):
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
