"""What holds for every kind of device, on whatever machine this runs."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence import accelerators
from ringfence.core.device import NotRead, Ours, measured
from ringfence.core.registry import adapters

KINDS = adapters(accelerators)


def test_each_kind_is_found_by_being_there() -> None:
    assert set(KINDS) == {"amd", "apple", "cpu", "nvidia", "simulated"}


@pytest.mark.parametrize("adapter", KINDS.values(), ids=KINDS)
def test_its_devices_can_be_told_apart_and_their_figures_hang_together(adapter: Any) -> None:
    assert adapter.title
    try:
        devices = adapter.read([Ours("one", 2**22 + 1, 1000)])  # no process has this number
    except NotRead as reason:
        pytest.skip(f"{adapter.title}: {reason}")
    assert len({device.id for device in devices}) == len(devices)
    for device in devices:
        assert device.id and device.name
        assert device.out_of_service or device == measured(device)
