"""When new work on a device is slowed down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringfence.core.device import Device, DeviceKind
from ringfence.placement.heat import BUSY_SHARE, HOT_SHARE, share, slowed


def device(kind: DeviceKind = DeviceKind.GPU, load: float | None = None, hot_c: float | None = None) -> Device:
    return Device("gpu0", kind, "a card", 100, 50, 0, load=load, temperature_c=hot_c)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (device(), None),
        (device(hot_c=80.0, load=0.85), None),
        (device(hot_c=80.5), HOT_SHARE),
        (device(load=0.86), BUSY_SHARE),
        (device(load=0.86, hot_c=81.0), HOT_SHARE),
        (device(DeviceKind.UNIFIED, load=0.86), BUSY_SHARE),
        (device(DeviceKind.RAM, load=3.0), None),
        (device(DeviceKind.RAM, hot_c=90.0), HOT_SHARE),
    ],
)
def test_hot_or_busy(one: Device, expected: float | None) -> None:
    assert share(one) == expected


def test_one_that_is_busy_answers_as_many_at_a_time_as_before_and_one_that_is_hot_fewer() -> None:
    assert HOT_SHARE < BUSY_SHARE == 1.0


def test_all_targets_of_such_a_device_and_no_others() -> None:
    on = {"big": ("gpu0", "gpu1"), "small": ("gpu1",), "cpu": ()}
    hot, busy = device(hot_c=85.0), replace(device(load=1.0), id="gpu1")
    assert slowed([hot], on) == {"big": HOT_SHARE}
    assert slowed([hot], on, hot_c=90.0) == {}
    assert slowed([hot, busy], on) == {"big": HOT_SHARE, "small": BUSY_SHARE}
    assert slowed([busy], on, busy_percent=100.0) == {}
