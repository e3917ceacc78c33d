"""Presidio as a further reader of what could leave: asked in a process of its own, within a time limit.

Whatever goes wrong - it takes too long, it ends, it cannot read a text - the request stays on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from time import monotonic
from typing import Any

from ringfence.config.problems import ConfigError
from ringfence.config.schema import Config
from ringfence.config.sensitivity import PresidioSettings
from ringfence.core.boundary import Boundary
from ringfence.placement.launch import environment
from ringfence.signals.texts import BETWEEN, is_media, plain, texts_of

log = logging.getLogger("ringfence.presidio")
COMMAND = (sys.executable, "-P", "-m", "ringfence.runtime.presidio_process")
START_S = 60.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 60.0
MAX_ANSWER_BYTES = 1024 * 1024
REGEX_LIMIT = "REGEX_TIMEOUT_SECONDS"
"""Presidio passes over a pattern that takes longer. It must not: our own limit comes first, and keeps the text here."""


class NotRead(Exception):
    """The process gave no answer that can be used."""


class Presidio:
    """Started with `start`, ended with `close`. Texts are read one after the other."""

    def __init__(
        self, settings: PresidioSettings, boundaries: dict[str, Boundary], command: tuple[str, ...] = COMMAND
    ) -> None:
        self.settings = settings
        self.boundaries = boundaries
        self._command = command
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._reading: asyncio.Task[set[str]] | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        """Returns when it can read. Raises ConfigError with its own words when it cannot."""
        process = await self._launched()
        self._keeper = asyncio.create_task(self._keep(process), name="presidio")

    async def close(self) -> None:
        """End it, whatever it does."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None:
            _end(process)
            await process.wait()

    async def read(self, body: dict[str, Any]) -> Boundary:
        """How far this request may travel. Never raises; HOST when it could not be read in time."""
        reading = asyncio.create_task(self._asked(body), name="presidio reads")
        try:
            async with asyncio.timeout(self.settings.wait_s):
                found = await asyncio.shield(reading)
        except TimeoutError:
            log.warning("a request could not be read within sensitivity.presidio.wait_s; it stays on this machine")
            return Boundary.HOST
        except Exception:  # its words could quote the request
            return Boundary.HOST
        finally:
            if self._reading is not reading:
                reading.cancel()  # it waits for its turn, and nobody waits for it
            reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        return min((self.boundaries.get(entity, Boundary.HOST) for entity in found), default=Boundary.CLOUD)

    async def _asked(self, body: dict[str, Any]) -> set[str]:
        line = await asyncio.to_thread(_line, body)
        async with self._turn:
            process = self._process
            if process is None:
                raise NotRead
            self._reading = asyncio.current_task()
            try:
                async with asyncio.timeout(self.settings.wait_s):
                    told = await _answer(process, line)
            except TimeoutError:  # of its own time, not that of those who wait: nothing else can stop it
                _end(process)
                raise NotRead from None
            finally:
                self._reading = None
        if not isinstance(found := told.get("found"), list):
            raise NotRead
        return set(map(str, found))

    async def _keep(self, process: Process) -> None:
        """Start it again whenever it ends, at ever longer intervals while it keeps ending."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            began = monotonic()
            await process.wait()
            self._process = None
            if monotonic() - began > LONGEST_BACKOFF_S:
                backoff_s = FIRST_BACKOFF_S
            log.error("Presidio has ended; requests that could leave stay on this machine until it is back")
            while self._process is None:
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
                with contextlib.suppress(ConfigError, OSError):
                    process = await self._launched()

    async def _launched(self) -> Process:
        settings = self.settings
        decisive = [entity for entity in settings.entities if self.boundaries.get(entity, 0) == Boundary.HOST]
        spec = {
            **settings.model_dump(include={"languages", "entities", "models", "score"}),
            "decisive": decisive, "parent_pid": os.getpid(),
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True, limit=MAX_ANSWER_BYTES,
            env=environment() | {REGEX_LIMIT: str(int(settings.wait_s) + 60)},
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_S):
                told = await _answer(process, json.dumps(spec).encode() + b"\n")
        except (TimeoutError, NotRead):
            told = {"error": "it does not start"}
        except BaseException:
            _end(process)
            raise
        if "ready" not in told:
            _end(process)
            await process.wait()
            raise ConfigError(f"sensitivity.presidio: {told.get('error', 'it does not start')}")
        self._process = process
        return process


def presidio(config: Config) -> Presidio | None:
    """None where it is switched off."""
    said = config.sensitivity
    if said.presidio is None:
        return None
    reach = {name: Boundary.parse(boundary) for name, boundary in said.boundaries.items()}
    return Presidio(said.presidio, {name: reach.get(name, Boundary.HOST) for name in said.presidio.entities})


async def started(config: Config) -> Presidio | None:
    """The further reader of what could leave, ready; None where none is configured. ConfigError when it cannot read."""
    reader = presidio(config)
    if reader is not None:
        await reader.start()
    return reader


async def _answer(process: Process, line: bytes) -> dict[str, Any]:
    """One line there, one line back."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(line)
        await process.stdin.drain()
        told = json.loads(await process.stdout.readline())
    except (OSError, ValueError):
        raise NotRead from None
    return told if isinstance(told, dict) else {}


def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _line(body: dict[str, Any]) -> bytes:
    """All that a body says, as the process takes it."""
    return (
        json.dumps(plain(BETWEEN.join(text for text in texts_of(body) if text and not is_media(text)))).encode() + b"\n"
    )
