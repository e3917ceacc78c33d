"""[pure] Devices that are too hot or too busy, and by how much new work on them is slowed down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ringfence.core.device import Device, DeviceKind

HOT_SHARE = 0.5
"""Of the places of a target on a hot device."""
BUSY_SHARE = 1.0
"""On a busy one it keeps them all: a GPU that answers is busy. But nothing in the background is begun there."""


def share(device: Device, hot_c: float = 80.0, busy_percent: float = 85.0) -> float | None:
    """Of its places that a target there is to have, when it is above `hot_c` degrees or more than `busy_percent` busy;
    None when it is as usual. The load of RAM is a queue for processors, and says nothing of how busy memory is."""
    if (device.temperature_c or 0.0) > hot_c:
        return HOT_SHARE
    if device.kind is not DeviceKind.RAM and (device.load or 0.0) * 100 > busy_percent:
        return BUSY_SHARE
    return None


def least_busy_percent(devices: Iterable[Device]) -> float:
    """How busy the GPU is that has the least to do; 0 without one whose load can be read."""
    loads = [one.load for one in devices if one.kind is not DeviceKind.RAM and one.load is not None]
    return min(loads, default=0.0) * 100


def slowed(
    devices: Iterable[Device], on: Mapping[str, Iterable[str]], hot_c: float = 80.0, busy_percent: float = 85.0
) -> dict[str, float]:
    """By target: the share of its places that it is to have. `on` tells the devices of each target; those that are as
    usual are left out."""
    strained = {device.id: found for device in devices if (found := share(device, hot_c, busy_percent)) is not None}
    shares = {target: [strained[one] for one in where if one in strained] for target, where in on.items()}
    return {target: min(found) for target, found in shares.items() if found}
