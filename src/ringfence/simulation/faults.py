"""What goes wrong, and when: a schedule that a seed makes, with at least one fault in each ten minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from ringfence.placement.launch import Launch
from ringfence.simulation.callers import Callers
from ringfence.simulation.machine import Machine
from ringfence.simulation.outsiders import Grabber, Tenant
from ringfence.simulation.process import Fate, SimulatedProcess
from ringfence.simulation.record import Record
from ringfence.simulation.server import Mood, Server

SLOT_S = 600.0
MORE = 0.7
"""How many faults there are beside the one of each slot, on average."""
HANGING_DRIVER_S = 12.0
RELENTS_S = 120.0


class Faults:
    """`begin` schedules them; each is noted when it happens."""

    def __init__(
        self, machine: Machine, alive: Callable[[], Sequence[SimulatedProcess]], far: Sequence[Server],
        grabbers: Sequence[Grabber], tenants: Sequence[Tenant], callers: Callers, chance: Random, record: Record,
    ) -> None:  # fmt: skip
        self.count = 0
        self.is_on = False
        self._machine = machine
        self._alive = alive
        self._far = far
        self._grabbers = grabbers
        self._tenants = tenants
        self._callers = callers
        self._chance = chance
        self._record = record
        self._fates: list[dict[str, object]] = []
        self._kinds: tuple[tuple[Callable[[], str], float], ...] = (
            (self._crash, 4), (self._crash_all, 0.5), (self._hang, 2), (self._garbage, 1.5), (self._slow, 1),
            (self._leak, 2), (self._next_load, 4), (self._far_away, 2), (self._grab, 3), (self._grab_all, 1.5),
            (self._unplug, 0.7), (self._out_of_service, 0.7), (self._driver_hangs, 0.7), (self._driver_fails, 0.7),
            (self._heat, 1), (self._hidden, 1), (self._tenant_dies, 1), (self._tenant_deaf, 1), (self._wall, 1.5),
            (self._suspend, 1), (self._crowd, 2),
        )  # fmt: skip

    async def live(self) -> None:
        """For ever."""
        self.is_on = True
        while True:
            times = [self._chance.uniform(0, SLOT_S)]
            while self._chance.random() < MORE / (1 + MORE):
                times.append(self._chance.uniform(0, SLOT_S))
            passed = 0.0
            for at_s in sorted(times):
                await asyncio.sleep(at_s - passed)
                passed = at_s
                if self.is_on:
                    self._happen()
            await asyncio.sleep(SLOT_S - passed)

    def fate(self, launch: Launch, load_s: float) -> Fate:
        """Of a process that is about to be started."""
        fate = Fate(load_s * self._chance.uniform(0.7, 1.5), stubborn=self._chance.random() < 0.05)
        if self._fates and self.is_on:
            for name, value in self._fates.pop().items():
                setattr(fate, name, value)
        return fate

    def _happen(self) -> None:
        """One that finds nobody to happen to gives way to another."""
        kinds, weights = zip(*self._kinds, strict=True)
        told = ""
        while not told:
            told = self._chance.choices(kinds, weights)[0]()
        self.count += 1
        self._record.note("fault", told)

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        self._machine.loop.call_later(seconds, do)

    def _some(self) -> SimulatedProcess | None:
        alive = [process for process in self._alive() if not process.is_ending]
        return self._chance.choice(alive) if alive else None

    # -- engines ------------------------------------------------------------------------------------------------------

    def _crash(self) -> str:
        process = self._some()
        if process is None:
            return ""
        process.die("SIGSEGV")
        return f"crash {process.name}"

    def _crash_all(self) -> str:
        for process in list(self._alive()):
            process.die("SIGKILL by the kernel")
        return "crash of all"

    def _mood(self, mood: Mood, lasts_s: float | None) -> str:
        process = self._some()
        if process is None or not process.listens:
            return ""
        process.becomes(mood)
        if lasts_s is not None:
            self._later(lasts_s, process.recover)
        return f"{mood} {process.name}"

    def _hang(self) -> str:
        return self._mood(Mood.HUNG, None)

    def _garbage(self) -> str:
        return self._mood(Mood.GARBAGE, 300.0)

    def _slow(self) -> str:
        return self._mood(Mood.SLOW, 300.0)

    def _leak(self) -> str:
        process = self._some()
        if process is None:
            return ""
        process.leak(self._chance.uniform(1.1, 2.0))
        return f"leak {process.name}"

    def _next_load(self) -> str:
        fates: tuple[dict[str, object], ...] = (
            {"hangs": True}, {"breaks": True}, {"slow": self._chance.uniform(2, 8)},
            {"takes": self._chance.uniform(1.2, 2.0)}, {"stubborn": True},
        )  # fmt: skip
        fate = self._chance.choice(fates)
        self._fates.append(fate)
        return f"next load {next(iter(fate))}"

    def _far_away(self) -> str:
        server = self._chance.choice(self._far)
        mood = self._chance.choice((Mood.GONE, Mood.HUNG, Mood.GARBAGE, Mood.SLOW))
        server.becomes(mood)
        self._later(self._chance.uniform(5, 600), server.recover)
        return f"{mood} {server.name}"

    # -- memory and devices -------------------------------------------------------------------------------------------

    def _grab(self) -> str:
        grabber = self._chance.choice(self._grabbers)
        grabber.grab(int((1 << 30) * self._chance.uniform(1, 12)))
        return f"grab {grabber.name}"

    def _grab_all(self) -> str:
        grabber = self._chance.choice(self._grabbers)
        grabber.grab(1 << 40)
        self._later(self._chance.uniform(20, 300), grabber.let_go)
        return f"grab all {grabber.name}"

    def _device(self) -> str:
        return self._chance.choice(list(self._machine.gpus.said))

    def _unplug(self) -> str:
        device, gpus = self._device(), self._machine.gpus
        if device not in {one.id for one in gpus.peek()}:
            return ""
        for process in list(self._alive()):
            if device in process.planned:
                process.die("a lost device")
        gpus.unplug(device)
        self._later(self._chance.uniform(30, 900), lambda: gpus.plug_in(device))
        return f"unplug {device}"

    def _out_of_service(self) -> str:
        device, gpus = self._device(), self._machine.gpus
        gpus.fail(device, "its driver reported the fault Xid 79")
        for process in list(self._alive()):
            if device in process.planned:
                process.becomes(Mood.HUNG)
        self._later(self._chance.uniform(60, 900), lambda: gpus.fail(device, ""))
        return f"xid {device}"

    def _driver_hangs(self) -> str:
        gpus = self._machine.gpus
        gpus.answers_after_s = self._chance.uniform(2.0, HANGING_DRIVER_S)
        self._later(RELENTS_S, lambda: setattr(gpus, "answers_after_s", 0.0))
        return f"driver answers after {gpus.answers_after_s:.1f} s"

    def _driver_fails(self) -> str:
        gpus = self._machine.gpus
        gpus.fails = "the driver does not answer"
        self._later(self._chance.uniform(5, RELENTS_S), lambda: setattr(gpus, "fails", ""))
        return "driver fails"

    def _heat(self) -> str:
        device, gpus = self._device(), self._machine.gpus
        gpus.heat(device, 88.0, 0.99)
        self._later(self._chance.uniform(60, 600), lambda: gpus.heat(device, 55.0, 0.2))
        return f"heat {device}"

    def _hidden(self) -> str:
        """Memory that nobody can be named for."""
        device, gpus = self._device(), self._machine.gpus
        gpus.hide(device, min(gpus.free_bytes(device), int((1 << 30) * self._chance.uniform(0.5, 8))))
        self._later(self._chance.uniform(60, 900), lambda: gpus.hide(device, 0))
        return f"hidden {device}"

    # -- tenants, clocks, callers -------------------------------------------------------------------------------------

    def _tenant_dies(self) -> str:
        tenants = [tenant for tenant in self._tenants if tenant.lease is not None]
        for tenant in tenants[:1]:
            tenant.is_dead = True
        return f"{tenants[0].name} dies" if tenants else ""

    def _tenant_deaf(self) -> str:
        tenants = [tenant for tenant in self._tenants if tenant.lease is not None]
        for tenant in tenants[:1]:
            tenant.is_deaf = True
        return f"{tenants[0].name} is deaf" if tenants else ""

    def _wall(self) -> str:
        jump_s = self._chance.choice((-86_400.0, -3600.0, -1.0, 1.0, 3600.0, 7 * 86_400.0))
        self._machine.wall_ahead_s += jump_s
        return f"wall clock {jump_s:+.0f} s"

    def _suspend(self) -> str:
        gap_s = self._chance.choice((0.5, 5.0, 60.0, 1800.0))
        self._machine.suspend(gap_s)
        return f"suspended for {gap_s:g} s"

    def _crowd(self) -> str:
        size = self._chance.randint(10, 60)
        self._callers.crowd(size)
        return f"crowd of {size}"
