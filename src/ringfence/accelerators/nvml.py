"""NVIDIA's GPUs, by the management library of their driver. Nothing is ever set on them, MIG included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ringfence.accelerators.meminfo import meminfo
from ringfence.accelerators.nvml_library import Handle, Nvml, NvmlError, load_library
from ringfence.accelerators.processes import holder
from ringfence.core.device import Device, DeviceKind, Holder, NotRead, Ours, measured

XIDS_OF_PROGRAMS = frozenset((13, 31, 43, 45, 68))
"""Faults of the program that computed, after which the GPU is as good as before; NVIDIA's device plugin for Kubernetes
passes over the same (github.com/NVIDIA/k8s-device-plugin, health.go). After any other it is kept out."""
SPLIT = "it is split by MIG, which is left as it is"
NOT_INITIALISED = 1


class Nvidia:
    """Keeps the library open, and what was last known of each card: one that is lost does not tell its name any more.

    `load` gives the library or None; `proc` is elsewhere in tests only. An id is the UUID, which engines take
    (CUDA_VISIBLE_DEVICES) and which stays with the card.
    """

    kind = "nvidia"
    title = "NVIDIA"

    def __init__(self, load: Callable[[], Any] = load_library, proc: Path = Path("/proc")) -> None:
        self._load = load
        self._proc = proc
        self._nvml: Nvml | None = None
        self._known: dict[int, Device] = {}
        self._index_of: dict[int | None, int] = {}
        self._faults: dict[int, str] = {}

    def read(self, ours: Sequence[Ours] = ()) -> list[Device]:
        """Every card, lost ones as well. NotRead where the driver as a whole does not work."""
        try:
            nvml = self._opened()
            if nvml is None:
                return []
            self._hear_of_faults(nvml)
            return [self._card(nvml, index, handle, ours) for index, handle in nvml.handles()]
        except NvmlError as error:
            if error.code == NOT_INITIALISED:
                self._nvml = None  # the driver was loaded anew under us: begin again next time
            raise NotRead(str(error)) from None

    def _opened(self) -> Nvml | None:
        if self._nvml is None:
            library = self._load()
            if library is None:
                return None
            nvml = Nvml(library)
            self._index_of.clear()
            for index, handle in nvml.handles():
                if not isinstance(handle, NvmlError):
                    self._index_of[handle.value] = index
                    self._watch(nvml, index, handle)
            self._nvml = nvml
        return self._nvml

    def _watch(self, nvml: Nvml, index: int, handle: Handle) -> None:
        try:
            nvml.watch(handle)
        except NvmlError:
            return  # it is lost already, and its reading says so

    def _hear_of_faults(self, nvml: Nvml) -> None:
        for address, xid in nvml.faults():
            index = self._index_of.get(address)
            if index is not None and xid not in XIDS_OF_PROGRAMS:
                self._faults[index] = (
                    f"its driver reported the fault Xid {xid} (see the kernel's log); it is kept out until the card is "
                    "reset or the machine rebooted, and Ringfence started again"
                )

    def _card(self, nvml: Nvml, index: int, handle: Handle | NvmlError, ours: Sequence[Ours]) -> Device:
        try:
            if isinstance(handle, NvmlError):
                raise handle
            device = self._read(nvml, handle, ours)
        except NvmlError as error:
            known = self._known.get(index)
            if known is None:
                known = Device(f"nvidia-{index}", DeviceKind.GPU, f"NVIDIA GPU {index}", 0, 0, 0)
            return known.taken_out(self._faults.get(index) or str(error))
        self._known[index] = device
        fault = self._faults.get(index, "")
        return device.taken_out(fault) if fault else device

    def _read(self, nvml: Nvml, handle: Handle, ours: Sequence[Ours]) -> Device:
        memory = nvml.memory(handle)
        is_split = nvml.is_split(handle)
        busy_percent = nvml.busy_percent(handle)
        temperature_c, watts = nvml.temperature_c(handle), nvml.watts(handle)
        held = [holder(pid, told, ours, self._proc) for pid, told in nvml.processes(handle).items()]
        kind = DeviceKind.GPU
        if memory is None:
            kind, memory = DeviceKind.UNIFIED, meminfo(self._proc) or (0, 0)
            held += [Holder(one.instance, one.resident_bytes, one.pid, one.instance) for one in ours]
        total, free = memory
        device = measured(
            Device(
                id=nvml.uuid(handle),
                kind=kind,
                name=nvml.name(handle),
                total_bytes=total,
                available_bytes=free,
                used_by_others_bytes=0,
                load=None if busy_percent is None else busy_percent / 100,
                temperature_c=temperature_c,
                holders=tuple(held),
                watts=watts,
            )
        )
        return device.taken_out(SPLIT) if is_split else device


ADAPTER = Nvidia()
