"""Programs that belong to a mode: started with it, stopped with it, each in a process group of its own.

None outlives the gateway, whatever ends that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path

from ringfence.placement.launch import environment
from ringfence.tether import die_with_parent

FIRST_LOOK_S = 1.0
"""One that fails does so soon, mostly."""
GRACE_S = 10.0
log = logging.getLogger("ringfence.modes")


class ProgramFailed(Exception):
    """It could not be started, or ended at once with a failure. The text is for people."""


class Programs:
    """Those that run now. What they write goes to a file of `folder` named after each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Process] = []

    async def start(self, commands: Sequence[Sequence[str]]) -> None:
        """All of them. Raises ProgramFailed, and then none of them runs."""
        try:
            for command in commands:
                self._running.append(await self._started(command))
            if commands:
                await self._none_failed(commands)
        except BaseException:
            await self.stop()
            raise

    async def _started(self, command: Sequence[str]) -> Process:
        name = Path(command[0]).name
        output = await asyncio.to_thread(self._output, name)
        ours = os.getpid()
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=environment(),
                preexec_fn=lambda: die_with_parent(ours, signal.SIGTERM),
            )
        except OSError as error:
            raise ProgramFailed(f"cannot run {command[0]}: {error.strerror or error}") from None
        finally:
            os.close(output)

    def _output(self, name: str) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        return os.open(self._folder / f"mode-{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def _none_failed(self, commands: Sequence[Sequence[str]]) -> None:
        """A program may also be one that does its work and ends."""
        ends = [asyncio.create_task(process.wait()) for process in self._running]
        await asyncio.wait(ends, timeout=FIRST_LOOK_S, return_when=asyncio.ALL_COMPLETED)
        for end in ends:
            end.cancel()
        for command, process in zip(commands, self._running, strict=True):
            if process.returncode:
                raise ProgramFailed(f"{command[0]} ended at once, with exit status {process.returncode}")

    async def stop(self) -> None:
        """SIGTERM to each group, SIGKILL after the grace."""
        running, self._running = self._running, []
        for process in running:
            _signal(process, signal.SIGTERM)
        for process in running:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE_S)
            _signal(process, signal.SIGKILL)  # also when it has ended: it may have left children in its group
            await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
