"""What is told of devices to whoever runs the gateway: who holds how much of them, and how much it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ringfence.accelerators.cpu import ADAPTER as CPU
from ringfence.core.device import Device
from ringfence.placement.instance import InstanceStatus, Placement
from ringfence.runtime.memory import Memory, held_bytes, ours_of

FRESH_S = 2.0
"""How long a reading is good enough for a page that shows everything."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """What of a device's free memory is not for new models: it stays free after every load, or is leased and not taken
    yet. Below the threshold, models leave."""

    headroom_bytes: int = 0
    threshold_bytes: int = 0
    leased_bytes: int = 0


class WhatHolds:
    """Shows `memory` as it was last read, and has it read when somebody looks. `reserved` is what is kept of a device,
    by its id."""

    def __init__(
        self, placement: Placement, memory: Memory, reserved: Callable[[str], Reserved] = lambda _device: Reserved()
    ) -> None:
        self._placement = placement
        self._memory = memory
        self._reserved = reserved
        self._reading: asyncio.Task[None] | None = None

    def shown(self, statuses: Sequence[InstanceStatus]) -> list[dict[str, Any]]:
        """Each memory pool as it was last read; reads anew beside that, when it is a while ago."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._memory.refresh(FRESH_S), name="show devices")
        known = self._memory.pools or CPU.read(ours_of(statuses))
        return [_pool(device) for device in known]

    async def all(self) -> dict[str, Any]:
        """Read now: each pool with everybody who holds something of it, and what cannot be read."""
        await self._memory.recall()
        await self._memory.refresh()
        return {
            "devices": [
                _map(device, self._holders(device), self._reserved(device.id)) for device in self._memory.pools
            ],
            "unread": [{"title": one.title, "reason": one.reason} for one in self._memory.devices.unread],
        }

    def _holders(self, device: Device) -> list[dict[str, Any]]:
        """Ours first, each once, then programs of others by what they hold; last what nobody could be named for."""
        instances = dict.fromkeys(holder.instance for holder in device.holders if holder.instance)
        rows = [
            _row("instance", name, held_bytes(device, name), None, self._footprint(name, device)) for name in instances
        ]
        programs = [holder for holder in device.holders if not holder.instance]
        programs.sort(key=lambda holder: -(holder.held_bytes or 0))
        rows += [_row("program", one.name, one.held_bytes, one.pid) for one in programs]
        named = sum(holder.held_bytes or 0 for holder in programs)
        if device.used_by_others_bytes > named:
            rows.append(_row("unnamed", "", device.used_by_others_bytes - named, None))
        return rows

    def _footprint(self, instance: str, device: Device) -> dict[str, Any] | None:
        """What it should take, what it took at most, and what is reckoned with."""
        setup = self._memory.setup_of(instance, device)
        figure = self._memory.book.figure(setup) if setup is not None else None
        if setup is None or figure is None:
            return None
        known = self._memory.book.of(setup)
        return {
            "predicted_bytes": known.predicted_bytes, "observed_bytes": known.observed_bytes, "loads": known.loads,
            "bytes": figure.bytes, "low_bytes": figure.low_bytes, "high_bytes": figure.high_bytes,
            "basis": figure.basis.value,
        }  # fmt: skip


def _pool(device: Device) -> dict[str, Any]:
    return {
        "id": device.id, "name": device.name, "kind": device.kind.value, "total_bytes": device.total_bytes,
        "free_bytes": device.available_bytes, "others_bytes": device.used_by_others_bytes,
        "load_percent": None if device.load is None else round(min(1.0, device.load) * 100),
        "temperature_c": device.temperature_c, "out_of_service": device.out_of_service,
    }  # fmt: skip


def _map(device: Device, holders: list[dict[str, Any]], reserved: Reserved) -> dict[str, Any]:
    """With what is left once each engine of ours holds as much as is reckoned with: it may have given some back."""
    growth = sum(max(0, row["footprint"]["bytes"] - row["held_bytes"]) for row in holders if row["footprint"])
    left = max(0, device.available_bytes - growth)
    return _pool(device) | {"expected_free_bytes": left, **asdict(reserved), "holders": holders}


def _row(
    kind: str, name: str, held_bytes: int | None, pid: int | None, footprint: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"kind": kind, "name": name, "pid": pid, "held_bytes": held_bytes, "footprint": footprint}
