"""Reading devices beside everything else: what hangs, breaks or vanishes is told, and holds up nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from ringfence.accelerators.nvml import Nvidia
from ringfence.accelerators.simulated import Said, Simulated
from ringfence.core.device import Device, DeviceKind, NotRead, Ours
from ringfence.placement.devices import VANISHED, Devices
from ringfence.testing.fake_nvml import LOST, Card, FakeNvml

GIB = 1024**3


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """Does not answer while its gate is closed, and says what it is told to say."""

    kind, title = "slow", "Slow"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked = 0
        self.ours: Sequence[Ours] = ()
        self.error: Exception | None = None

    def read(self, ours: Sequence[Ours] = ()) -> list[Device]:
        self.asked += 1
        self.ours = ours
        self.gate.wait(25)
        if self.error is not None:
            raise self.error
        return [Device("slow0", DeviceKind.GPU, "Slow", 8 * GIB, 6 * GIB, 2 * GIB)]


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.gate.set()


async def until(done: object) -> None:
    async with asyncio.timeout(25):
        while not done():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_everything_is_read_side_by_side(slow: Slow) -> None:
    slow.gate.set()
    devices = Devices([Simulated([Said("gpu0", GIB)]), slow], Time())
    assert devices.latest == []
    await devices.refresh([Ours("a", 1)])
    assert [one.id for one in devices.latest] == ["gpu0", "slow0"]
    assert slow.ours == [Ours("a", 1)]
    assert devices.unread == []


async def test_a_driver_that_hangs_holds_up_nobody_and_is_told(slow: Slow) -> None:
    clock, simulated = Time(), Simulated([Said("gpu0", GIB)])
    slow.gate.set()
    devices = Devices([simulated, slow], clock, deadline_s=1.0)
    await devices.refresh()
    slow.gate.clear()
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.005)

    beating = asyncio.create_task(beat())
    simulated.grab("gpu0", "x", GIB)
    await devices.refresh()
    beating.cancel()
    assert beats >= 3
    assert [one.available_bytes for one in devices.latest] == [0, 6 * GIB]  # the other one was read
    clock.now += 7
    hanging = devices.latest[1]
    assert (hanging.id, hanging.available_bytes) == ("slow0", 0)
    assert hanging.out_of_service == "its driver has not answered for 7 s"
    await devices.refresh()
    assert slow.asked == 2  # nobody is sent after the one who waits
    slow.gate.set()
    await until(lambda: not devices.latest[1].out_of_service)
    assert devices.latest[1].available_bytes == 6 * GIB


async def test_a_driver_that_never_answered_is_told(slow: Slow) -> None:
    clock = Time()
    devices = Devices([slow], clock, deadline_s=0.02)
    await devices.refresh()
    assert devices.unread == []
    clock.now += 1
    assert [(one.title, one.reason) for one in devices.unread] == [("Slow", "its driver has not answered for 1 s")]


@pytest.mark.parametrize(
    ("error", "words"),
    [(NotRead("the driver is not loaded"), "the driver is not loaded"), (OSError(5, "x"), "OSError")],
)
async def test_what_cannot_be_read_any_more_is_out_of_service(slow: Slow, error: Exception, words: str) -> None:
    slow.gate.set()
    devices = Devices([slow], Time())
    await devices.refresh()
    slow.error = error
    await devices.refresh()
    [device] = devices.latest
    assert words in device.out_of_service and device.available_bytes == 0
    assert devices.unread == []  # it is told with the device
    slow.error = None
    await devices.refresh()
    assert devices.latest[0].out_of_service == ""


async def test_what_could_never_be_read_is_told_by_its_kind(slow: Slow) -> None:
    slow.gate.set()
    slow.error = NotRead("the driver is not loaded")
    devices = Devices([slow], Time())
    await devices.refresh()
    assert devices.latest == []
    assert [(one.title, one.reason) for one in devices.unread] == [("Slow", "the driver is not loaded")]


async def test_a_device_that_vanishes_is_not_forgotten() -> None:
    simulated = Simulated([Said("gpu0", GIB), Said("gpu1", GIB)])
    devices = Devices([simulated], Time())
    await devices.refresh()
    simulated.unplug("gpu0")
    await devices.refresh()
    found = {one.id: one.out_of_service for one in devices.latest}
    assert found == {"gpu0": VANISHED, "gpu1": ""}
    simulated.plug_in("gpu0")
    await devices.refresh()
    assert {one.id: one.out_of_service for one in devices.latest} == {"gpu0": "", "gpu1": ""}


async def test_a_card_that_was_lost_from_the_beginning_is_one_card_when_it_comes_back() -> None:
    library = FakeNvml(Card(broken=LOST))
    devices = Devices([Nvidia(lambda: library)], Time())
    await devices.refresh()
    assert [(one.id, bool(one.out_of_service)) for one in devices.latest] == [("nvidia-0", True)]
    library.cards[0].broken = 0
    await devices.refresh()
    assert [(one.id, one.out_of_service) for one in devices.latest] == [("GPU-0", "")]


async def test_a_reading_that_hangs_does_not_hold_up_the_end_of_the_loop(slow: Slow) -> None:
    devices = Devices([slow], Time(), deadline_s=0.02)
    await devices.refresh()
    [thread] = [one for one in threading.enumerate() if one.name == "ringfence-slow"]
    assert thread.daemon
