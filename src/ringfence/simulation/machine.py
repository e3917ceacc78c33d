"""The machine on which engines are simulated: its devices and their driver, its clocks, its process numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ringfence.accelerators.simulated import OutOfMemory, Said, Simulated
from ringfence.core.device import Device, NotRead, Ours
from ringfence.simulation.loop import VirtualLoop

BEGAN_S = 1_790_000_000.0
"""UTC at the beginning."""


class Gpus(Simulated):
    """Simulated devices with a driver that can fail, and be slow to answer."""

    def __init__(self, said: Sequence[Said]) -> None:
        super().__init__(said)
        self.answers_after_s = 0.0
        self.fails = ""
        self.was_read: Callable[[frozenset[str]], None] = lambda _well: None
        """Told which devices are there and well, whenever they are read."""

    def read(self, ours: Sequence[Ours] = ()) -> list[Device]:
        if self.fails:
            raise NotRead(self.fails)
        devices = self.peek()
        self.was_read(frozenset(device.id for device in devices if not device.out_of_service))
        return devices

    def peek(self) -> list[Device]:
        """As it is, without its driver."""
        return super().read()

    def of_others(self, device: str) -> dict[str, int]:
        """What programs of others really hold of it, by name; what nobody can be named for by an empty one."""
        return {name: held for name, (held, ours) in self.held(device).items() if not ours} | {"": self.unnamed(device)}


class Machine:
    """`wall` is UTC as the machine believes, and may jump; `now` never goes back."""

    def __init__(self, loop: VirtualLoop, said: Sequence[Said]) -> None:
        self.loop = loop
        self.gpus = Gpus(said)
        self.wall_ahead_s = 0.0
        self.suspended_s = 0.0
        self.resumed_s = float("-inf")
        """When it last woke up."""
        """For how long it stood still, in all."""
        self._pids = 1000

    def now(self) -> float:
        return self.loop.time()

    def wall(self) -> float:
        return BEGAN_S + self.loop.time() + self.wall_ahead_s

    def pid(self) -> int:
        self._pids += 1
        return self._pids

    def beside(self, do: Callable[[], None], _name: str) -> None:
        """In the place of the thread that reads devices."""
        if self.gpus.answers_after_s:
            self.loop.call_later(self.gpus.answers_after_s, do)
        else:
            do()

    def suspend(self, seconds: float) -> None:
        """Whatever would have been due meanwhile is due now."""
        self.suspended_s += seconds
        self.loop.pass_time(seconds)
        self.resumed_s = self.now()

    def take(self, device: str, name: str, held_bytes: int) -> bool:
        """An engine of ours asks the device for memory; False where that is not to be had."""
        try:
            self.gpus.hold(device, name, held_bytes)
        except OutOfMemory:
            return False
        return True
