"""One life of one engine process: start it in its own group, read what it says, end it with everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ringfence.core.boundary import Boundary, boundary_of
from ringfence.core.catalog import Endpoint
from ringfence.placement.launch import Launch, environment
from ringfence.placement.output import LINE_CHARS, Output

PIECE_BYTES = 64 * 1024
PF_EXITING = 0x4  # linux/sched.h


class NotStarted(Exception):
    """It ended, or said why it cannot serve, before it was ready. The text is for people."""


class Life(Protocol):
    """What a supervisor needs of a process, and what a simulated one has to be."""

    device: str
    """What it says that it computes on; known once it listens."""

    @property
    def pid(self) -> int: ...

    @property
    def is_ending(self) -> bool:
        """True from the moment that it begins to end, which may be before its end is told."""
        ...

    @property
    def cpu_s(self) -> float | None:
        """Processor seconds of it and all that it started; None where that cannot be read."""
        ...

    async def listening(self) -> Endpoint:
        """Where it answers, once it does. Raises NotStarted."""
        ...

    async def ended(self) -> str:
        """Waits for the end and tells how it was."""
        ...

    async def end(self, grace_s: float) -> None:
        """Returns when nothing of it remains; zero grace kills at once. May be called again."""
        ...


StartProcess = Callable[[Launch, str, Output], Awaitable[Life]]
"""Given how, the key that the engine is to ask for, and where its output goes. Raises NotStarted."""


class EngineProcess:
    """Made by `start`. `pid` stays known after the end, for messages."""

    def __init__(self, process: Process, launch: Launch, api_key: str, output: Output) -> None:
        self._process = process
        self._launch = launch
        self._api_key = api_key
        self._output = output
        self._serves = False
        self.device = ""  # what it says that it computes on
        self._first_line: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._readers = (
            asyncio.create_task(_lines(process.stdout, self._said)),
            asyncio.create_task(_lines(process.stderr, self._wrote)),
        )
        self._readers[0].add_done_callback(lambda _task: self._said(b""))

    @classmethod
    async def start(cls, launch: Launch, api_key: str, output: Output) -> EngineProcess:
        """Raises NotStarted when the program cannot be run at all."""
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                start_new_session=True,
                env={**environment(), **launch.environment},
            )
        except OSError as error:
            raise NotStarted(f"cannot run {launch.command[0]}: {error.strerror or error}") from None
        started = cls(process, launch, api_key, output)
        if process.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):  # it is dead already: its end is told like any other
                process.stdin.write(launch.spec_line(api_key))
        return started

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_ending(self) -> bool:
        """True from the moment the kernel begins to end it: its sockets close before its exit status is known."""
        try:
            after_name = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        except OSError:
            return self._process.returncode is not None
        state, flags = after_name.split()[0], int(after_name.split()[6])
        return state in ("Z", "X") or bool(flags & PF_EXITING)

    @property
    def cpu_s(self) -> float | None:
        """Of its whole session: some engines compute in a child. Takes a few milliseconds."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(fields[3]) == self.pid:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    async def listening(self) -> Endpoint:
        """Where it answers, once it says so. Raises NotStarted with its own reason."""
        said = _parsed(await self._first_line)
        self.device = str(said.get("device", ""))
        endpoint = _endpoint(said.get("ready"), self._api_key)
        if endpoint is None:
            raise NotStarted(await self._why(said))
        self._serves = True
        return endpoint

    async def ended(self) -> str:
        """Waits for the end and tells how it was."""
        code = await self._process.wait()
        return _ending(code)

    async def end(self, grace_s: float) -> None:
        """SIGTERM, SIGKILL after `grace_s` to the whole group, and nothing remains. Zero grace kills at once."""
        if self._process.returncode is None and grace_s > 0:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
        self._signal(signal.SIGKILL)  # also when it has ended: it may have left children in its group
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        self._output.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _said(self, line: bytes) -> None:
        if not self._first_line.done():
            self._first_line.set_result(line)

    def _wrote(self, line: bytes) -> None:
        """Before it serves it cannot quote anyone; afterwards only what is surely about itself is kept."""
        text = line.decode("utf-8", "replace")
        kept = self._launch.keep(text) if self._serves else text
        if kept:
            self._output.add(kept)

    async def _why(self, said: dict[str, Any]) -> str:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._readers[1]), 1.0)
        reason = said.get("error")
        if "ready" in said:
            return "it does not listen on a loopback address"
        if not isinstance(reason, str):
            return f"{await self.ended()} before it was ready"
        detail = self._launch.explain(self._output.lines)
        return f"{reason} ({detail})" if detail else reason


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _endpoint(url: Any, api_key: str) -> Endpoint | None:
    """An engine of our own listens on loopback or is not used."""
    if not isinstance(url, str):
        return None
    parts = urlsplit(url)
    try:
        address, port = parts.hostname or "", parts.port or 0
        is_here = boundary_of(address) is Boundary.HOST
    except ValueError:
        return None
    return Endpoint(address, port, Boundary.HOST, api_key=api_key) if is_here and port else None


def _ending(code: int) -> str:
    if code >= 0:
        return f"the engine ended with exit status {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"the engine was ended by {name}"


async def _lines(stream: asyncio.StreamReader | None, take: Callable[[bytes], None]) -> None:
    """Lines of any length, cut; a line that never ends costs no memory."""
    rest = b""
    while stream is not None and (piece := await stream.read(PIECE_BYTES)):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            take(line[: LINE_CHARS * 4])
        rest = rest[: LINE_CHARS * 4]
    if rest:
        take(rest)
