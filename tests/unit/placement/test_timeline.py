"""The last hour of each device: one point every five seconds, whatever the clock does."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.device import Device, DeviceKind, Holder
from ringfence.placement.timeline import EVERY_S, KEPT_S, Timeline

GIB = 1 << 30


def gpu(name: str = "gpu0", ours: int = 3 * GIB, others: int = GIB, **changes: str) -> Device:
    holders = (Holder("llama-server", ours, 7, "a"), Holder("Xorg", None, 8), Holder("comfyui", others, 9))
    free = 8 * GIB - ours - others
    return Device(name, DeviceKind.GPU, "GPU", 8 * GIB, free, others, holders=holders, **changes)


def test_a_point_tells_when_and_who_held_how_much() -> None:
    timeline = Timeline()
    timeline.add(1000.9, [gpu(), gpu("gpu1", 0, 0)], {"gpu0": 2 * GIB})
    assert timeline.shown() == {
        "every_s": 5, "devices": {"gpu0": [[1000, 3 * GIB, GIB, 2 * GIB]], "gpu1": [[1000, 0, 0, 0]]},
    }  # fmt: skip


def test_what_comes_too_soon_is_left_out() -> None:
    timeline = Timeline()
    for at_s in (100, 101, 104.9, 105, 109, 110):
        timeline.add(at_s, [gpu()], {})
    assert [point[0] for point in timeline.shown()["devices"]["gpu0"]] == [100, 105, 110]


def test_an_hour_is_kept_and_a_device_that_went_is_forgotten_after_it() -> None:
    timeline = Timeline()
    for at_s in range(0, 2 * KEPT_S - EVERY_S, EVERY_S):
        timeline.add(at_s, [gpu(), *([gpu("gone")] if at_s < KEPT_S else [])], {})
    shown = timeline.shown()["devices"]
    assert (len(shown["gpu0"]), shown["gpu0"][0][0]) == (720, KEPT_S - EVERY_S)
    assert [point[0] for point in shown["gone"]] == [KEPT_S - EVERY_S]
    timeline.add(2 * KEPT_S - EVERY_S, [gpu()], {})
    assert set(timeline.shown()["devices"]) == {"gpu0"}


def test_a_device_that_is_out_of_service_or_part_of_another_has_no_point() -> None:
    timeline = Timeline()
    timeline.add(0, [gpu(out_of_service="it is lost"), gpu("ram", part_of="soc"), gpu("soc")], {})
    assert set(timeline.shown()["devices"]) == {"soc"}


def test_a_clock_that_is_set_back_leaves_no_point_in_the_future() -> None:
    timeline = Timeline()
    for at_s in (1000, 1005, 1010, 1003):
        timeline.add(at_s, [gpu(), *([gpu("gpu1")] if at_s == 1010 else [])], {})
    shown = timeline.shown()["devices"]
    assert [point[0] for point in shown["gpu0"]] == [1000, 1003]
    assert "gpu1" not in shown


@given(st.lists(st.floats(0, 20_000, allow_nan=False), max_size=200))
def test_points_are_in_order_apart_from_each_other_and_within_the_hour(times: list[float]) -> None:
    timeline = Timeline()
    for at_s in times:
        timeline.add(at_s, [gpu()], {})
    points = [point[0] for point in timeline.shown()["devices"].get("gpu0", [])]
    assert all(earlier < later for earlier, later in pairwise(points))
    assert not points or points[-1] - points[0] < KEPT_S
    assert len(points) <= KEPT_S
