"""One memory pool of a machine, as it was read at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeviceKind(StrEnum):
    """What the memory belongs to."""

    RAM = "ram"
    GPU = "gpu"
    UNIFIED = "unified"


@dataclass(frozen=True, slots=True)
class Device:
    """`available_bytes` can be taken without pushing anyone out; `used_by_others_bytes` is not held by our engines.

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

    @property
    def used_bytes(self) -> int:
        return self.total_bytes - self.available_bytes
