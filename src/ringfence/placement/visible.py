"""Which devices an engine sees: what the runtimes of NVIDIA and AMD read from its environment when it starts.

CUDA takes the UUIDs that NVML tells. ROCm takes `GPU-` and the `unique_id` that the driver tells of a card, and where a
card has none, its place among the GPUs of the driver (/sys/class/kfd/kfd/topology). What of those is left is counted
anew by HIP. A device that is only counted is no device to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

NVIDIA, AMD = ("GPU-", "MIG-"), "amd-"
NONE_OF_HIP = "-1"
SYS = Path("/sys")


def visible(devices: Sequence[str], sys: Path = SYS) -> dict[str, str]:
    """The environment of an engine that is to see these devices, in this order, and no other GPU."""
    nvidia = [one for one in devices if one.startswith(NVIDIA)]
    amd = [_of_rocm(one.removeprefix(AMD), sys) for one in devices if one.startswith(AMD)]
    return {
        "CUDA_VISIBLE_DEVICES": ",".join(nvidia),
        "ROCR_VISIBLE_DEVICES": ",".join(amd),
        "HIP_VISIBLE_DEVICES": ",".join(map(str, range(len(amd)))) if amd else NONE_OF_HIP,
    }


def gpus(devices: Sequence[str]) -> tuple[str, ...]:
    """Those among them that an engine can compute on: real GPUs."""
    return tuple(one for one in devices if one.startswith((*NVIDIA, AMD)))


def _of_rocm(bus: str, sys: Path) -> str:
    told = _text(sys / "bus/pci/devices" / bus / "unique_id")
    if told.strip("0"):
        return f"GPU-{told}"
    places = _places(sys)
    return str(places.index(bus)) if bus in places else f"GPU-{told or bus}"  # unknown: ROCm then shows none, not all


def _places(sys: Path) -> list[str]:
    """The GPUs in the driver's order, by where on the bus they are."""
    found: list[tuple[int, str]] = []
    for node in (sys / "class/kfd/kfd/topology/nodes").glob("[0-9]*"):
        told = dict(line.split(None, 1) for line in _text(node / "properties").splitlines() if " " in line)
        if int(told.get("simd_count", "0")):
            found.append((int(node.name), _bus(int(told.get("domain", "0")), int(told.get("location_id", "0")))))
    return [bus for _, bus in sorted(found)]


def _bus(domain: int, location: int) -> str:
    return f"{domain:04x}:{location >> 8 & 0xFF:02x}:{location >> 3 & 0x1F:02x}.{location & 7}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
