"""Which devices an engine sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.placement.visible import gpus, visible

UUID, OTHER = "GPU-6f3a0c1e-0000-4000-8000-000000000001", "MIG-6f3a0c1e-0000-4000-8000-000000000002"
FIRST, SECOND = "0000:03:00.0", "0000:c4:00.0"


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    """Two cards of AMD, of which the driver lists the second first, and a processor."""
    nodes = {"0": (0, 0), "1": (256, 0xC400), "2": (304, 0x0300)}
    for name, (simds, location) in nodes.items():
        node = tmp_path / "class/kfd/kfd/topology/nodes" / name
        node.mkdir(parents=True)
        (node / "properties").write_text(f"cpu_cores_count 1\nsimd_count {simds}\nlocation_id {location}\ndomain 0\n")
    for bus in (FIRST, SECOND):
        (tmp_path / "bus/pci/devices" / bus).mkdir(parents=True)
    return tmp_path


def tell(sys: Path, bus: str, unique_id: str) -> None:
    (sys / "bus/pci/devices" / bus / "unique_id").write_text(unique_id + "\n")


def test_cards_of_nvidia_are_named_by_their_uuid(sys: Path) -> None:
    seen = visible((UUID, "cpu", OTHER), sys)
    assert seen == {
        "CUDA_VISIBLE_DEVICES": f"{UUID},{OTHER}", "ROCR_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1",
    }  # fmt: skip


def test_cards_of_amd_are_named_by_what_their_driver_calls_them(sys: Path) -> None:
    tell(sys, FIRST, "a1b2c3d4e5f60718")
    seen = visible((f"amd-{FIRST}", f"amd-{SECOND}"), sys)
    assert seen["ROCR_VISIBLE_DEVICES"] == "GPU-a1b2c3d4e5f60718,0", "one that has no id by its place"
    assert (seen["HIP_VISIBLE_DEVICES"], seen["CUDA_VISIBLE_DEVICES"]) == ("0,1", "")


def test_a_card_that_is_not_known_is_none_and_not_all(sys: Path) -> None:
    tell(sys, FIRST, "0")
    assert visible((f"amd-{FIRST}",), sys)["ROCR_VISIBLE_DEVICES"] == "1"
    assert visible(("amd-0000:ff:00.0",), sys)["ROCR_VISIBLE_DEVICES"].startswith("GPU-")


@pytest.mark.parametrize("devices", [(), ("cpu",), ("gpu0", "simulated-card")])
def test_without_a_real_gpu_nothing_is_seen(devices: tuple[str, ...], sys: Path) -> None:
    seen = visible(devices, sys)
    assert seen == {"CUDA_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}
    assert gpus(devices) == ()
