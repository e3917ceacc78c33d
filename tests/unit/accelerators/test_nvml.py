"""Reading NVIDIA's cards, in front of a stand-in for their driver's library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.accelerators.nvml import ADAPTER, XIDS_OF_PROGRAMS, Nvidia
from ringfence.core.device import Device, DeviceKind, NotRead, Ours, drawn_by_ours
from ringfence.testing.fake_nvml import GIB, LOST, NO_FIGURE, Card, FakeNvml

BYTES = st.integers(0, 2**64 - 1)


def nvidia(library: FakeNvml, proc: Path = Path("/proc")) -> Nvidia:
    return Nvidia(lambda: library, proc)


def only(found: list[Device]) -> Device:
    [device] = found
    return device


def test_a_machine_without_the_library_has_none() -> None:
    assert Nvidia(lambda: None).read() == []


def test_this_machine_is_read_or_says_why_not() -> None:
    try:
        for device in ADAPTER.read():
            assert 0 <= device.available_bytes <= device.total_bytes
    except NotRead as reason:
        assert str(reason)


def test_a_card() -> None:
    library = FakeNvml(Card(used=5 * GIB, reserved=GIB, percent=88, temperature=71), Card(name="NVIDIA A2"))
    first, second = nvidia(library).read()
    assert (first.id, first.kind, first.name) == ("GPU-0", DeviceKind.GPU, "NVIDIA GeForce RTX 4090")
    assert (first.total_bytes, first.available_bytes, first.used_by_others_bytes) == (24 * GIB, 18 * GIB, 6 * GIB)
    assert (first.load, first.temperature_c, first.out_of_service) == (0.88, 71, "")
    assert (second.id, second.name) == ("GPU-1", "NVIDIA A2")
    assert library.calls.count("nvmlInit_v2") == 1


def test_what_a_card_draws_is_read_where_it_tells() -> None:
    told, mute, odd = nvidia(FakeNvml(Card(milliwatts=412_345), Card(), Card(milliwatts=2**32 - 1))).read()
    assert (told.watts, mute.watts, odd.watts) == (412.345, None, None)
    assert told.taken_out("it is lost").watts is None


def test_what_counts_is_drawn_by_cards_on_which_engines_of_ours_are(
    proc: Path, process: Callable[[int, str, int], Path]
) -> None:
    process(100, "python", 100)
    mine, theirs = {100: GIB}, {200: GIB}

    def drawn(*cards: Card) -> float | None:
        return drawn_by_ours(nvidia(FakeNvml(*cards), proc).read([Ours("llm", 100)]))

    busy, other = Card(milliwatts=400_000, computing=mine), Card(milliwatts=250_000, computing=theirs)
    assert drawn(busy, other) == 400
    assert drawn(busy, Card(milliwatts=300_000, computing=mine)) == 700
    assert drawn(busy, Card(computing=mine)) is None, "one of them does not tell"
    assert drawn(other) is None


def test_a_driver_that_knows_the_first_memory_report_only() -> None:
    device = only(nvidia(FakeNvml(Card(used=3 * GIB), old=True)).read())
    assert device.available_bytes == 21 * GIB


def test_who_holds_what(proc: Path, process: Callable[[int, str, int], Path]) -> None:
    process(100, "python", 100)  # an engine of ours
    process(101, "VLLM::EngineCor", 100)  # which computes in a child
    process(200, "ComfyUI", 7)
    card = Card(
        used=20 * GIB, computing={100: GIB, 101: 8 * GIB, 200: 6 * GIB, 999: GIB}, drawing={200: 6 * GIB, 300: 0}
    )
    process(300, "Xorg", 300)
    device = only(nvidia(FakeNvml(card), proc).read([Ours("qwen3-8b", 100, 3 * GIB)]))
    shown = {(one.pid, one.name, one.held_bytes, one.instance) for one in device.holders}
    assert shown == {
        (100, "qwen3-8b", GIB, "qwen3-8b"), (101, "qwen3-8b", 8 * GIB, "qwen3-8b"), (200, "ComfyUI", 6 * GIB, ""),
        (999, "unknown", GIB, ""), (300, "Xorg", 0, ""),
    }  # fmt: skip
    assert device.used_by_others_bytes == 11 * GIB  # 4 of them held by nobody who could be named


def test_a_process_whose_bytes_are_not_told_counts_as_others(proc: Path) -> None:
    card = Card(used=9 * GIB, computing={100: NO_FIGURE})
    device = only(nvidia(FakeNvml(card), proc).read([Ours("qwen3-8b", 100)]))
    assert [one.held_bytes for one in device.holders] == [None]
    assert device.used_by_others_bytes == 9 * GIB


def test_a_gpu_without_memory_of_its_own_has_that_of_the_machine(proc: Path) -> None:
    card = Card(name="NVIDIA GB10", has_memory=False, computing={100: 100 * 1024})
    device = only(nvidia(FakeNvml(card), proc).read([Ours("qwen3-8b", 100, 50 * 1024)]))
    assert (device.kind, device.total_bytes, device.available_bytes) == (DeviceKind.UNIFIED, 1000 * 1024, 400 * 1024)
    assert device.used_by_others_bytes == 450 * 1024


def test_a_card_that_is_split_is_left_alone() -> None:
    device = only(nvidia(FakeNvml(Card(mig=1))).read())
    assert (device.available_bytes, device.out_of_service) == (0, "it is split by MIG, which is left as it is")


def test_a_lost_card_is_still_known_and_comes_back(proc: Path) -> None:
    library = FakeNvml(Card(), Card(name="NVIDIA A2", total=16 * GIB))
    reader = nvidia(library, proc)
    reader.read()
    library.cards[1].broken = LOST
    first, lost = reader.read()
    assert (first.out_of_service, first.available_bytes) == ("", 23 * GIB)
    assert (lost.id, lost.name, lost.total_bytes, lost.available_bytes) == ("GPU-1", "NVIDIA A2", 16 * GIB, 0)
    assert "it is lost" in lost.out_of_service and "reboot" in lost.out_of_service
    library.cards[1].broken = 0
    assert [one.out_of_service for one in reader.read()] == ["", ""]


def test_a_card_that_is_lost_from_the_beginning() -> None:
    device = only(nvidia(FakeNvml(Card(broken=LOST))).read())
    assert (device.id, device.total_bytes, device.available_bytes) == ("nvidia-0", 0, 0)
    assert "it is lost" in device.out_of_service


def test_a_fault_of_the_card_keeps_it_out_and_one_of_a_program_does_not() -> None:
    library = FakeNvml(Card(), Card())
    reader = nvidia(library)
    reader.read()
    library.faults = [(0, xid) for xid in XIDS_OF_PROGRAMS]
    assert [one.out_of_service for one in reader.read()] == ["", ""]
    library.faults = [(1, 79), (1, 45)]
    for _ in range(2):  # it stays out
        well, broken = reader.read()
        assert well.out_of_service == ""
        assert "Xid 79" in broken.out_of_service
        assert broken.available_bytes == 0


@pytest.mark.parametrize(
    ("code", "words"), [(9, "not loaded"), (18, "different versions"), (4, "this user"), (999, "999")]
)
def test_a_driver_that_does_not_work_is_told_and_tried_again(code: int, words: str) -> None:
    library = FakeNvml(Card(), init=code)
    reader = nvidia(library)
    with pytest.raises(NotRead, match=words):
        reader.read()
    library.init = 0
    assert len(reader.read()) == 1


def test_nothing_is_ever_set() -> None:
    library = FakeNvml(Card(mig=1), Card())
    nvidia(library).read()
    assert {name for name in library.calls if "Get" not in name} == {
        "nvmlInit_v2", "nvmlEventSetCreate", "nvmlDeviceRegisterEvents", "nvmlEventSetWait_v2",
    }  # fmt: skip


@given(total=BYTES, used=BYTES, reserved=BYTES, held=st.dictionaries(st.integers(1, 50), BYTES, max_size=5))
def test_no_figure_is_negative_and_all_that_is_taken_is_somebodys(
    total: int, used: int, reserved: int, held: dict[int, int]
) -> None:
    card = Card(total=total, used=used, reserved=reserved, computing=held)
    device = only(nvidia(FakeNvml(card), Path("/nowhere")).read([Ours("one", 1), Ours("two", 2)]))
    ours = sum(one.held_bytes or 0 for one in device.holders if one.instance)
    assert 0 <= device.available_bytes <= device.total_bytes
    assert 0 <= device.used_by_others_bytes <= device.total_bytes
    assert device.available_bytes + device.used_by_others_bytes + ours >= device.total_bytes
