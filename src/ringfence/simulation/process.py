"""An engine process as a supervisor sees it, and what a real one would do to the machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.placement.launch import Launch
from ringfence.placement.process import NotStarted
from ringfence.simulation.machine import Machine
from ringfence.simulation.record import Record
from ringfence.simulation.server import Mood, Pace, Server

LOAD_STEPS = 4
OUT_OF_MEMORY = "CUDA error: out of memory"
AFTER_LOAD = 0.9
"""So much of its memory an engine takes while it loads, and the rest as it serves."""
ANSWERS_UNTIL_FULL = 20


@dataclass(slots=True)
class Fate:
    """What is going to happen to one process. `takes` is by how much it takes more memory than it should."""

    load_s: float
    takes: float = 1.0
    slow: float = 1.0
    hangs: bool = False
    breaks: bool = False
    stubborn: bool = False
    """It does not listen to SIGTERM."""


class Watcher(Protocol):
    """Who is told of what processes do, before they do it."""

    def began(self, process: SimulatedProcess) -> None: ...

    def ends(self, process: SimulatedProcess, grace_s: float) -> None: ...

    def died(self, process: SimulatedProcess, how: str) -> None: ...


class SimulatedProcess(Server):
    """`real` is what it takes of each device, `held` what it holds now. It is a server once it listens."""

    def __init__(
        self, launch: Launch, api_key: str, machine: Machine, network: Doors, fate: Fate, chance: Random,
        record: Record, watcher: Watcher,
    ) -> None:  # fmt: skip
        super().__init__(launch.model, launch.model, Boundary.HOST, chance, Pace(), machine.loop)
        self.launch = launch
        self.device = "gpu"
        self.pid = machine.pid()
        self.planned: dict[str, int] = dict(launch.spec["shares"])
        self.real = {device: int(size * fate.takes) for device, size in launch.spec["real"].items()}
        self.asleep: dict[str, int] = dict(launch.spec["asleep"])
        self.held: dict[str, int] = {}
        self.is_asleep = False
        self.listens = False
        self.is_leaving = False
        self.is_told = False
        """It was started by the reconciler, and not again after a failure."""
        self.fate = fate
        self.endpoint = Endpoint("127.0.0.1", network.port(), Boundary.HOST, api_key=api_key)
        self._machine = machine
        self._network = network
        self._record = record
        self._watcher = watcher
        self._ended: asyncio.Future[str] = machine.loop.create_future()
        self._answers = 0
        watcher.began(self)
        record.note("start", f"{self.name} {self.pid}")

    @property
    def is_ending(self) -> bool:
        return self._ended.done()

    @property
    def cpu_s(self) -> float:
        """One that hangs does nothing."""
        return self.since_s if self.mood is Mood.HUNG else self._machine.now()

    async def listening(self) -> Endpoint:
        """Loads step by step, and takes the memory for each."""
        fate = self.fate
        for step in range(1, LOAD_STEPS + 1):
            await asyncio.sleep(fate.load_s * fate.slow / LOAD_STEPS)
            if fate.hangs and step == LOAD_STEPS:
                await self._ended
            if fate.breaks and step == LOAD_STEPS - 1:
                self.die("exit status 1")
            if self._ended.done() or not self._grow(AFTER_LOAD * step / LOAD_STEPS):
                raise NotStarted(f"{self._ended.result()} before it was ready")
        self.listens = True
        self._network.open(self)
        return self.endpoint

    async def ended(self) -> str:
        return f"the engine ended with {await asyncio.shield(self._ended)}"

    async def end(self, grace_s: float) -> None:
        if self._ended.done():
            return
        self._watcher.ends(self, grace_s)
        self.is_leaving = True
        if grace_s > 0:
            deaf = self.mood is Mood.HUNG or self.fate.stubborn
            await asyncio.sleep(grace_s if deaf else grace_s * 0.3 * self._chance.random())
        self.die("SIGTERM" if grace_s > 0 else "SIGKILL")

    def die(self, how: str) -> None:
        """It is gone, with all it held."""
        if self._ended.done():
            return
        self._ended.set_result(how)
        self._network.shut(self)
        self._watcher.died(self, how)
        for device in self.held:
            self._machine.gpus.release(device, self.name)
        self.held = {}
        self._record.note("end", f"{self.name} {self.pid} {how}")
        self.becomes(Mood.GONE)

    def recover(self) -> None:
        if not self._ended.done():
            super().recover()

    def work(self) -> str:
        """The first answers take what is left of its memory, and may find that it is not there."""
        self._answers += 1
        if self._answers <= ANSWERS_UNTIL_FULL:
            full = AFTER_LOAD + (1 - AFTER_LOAD) * self._answers / ANSWERS_UNTIL_FULL
            if not self._grow(full):
                return "lost"
        return ""

    def leak(self, factor: float) -> None:
        """It takes more and more."""
        self.real = {device: int(size * factor) for device, size in self.real.items()}
        if self.listens and not self.is_asleep:
            self._grow(1.0)

    def mend(self) -> None:
        """It takes what it should, and does not leak."""
        self.real = {device: int(size) for device, size in self.launch.spec["real"].items()}
        self.fate.hangs = False
        if self.listens and not self.is_asleep and not self.is_ending:
            self._grow(1.0)

    async def fall_asleep(self) -> None:
        await asyncio.sleep(1.0 + self._chance.random())
        if not self._ended.done():
            self.is_asleep = True
            self._hold(self.asleep)

    async def wake_up(self) -> None:
        await asyncio.sleep(2.0 + 3.0 * self._chance.random())
        if not self._ended.done():
            self.is_asleep = not self._grow(1.0)

    def _grow(self, part: float) -> bool:
        return self._hold({device: int(size * part) for device, size in self.real.items()})

    def _hold(self, wanted: dict[str, int]) -> bool:
        for device, size in wanted.items():
            if not self._machine.take(device, self.name, size):
                self.die(OUT_OF_MEMORY)
                return False
            self.held[device] = size
        return True


class Doors(Protocol):
    """Where a process answers."""

    def port(self) -> int: ...

    def open(self, process: SimulatedProcess) -> None: ...

    def shut(self, process: SimulatedProcess) -> None: ...


MakeFate = Callable[[Launch], Fate]
