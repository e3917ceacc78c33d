"""One memory pool of a machine, as it was read at one moment, and who holds what of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

MOST_BYTES = 1 << 60
MOST_WATTS = 10_000.0
"""A driver that tells of more is not believed."""


class NotRead(Exception):
    """Devices of a kind are there, or should be, and cannot be read. The text is for people."""


class DeviceKind(StrEnum):
    """What the memory belongs to."""

    RAM = "ram"
    GPU = "gpu"
    UNIFIED = "unified"


@dataclass(frozen=True, slots=True)
class Ours:
    """An engine that we started: `pid` leads a session of its own, so that whatever it starts is known by it."""

    instance: str
    pid: int
    resident_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds memory of a device: a process, by its `name`. `held_bytes` is None where the driver does not tell.

    `instance` is one of ours; empty for a program of somebody else.
    """

    name: str
    held_bytes: int | None
    pid: int | None = None
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """`available_bytes` can be taken without pushing anyone out; `used_by_others_bytes` is not held by our engines, as
    far as that is known: what nobody can be named for counts as theirs.

    `load` is work waiting or running per core (or the busy share of a GPU); None where it cannot be read.
    """

    id: str
    kind: DeviceKind
    name: str
    total_bytes: int
    available_bytes: int
    used_by_others_bytes: int
    cores: int = 0
    load: float | None = None
    temperature_c: float | None = None
    out_of_service: str = ""
    """Why nothing may be put on it; empty when all is well."""
    holders: tuple[Holder, ...] = ()
    """Those that could be named."""
    part_of: str = ""
    """Its memory is that of the device with this id as well, and is to be counted once."""
    watts: float | None = None
    """What it draws; None where it does not tell."""

    @property
    def used_bytes(self) -> int:
        return self.total_bytes - self.available_bytes

    def taken_out(self, reason: str) -> Device:
        """As it was last seen, with nothing to be had of it."""
        return replace(self, available_bytes=0, load=None, temperature_c=None, watts=None, out_of_service=reason)


def measured(device: Device) -> Device:
    """With figures that hang together, whatever the driver said: nothing negative, nothing beyond the total, and what
    no engine of ours is known to hold is held by others."""
    total = min(max(0, device.total_bytes), MOST_BYTES)
    available = min(max(0, device.available_bytes), total)
    holders = tuple(
        replace(one, held_bytes=min(max(0, one.held_bytes), total)) if one.held_bytes is not None else one
        for one in device.holders
    )
    ours = sum(holder.held_bytes or 0 for holder in holders if holder.instance)
    others = max(0, total - available - ours)
    watts = device.watts if 0 <= (device.watts or 0) <= MOST_WATTS else None
    return replace(
        device, total_bytes=total, available_bytes=available, used_by_others_bytes=others, holders=holders, watts=watts
    )  # fmt: skip


def drawn_by_ours(devices: Iterable[Device]) -> float | None:
    """The watts of those GPUs, together, on which engines of ours are; None where there are none, or one does not
    tell."""
    told = [
        one.watts for one in devices
        if one.kind is not DeviceKind.RAM and any(holder.instance for holder in one.holders)
    ]  # fmt: skip
    known = [watts for watts in told if watts is not None]
    return sum(known) if told and len(known) == len(told) else None


def with_pools(devices: Iterable[Device]) -> list[Device]:
    """Where a GPU has no memory of its own, RAM is told to be the same pool."""
    found = list(devices)
    shared = next((one.id for one in found if one.kind is DeviceKind.UNIFIED and not one.out_of_service), "")
    return [replace(one, part_of=shared) if one.kind is DeviceKind.RAM else one for one in found]
