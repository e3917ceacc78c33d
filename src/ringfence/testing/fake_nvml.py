"""A stand-in for NVIDIA's management library: cards as a test says they are, asked as the real one is by ctypes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

GIB = 1024**3
NOT_SUPPORTED, INSUFFICIENT_SIZE, TIMEOUT, LOST = 3, 7, 10, 15
NO_FIGURE = 2**64 - 1


@dataclass
class Card:
    """`broken` is the code that everything about it is answered with; 0 while it works."""

    name: str = "NVIDIA GeForce RTX 4090"
    total: int = 24 * GIB
    used: int = 1 * GIB
    reserved: int = 0
    percent: int = 0
    temperature: int = 40
    milliwatts: int | None = None
    computing: dict[int, int] = field(default_factory=dict)
    drawing: dict[int, int] = field(default_factory=dict)
    mig: int = 0
    broken: int = 0
    has_memory: bool = True


class FakeNvml:
    """Functions by their C names. `old` ones of a driver before version 2 of the memory report are all it has then."""

    def __init__(self, *cards: Card, init: int = 0, old: bool = False) -> None:
        self.cards = list(cards)
        self.init = init
        self.old = old
        self.faults: list[tuple[int, int]] = []
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __getattr__(self, name: str) -> Callable[..., int]:
        function = getattr(type(self), f"_{name}", None)
        if function is None or (self.old and name == "nvmlDeviceGetMemoryInfo_v2"):
            raise AttributeError(name)

        def called(*arguments: Any) -> int:
            self.calls.append(name)
            self.gate.wait(5)
            return function(self, *arguments)

        return called

    def _nvmlInit_v2(self) -> int:
        return self.init

    def _nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self.cards)
        return 0

    def _nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        card = self.cards[index.value]
        handle._obj.value = 0x1000 + index.value
        return card.broken

    def _card(self, handle: Any) -> Card:
        return self.cards[handle.value - 0x1000]

    def _nvmlDeviceGetName(self, handle: Any, buffer: Any, _size: Any) -> int:
        buffer.value = self._card(handle).name.encode()
        return self._card(handle).broken

    def _nvmlDeviceGetUUID(self, handle: Any, buffer: Any, _size: Any) -> int:
        buffer.value = f"GPU-{handle.value - 0x1000}".encode()
        return self._card(handle).broken

    def _nvmlDeviceGetMemoryInfo_v2(self, handle: Any, memory: Any) -> int:
        card, told = self._card(handle), memory._obj
        if told.version != 0x02000028:
            return 25
        told.total, told.used, told.reserved = card.total, card.used, card.reserved
        told.free = max(0, card.total - card.used - card.reserved)
        return card.broken or (0 if card.has_memory else NOT_SUPPORTED)

    def _nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        card, told = self._card(handle), memory._obj
        told.total, told.used, told.free = card.total, card.used, card.total - card.used
        return card.broken

    def _nvmlDeviceGetUtilizationRates(self, handle: Any, told: Any) -> int:
        told._obj.gpu = self._card(handle).percent
        return self._card(handle).broken

    def _nvmlDeviceGetTemperature(self, handle: Any, _sensor: Any, told: Any) -> int:
        told._obj.value = self._card(handle).temperature
        return self._card(handle).broken

    def _nvmlDeviceGetPowerUsage(self, handle: Any, told: Any) -> int:
        milliwatts = self._card(handle).milliwatts
        told._obj.value = milliwatts or 0
        return self._card(handle).broken or (NOT_SUPPORTED if milliwatts is None else 0)

    def _nvmlDeviceGetMigMode(self, handle: Any, now: Any, pending: Any) -> int:
        now._obj.value = pending._obj.value = self._card(handle).mig
        return self._card(handle).broken

    def _nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, count: Any, rows: Any) -> int:
        return self._card(handle).broken or _list(self._card(handle).computing, count, rows)

    def _nvmlDeviceGetGraphicsRunningProcesses_v3(self, handle: Any, count: Any, rows: Any) -> int:
        return self._card(handle).broken or _list(self._card(handle).drawing, count, rows)

    def _nvmlEventSetCreate(self, events: Any) -> int:
        events._obj.value = 0x77
        return 0

    def _nvmlDeviceRegisterEvents(self, handle: Any, kinds: Any, _events: Any) -> int:
        assert kinds.value == 8
        return self._card(handle).broken

    def _nvmlEventSetWait_v2(self, _events: Any, event: Any, timeout: Any) -> int:
        assert timeout.value == 0
        if not self.faults:
            return TIMEOUT
        index, xid = self.faults.pop(0)
        event._obj.device, event._obj.type, event._obj.data = 0x1000 + index, 8, xid
        return 0


def _list(held: dict[int, int], count: Any, rows: Any) -> int:
    room, count._obj.value = count._obj.value, len(held)
    if room < len(held):
        return INSUFFICIENT_SIZE
    for place, (pid, used) in enumerate(held.items()):
        rows[place].pid, rows[place].used = pid, used
    return 0
