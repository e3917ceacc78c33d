"""NVIDIA's management library, the few functions that are needed of it, by ctypes.

NVIDIA's own binding (nvidia-ml-py) takes 18 MB and 90 ms to load, a fifth of what the gateway may take; the library
comes with the driver. Names, structures and codes are those of nvml.h: functions with a version in their name do not
change any more.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import Structure, byref, c_int, c_uint, c_ulonglong, c_void_p, create_string_buffer, sizeof
from typing import Any, TypeVar

Out = TypeVar("Out", bound=Any)
Handle = Any
"""Of a device: what the library gave, handed back as it is."""

NOT_SUPPORTED, INSUFFICIENT_SIZE, TIMEOUT, FUNCTION_NOT_FOUND, OTHER_VERSION = 3, 7, 10, 13, 25
GONE = frozenset((10, 11, 15, 16, 17, 28))
"""Codes after which a device is not to be used: it keeps silent, or is lost, or wants a reset."""
WORDS = {
    1: "its library was not initialised",
    3: "it does not support what it was asked",
    4: "it may not be read by this user",
    9: "the driver is not loaded",
    10: "it did not answer in time",
    11: "the kernel has a problem with its interrupts",
    15: "it is lost: it fell off the bus, or does not answer any more; the machine needs a reboot",
    16: "it needs a reset (nvidia-smi --gpu-reset), or the machine a reboot",
    17: "the system refused the driver",
    18: "driver and library are of different versions: load the driver anew, or reboot",
    28: "it is not there any more",
}
XID_EVENT = 0x8
NO_FIGURE = 2**64 - 1
MOST_EVENTS = 100
MOST_PROCESSES = 4096
TEMPERATURE_OF_GPU = 0


class NvmlError(Exception):
    """The library returned another code than success."""

    def __init__(self, code: int) -> None:
        super().__init__(WORDS.get(code, f"its driver answers with error {code}"))
        self.code = code


class Memory(Structure):
    """nvmlMemory_t"""

    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class MemoryV2(Structure):
    """nvmlMemory_v2_t; `reserved` for driver and firmware is in neither of `free` and `used`."""

    _fields_ = (
        ("version", c_uint), ("total", c_ulonglong), ("reserved", c_ulonglong), ("free", c_ulonglong),
        ("used", c_ulonglong),
    )  # fmt: skip


class Utilisation(Structure):
    """nvmlUtilization_t, in percent."""

    _fields_ = (("gpu", c_uint), ("memory", c_uint))


class Process(Structure):
    """nvmlProcessInfo_t of the functions _v3."""

    _fields_ = (("pid", c_uint), ("used", c_ulonglong), ("gpu_instance", c_uint), ("compute_instance", c_uint))


class Event(Structure):
    """nvmlEventData_t"""

    _fields_ = (
        ("device", c_void_p), ("type", c_ulonglong), ("data", c_ulonglong), ("gpu_instance", c_uint),
        ("compute_instance", c_uint),
    )  # fmt: skip


class Nvml:
    """An initialised library. Raises NvmlError. Figures that a device does not tell are None."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._call("nvmlInit_v2")
        self._events: c_void_p | None = None

    def handles(self) -> Iterator[tuple[int, Handle | NvmlError]]:
        """Index and handle of each device, or why there is none."""
        count = self._out("nvmlDeviceGetCount_v2", value=c_uint())
        for index in range(count.value):
            try:
                yield index, self._out("nvmlDeviceGetHandleByIndex_v2", c_uint(index), value=c_void_p())
            except NvmlError as error:
                yield index, error

    def name(self, device: Handle) -> str:
        return self._text("nvmlDeviceGetName", device)

    def uuid(self, device: Handle) -> str:
        return self._text("nvmlDeviceGetUUID", device)

    def memory(self, device: Handle) -> tuple[int, int] | None:
        """(total, free) bytes; None for a device without memory of its own."""
        try:
            wanted = MemoryV2(version=sizeof(MemoryV2) | 2 << 24)
            told = self._out("nvmlDeviceGetMemoryInfo_v2", device, value=wanted)
        except NvmlError as error:
            if error.code == NOT_SUPPORTED:
                return None
            if error.code not in (FUNCTION_NOT_FOUND, OTHER_VERSION):
                raise
            told = self._optional("nvmlDeviceGetMemoryInfo", device, value=Memory())
        return (told.total, told.free) if told is not None else None

    def busy_percent(self, device: Handle) -> int | None:
        told = self._optional("nvmlDeviceGetUtilizationRates", device, value=Utilisation())
        return told.gpu if told is not None else None

    def temperature_c(self, device: Handle) -> int | None:
        told = self._optional("nvmlDeviceGetTemperature", device, c_int(TEMPERATURE_OF_GPU), value=c_uint())
        return told.value if told is not None else None

    def watts(self, device: Handle) -> float | None:
        """What it draws: the mean of the last second, or of the moment where it is an older one."""
        told = self._optional("nvmlDeviceGetPowerUsage", device, value=c_uint())
        return told.value / 1000 if told is not None else None

    def is_split(self, device: Handle) -> bool:
        """True while MIG is on."""
        pending = c_uint()
        try:
            now = c_uint()
            self._call("nvmlDeviceGetMigMode", device, byref(now), byref(pending))
        except NvmlError as error:
            if error.code in GONE:
                raise
            return False
        return now.value == 1

    def processes(self, device: Handle) -> dict[int, int | None]:
        """Bytes by process id; None where they are not told. One that computes and draws is listed twice there."""
        held: dict[int, int | None] = {}
        for kind in ("Compute", "Graphics"):
            for one in self._running(f"nvmlDeviceGet{kind}RunningProcesses_v3", device):
                told = None if one.used == NO_FIGURE else one.used
                before = held.get(one.pid)
                held[one.pid] = told if before is None else max(before, told or 0)
        return held

    def watch(self, device: Handle) -> None:
        """From now on `faults` tells of this device as well. Some do not support it."""
        try:
            if self._events is None:
                self._events = self._out("nvmlEventSetCreate", value=c_void_p())
            self._call("nvmlDeviceRegisterEvents", device, c_ulonglong(XID_EVENT), self._events)
        except NvmlError as error:
            if error.code in GONE:
                raise

    def faults(self) -> Iterator[tuple[int | None, int]]:
        """(address of the handle, Xid) of what happened since the last call. Does not wait."""
        for _ in range(MOST_EVENTS if self._events is not None else 0):
            event = Event()
            try:
                self._call("nvmlEventSetWait_v2", self._events, byref(event), c_uint(0))
            except NvmlError:
                return
            if event.type == XID_EVENT:
                yield event.device, event.data

    def _running(self, name: str, device: Handle) -> list[Process]:
        count = c_uint(0)
        try:
            self._call(name, device, byref(count), None)
        except NvmlError as error:
            if error.code in GONE:
                raise
            if error.code != INSUFFICIENT_SIZE:
                return []
            count.value = min(count.value * 2 + 8, MOST_PROCESSES)  # more may have begun since
            rows = (Process * count.value)()
            told = self._optional(name, device, byref(count), rows)
            return list(rows[: count.value]) if told else []
        return []

    def _text(self, name: str, device: Handle) -> str:
        buffer = create_string_buffer(96)
        self._call(name, device, buffer, c_uint(len(buffer)))
        return buffer.value.decode("utf-8", "replace")

    def _optional(self, name: str, *arguments: Any, value: Any = True) -> Any:
        """`value` as it was filled; None where the device does not tell, and the error when it is gone."""
        try:
            if value is True:
                self._call(name, *arguments)
                return True
            return self._out(name, *arguments, value=value)
        except NvmlError as error:
            if error.code in GONE:
                raise
            return None

    def _out(self, name: str, *arguments: Any, value: Out) -> Out:
        """The last argument of the function is where its answer goes."""
        self._call(name, *arguments, byref(value))
        return value

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        code = FUNCTION_NOT_FOUND if function is None else function(*arguments)
        if code:
            raise NvmlError(code)


def load_library() -> Any:
    """The library of the driver; None where there is none."""
    try:
        return ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
