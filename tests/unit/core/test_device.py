"""Figures of a device that hang together, whatever was read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.device import MOST_BYTES, Device, DeviceKind, Holder, measured, with_pools

ANY = st.integers(-(2**64), 2**64)
HOLDERS = st.builds(Holder, st.just("x"), st.none() | ANY, st.none(), st.sampled_from(["", "ours"]))


def device(kind: DeviceKind = DeviceKind.GPU, name: str = "gpu", total: int = 10, available: int = 4) -> Device:
    return Device(name, kind, name, total, available, 0)


@given(ANY, ANY, ANY, st.lists(HOLDERS, max_size=4))
def test_whatever_was_read_is_never_negative_and_nothing_that_is_taken_is_forgotten(
    total: int, available: int, others: int, holders: list[Holder]
) -> None:
    found = measured(Device("a", DeviceKind.GPU, "a", total, available, others, holders=tuple(holders)))
    ours = sum(one.held_bytes or 0 for one in found.holders if one.instance)
    assert all(0 <= (one.held_bytes or 0) <= found.total_bytes <= MOST_BYTES for one in found.holders)
    assert 0 <= found.available_bytes <= found.total_bytes
    assert 0 <= found.used_by_others_bytes <= found.used_bytes
    assert found.used_by_others_bytes + ours >= found.used_bytes


def test_one_that_is_taken_out_has_nothing_to_give() -> None:
    out = device().taken_out("it is lost")
    assert (out.available_bytes, out.total_bytes, out.out_of_service) == (0, 10, "it is lost")


def test_memory_that_two_devices_share_is_told() -> None:
    ram, gpu, spark = device(DeviceKind.RAM, "cpu"), device(), device(DeviceKind.UNIFIED, "spark")
    assert [one.part_of for one in with_pools([ram, gpu])] == ["", ""]
    assert [one.part_of for one in with_pools([ram, gpu, spark])] == ["spark", "", ""]
    assert [one.part_of for one in with_pools([ram, spark.taken_out("lost")])] == ["", ""]
