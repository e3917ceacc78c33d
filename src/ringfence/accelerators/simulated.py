"""Devices that are only said to be there: everything that places models on devices runs on them without a GPU.

gpu = Simulated([Said("gpu0", 24 * GIB)])
gpu.hold("gpu0", "qwen3-8b", 6 * GIB)     # an engine of ours
gpu.grab("gpu0", "comfyui", 10 * GIB)     # a program of somebody else
gpu.release("gpu0", "comfyui")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ringfence.core.device import Device, DeviceKind, Holder, Ours, measured


class OutOfMemory(Exception):
    """As a real device answers who asks for more than there is: nothing was taken."""


@dataclass(frozen=True, slots=True)
class Said:
    """A device as it is configured."""

    id: str
    total_bytes: int
    kind: DeviceKind = DeviceKind.GPU
    name: str = ""


@dataclass(slots=True)
class _State:
    held: dict[str, tuple[int, bool]] = field(default_factory=dict[str, tuple[int, bool]])
    """Bytes by holder, and whether it is ours."""
    unnamed_bytes: int = 0
    load: float | None = None
    temperature_c: float | None = None
    out_of_service: str = ""
    is_there: bool = True


class Simulated:
    """Counts what is taken of each device. KeyError for a device that was never said to be there."""

    kind = "simulated"
    title = "Simulated"

    def __init__(self, said: Iterable[Said] = ()) -> None:
        self.said = {one.id: one for one in said}
        self._states = {name: _State() for name in self.said}

    def read(self, ours: Sequence[Ours] = ()) -> list[Device]:
        """Every device that is there. Who is ours was said with `hold`."""
        return [self._device(one, self._states[name]) for name, one in self.said.items() if self._states[name].is_there]

    def free_bytes(self, device: str) -> int:
        """What can be taken now; less than nothing is nothing, where others took more than there is."""
        state = self._states[device]
        taken = sum(held for held, _ours in state.held.values()) + state.unnamed_bytes
        return max(0, self.said[device].total_bytes - taken)

    def held(self, device: str) -> dict[str, tuple[int, bool]]:
        """Bytes by holder, and whether it is an engine of ours."""
        return self._states[device].held

    def unnamed(self, device: str) -> int:
        """Bytes that nobody can be named for."""
        return self._states[device].unnamed_bytes

    def hold(self, device: str, instance: str, held_bytes: int) -> None:
        """An engine of ours holds so much in all. OutOfMemory where that is not free."""
        self._take(device, instance, held_bytes, is_ours=True)

    def grab(self, device: str, tenant: str, held_bytes: int) -> None:
        """A program of somebody else holds so much in all. OutOfMemory where that is not free."""
        self._take(device, tenant, held_bytes, is_ours=False)

    def release(self, device: str, name: str) -> None:
        """It holds nothing any more; nothing happens where it held nothing."""
        self._states[device].held.pop(name, None)

    def ours(self, device: str) -> list[str]:
        """The engines of ours that hold something of it."""
        return [name for name, (_held, is_ours) in self._states[device].held.items() if is_ours]

    def hide(self, device: str, held_bytes: int) -> None:
        """So much is taken and nobody can be named for it."""
        self._states[device].unnamed_bytes = max(0, held_bytes)

    def heat(self, device: str, temperature_c: float | None, load: float | None) -> None:
        """It is so warm, and busy for this share of the time."""
        self._states[device].temperature_c, self._states[device].load = temperature_c, load

    def fail(self, device: str, reason: str) -> None:
        """It is out of service; with an empty reason it is well again."""
        self._states[device].out_of_service = reason

    def unplug(self, device: str) -> None:
        """It is not read any more, and what it held is gone, until it is plugged in again."""
        self._states[device] = _State(is_there=False)

    def plug_in(self, device: str) -> None:
        self._states[device].is_there = True

    def _take(self, device: str, name: str, held_bytes: int, *, is_ours: bool) -> None:
        state = self._states[device]
        if not state.is_there:
            raise OutOfMemory(f"{device} is not there")
        before = state.held.get(name, (0, is_ours))[0]
        if held_bytes - before > self.free_bytes(device):
            raise OutOfMemory(f"{name} asks {device} for {held_bytes:,} bytes and {self.free_bytes(device):,} are free")
        state.held[name] = (max(0, held_bytes), is_ours)

    def _device(self, said: Said, state: _State) -> Device:
        holders = tuple(
            Holder(name, held, instance=name if is_ours else "") for name, (held, is_ours) in state.held.items()
        )
        device = measured(
            Device(
                id=said.id,
                kind=said.kind,
                name=said.name or f"simulated {said.kind.value}",
                total_bytes=said.total_bytes,
                available_bytes=self.free_bytes(said.id),
                used_by_others_bytes=0,
                load=state.load,
                temperature_c=state.temperature_c,
                holders=holders,
            )
        )
        return device.taken_out(state.out_of_service) if state.out_of_service else device


ADAPTER = Simulated()
