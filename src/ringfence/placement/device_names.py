"""[pure] Devices by the names that people give them: the id, gpu0 for the first GPU of the machine, ram."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ringfence.core.device import Device, DeviceKind

_GPU = re.compile(r"gpu(\d{1,4})")


def named(devices: Iterable[Device], name: str) -> Device | None:
    """The one that is meant; an id comes before what it could mean otherwise. GPUs count in the order of their
    drivers, and one that shares its memory with the processor is one of them."""
    found = list(devices)
    for device in found:
        if device.id == name:
            return device
    number = _GPU.fullmatch(name)
    if number is not None:
        gpus = [device for device in found if device.kind is not DeviceKind.RAM]
        return gpus[int(number[1])] if int(number[1]) < len(gpus) else None
    if name == "ram":
        return next((device for device in found if device.kind is DeviceKind.RAM), None)
    return None
