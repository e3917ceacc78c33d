"""Devices that are only counted hold what is placed on them; what real ones are seen to hold is learned."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from ringfence.accelerators.nvml import Nvidia
from ringfence.accelerators.simulated import Said, Simulated
from ringfence.config.placing import DeviceSettings
from ringfence.core.device import Device
from ringfence.core.footprint import Setup
from ringfence.placement.devices import Devices
from ringfence.placement.instance import InstanceStatus
from ringfence.placement.planning import Share, Site
from ringfence.runtime.memory import SETTLED_S, Memory, build_of
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.footprints import FootprintRows
from ringfence.testing.fake_nvml import Card, FakeNvml

GIB = 1024**3
Counted = Callable[..., Memory]
STATUS = InstanceStatus(
    name="demo", engine="llamacpp", model="demo", state="ready", since_s=SETTLED_S, pid=10, port=1, restarts=0,
    window=512, slots=2, in_use=0, rss_bytes=0, cpu_s=1.0, reason="", is_ours=True,
)  # fmt: skip


@dataclass
class Keeper:
    name: str


@dataclass
class Instance:
    keeper: Keeper


class Placed:
    """Instances that are planned, and where each is."""

    def __init__(self, **at: Site) -> None:
        self.at = at
        self.rows = [STATUS]

    def status(self) -> list[InstanceStatus]:
        return self.rows

    def planned(self) -> list[Instance]:
        return [Instance(Keeper(name)) for name in self.at]

    def site(self, name: str) -> Site | None:
        return self.at.get(name)


def site(**shares: int) -> Site:
    return Site(tuple(Share(device, size_bytes) for device, size_bytes in shares.items()))


def setup_on(instance: str, device: Device) -> Setup | None:
    return Setup("llamacpp", "1", "demo.gguf", 512, 2, "F16", "f16", device.id) if instance == "demo" else None


class TestSimulated:
    async def test_a_device_holds_what_is_placed_on_it_and_no_more_once_it_left(self, counted: Counted) -> None:
        placed = Placed(demo=site(gpu0=2 * GIB, gpu1=GIB), other=site(gpu0=3 * GIB))
        memory = counted(placed, gpu0=DeviceSettings(simulated=8 * GIB), gpu1=DeviceSettings(simulated=8 * GIB))
        memory.site_of = placed.site
        await memory.refresh()
        assert memory.held("demo") == {"gpu0": 2 * GIB, "gpu1": GIB}
        assert [one.available_bytes for one in memory.pools] == [3 * GIB, 7 * GIB]
        placed.at = {"demo": site(gpu1=GIB), "other": site(gpu0=3 * GIB)}
        await memory.refresh()
        assert memory.held("demo") == {"gpu1": GIB}
        assert [one.available_bytes for one in memory.pools] == [5 * GIB, 7 * GIB]

    async def test_what_others_grabbed_stays_theirs(self, counted: Counted) -> None:
        placed = Placed(demo=site(gpu0=2 * GIB))
        memory = counted(placed, gpu0=DeviceSettings(simulated=8 * GIB))
        memory.site_of = placed.site
        memory.simulated.grab("gpu0", "comfyui", 5 * GIB)
        await memory.refresh()
        placed.at = {}
        await memory.refresh()
        assert [(one.available_bytes, one.used_by_others_bytes) for one in memory.pools] == [(3 * GIB, 5 * GIB)]

    async def test_more_than_there_is_is_told_and_not_held(
        self, counted: Counted, caplog: pytest.LogCaptureFixture
    ) -> None:
        placed = Placed(demo=site(gpu0=9 * GIB))
        memory = counted(placed, gpu0=DeviceSettings(simulated=8 * GIB))
        memory.site_of = placed.site
        await memory.refresh()
        assert memory.held("demo") == {}
        assert "demo asks gpu0" in caplog.text

    async def test_nothing_is_learned_of_it(self, counted: Counted, db: Database) -> None:
        placed = Placed(demo=site(gpu0=2 * GIB))
        memory = counted(placed, gpu0=DeviceSettings(simulated=8 * GIB))
        memory.site_of, memory.setup_of = placed.site, setup_on
        await memory.refresh()
        await memory.write()
        assert await FootprintRows(db).all() == []


@pytest.fixture
def real(db: Database) -> Callable[[Placed], tuple[Memory, Simulated]]:
    """A card that is read like a real one: nobody said that it is only counted."""

    def real(placed: Placed) -> tuple[Memory, Simulated]:
        memory, card = Memory(placed, db, {}), Simulated([Said("card", 8 * GIB)])  # type: ignore[arg-type]
        memory.devices = Devices([card], lambda: 0.0)
        memory.site_of, memory.setup_of = placed.site, setup_on
        return memory, card

    return real


Real = Callable[[Placed], tuple[Memory, Simulated]]


class TestLearned:
    async def test_the_most_that_it_held_is_known_after_a_restart_and_a_new_process_is_a_new_load(
        self, real: Real, db: Database
    ) -> None:
        placed = Placed(demo=site(card=GIB))
        memory, card = real(placed)
        await memory.recall()
        for held in (2 * GIB, 3 * GIB, GIB):
            card.hold("card", "demo", held)
            await memory.refresh()
        await memory.write()
        [kept] = await FootprintRows(db).all()
        assert (kept.peak_bytes, kept.loads, kept.setup.device) == (3 * GIB, 1, "card")
        again, card = real(placed)
        await again.recall()
        placed.rows = [replace(STATUS, pid=11)]
        card.hold("card", "demo", GIB)
        await again.refresh()
        known = again.book.of(kept.setup)
        assert (known.observed_bytes, known.loads, known.peak_bytes) == (3 * GIB, 2, GIB)

    @pytest.mark.parametrize(
        "changes", [{"state": "starting"}, {"since_s": SETTLED_S - 0.1}, {"name": "other"}], ids=str
    )
    async def test_nothing_from_one_that_loads_or_just_came_or_is_not_known(
        self, real: Real, changes: dict[str, object]
    ) -> None:
        placed = Placed(demo=site(card=GIB), other=site(card=GIB))
        placed.rows = [replace(STATUS, **changes)]
        memory, card = real(placed)
        card.hold("card", placed.rows[0].name, 2 * GIB)
        await memory.refresh()
        assert memory.book.take_changed() == []

    async def test_nothing_where_it_was_not_placed(self, real: Real) -> None:
        placed = Placed()
        memory, card = real(placed)
        card.hold("card", "demo", 2 * GIB)
        await memory.refresh()
        assert memory.book.take_changed() == []


async def test_what_is_drawn_is_measured_with_every_reading(real: Real) -> None:
    """By a card on which an engine of ours computes: this process stands for it."""
    placed = Placed()
    placed.rows = [replace(STATUS, pid=os.getpid())]
    memory, _ = real(placed)
    card = Card(milliwatts=390_000)
    memory.devices = Devices([Nvidia(lambda: FakeNvml(card))], lambda: 0.0)
    assert memory.drawn() is None
    await memory.refresh()
    assert memory.drawn() is None, "nothing of ours is on it"
    card.computing = {os.getpid(): GIB}
    await memory.refresh()
    drawn = memory.drawn()
    assert drawn is not None and drawn.watts == 390 and 0 <= drawn.age_s < 60


class TestWritten:
    async def test_only_what_is_new_is_written(self, real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
        put: list[int] = []

        async def count(_rows: FootprintRows, known: list[object]) -> None:
            put.append(len(known))

        monkeypatch.setattr(FootprintRows, "put", count)
        memory, card = real(Placed(demo=site(card=GIB)))
        card.hold("card", "demo", 2 * GIB)
        for _ in range(3):
            await memory.refresh()
            await memory.write()
        assert put == [1]

    async def test_what_could_not_be_is_written_the_next_time(
        self, real: Real, db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        memory, card = real(Placed(demo=site(card=GIB)))
        card.hold("card", "demo", GIB)

        async def fail(*_: object) -> None:
            raise StoreFailed("ringfence.db", "cannot grow: the disk is full", "free some space")

        with monkeypatch.context() as patched:
            patched.setattr(FootprintRows, "put", fail)
            await memory.refresh()
            await memory.write()
        assert "cannot be written down" in caplog.text
        assert await FootprintRows(db).all() == []
        await memory.write()
        assert [one.peak_bytes for one in await FootprintRows(db).all()] == [GIB]

    async def test_what_could_not_be_read_is_read_the_next_time(
        self, real: Real, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory, card = real(Placed(demo=site(card=GIB)))
        card.hold("card", "demo", GIB)
        await memory.refresh()
        await memory.write()
        again, _card = real(Placed())

        async def fail(_rows: object) -> None:
            raise StoreFailed("ringfence.db", "cannot be read", "look at it")

        with monkeypatch.context() as patched:
            patched.setattr(FootprintRows, "all", fail)
            await again.recall()
        setup = setup_on("demo", memory.pools[0])
        assert setup is not None and again.book.of(setup).observed_bytes is None
        await again.recall()
        assert again.book.of(setup).observed_bytes == GIB


async def test_what_is_fresh_is_not_read_again(real: Real) -> None:
    memory, card = real(Placed())
    await memory.refresh()
    card.grab("card", "game", GIB)
    await memory.refresh(60.0)
    assert memory.pools[0].available_bytes == 8 * GIB
    await memory.refresh()
    assert memory.pools[0].available_bytes == 7 * GIB


def test_the_build_of_an_engine_that_comes_with_us_is_known_and_of_others_is_not() -> None:
    assert build_of("llamacpp") != ""
    assert build_of("vllm") == ""
