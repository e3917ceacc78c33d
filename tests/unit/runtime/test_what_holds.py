"""Devices as they are told: who holds how much of them, and what is kept of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from ringfence.config.placing import DeviceSettings
from ringfence.core.footprint import Setup
from ringfence.placement.instance import InstanceStatus
from ringfence.placement.planning import Share, Site
from ringfence.runtime.memory import Memory
from ringfence.runtime.what_holds import Reserved, WhatHolds
from ringfence.store.db import Database

GIB, MIB = 1024**3, 1024**2
STATUS = InstanceStatus(
    name="demo", engine="llamacpp", model="demo", state="ready", since_s=1.0, pid=os.getpid(), port=1, restarts=0,
    window=512, slots=2, in_use=0, rss_bytes=50 * MIB, cpu_s=1.0, reason="", is_ours=True,
)  # fmt: skip


Counted = Callable[..., Memory]
CARD = DeviceSettings(simulated=8 * GIB)


@dataclass
class Keeper:
    name: str


@dataclass
class Instance:
    keeper: Keeper


class Placed:
    """One engine; with `on`, one that is placed on a device."""

    def __init__(self, on: str = "") -> None:
        self.rows = [STATUS]
        self.on = on

    def status(self) -> list[InstanceStatus]:
        return self.rows

    def planned(self) -> list[Instance]:
        return [Instance(Keeper("demo"))] if self.on else []


DEMO_SETUP = Setup("llamacpp", "1", "demo.gguf", 512, 2, "F16", "f16", "a device")


def holds(memory: Memory, placed: Placed, reserved: dict[str, Reserved] | None = None) -> WhatHolds:
    """Over these devices; only `demo` is one that is learned of."""
    memory.setup_of = lambda name, _device: DEMO_SETUP if name == "demo" else None
    return WhatHolds(placed, memory, (lambda _: Reserved()) if reserved is None else reserved.__getitem__)  # type: ignore[arg-type]


async def test_the_memory_of_this_machine(db: Database) -> None:
    placed = Placed()
    memory = Memory(placed, db, {})  # type: ignore[arg-type]
    await memory.recall()
    memory.book.predict(DEMO_SETUP, "llama", 60 * MIB)
    cpu = next(one for one in (await holds(memory, placed).all())["devices"] if one["id"] == "cpu")
    assert (cpu["kind"], cpu["out_of_service"]) == ("ram", "")
    ours = cpu["holders"][0]
    assert (ours["kind"], ours["name"], ours["held_bytes"]) == ("instance", "demo", 50 * MIB)
    assert (ours["footprint"]["predicted_bytes"], ours["footprint"]["basis"]) == (60 * MIB, "predicted")
    assert sum(row["held_bytes"] for row in cpu["holders"]) == cpu["total_bytes"] - cpu["free_bytes"]


async def test_a_page_of_everything_has_the_memory_at_once_and_the_rest_a_moment_later(counted: Counted) -> None:
    placed = Placed()
    found = holds(counted(placed, gpu0=CARD), placed)
    assert [row["id"] for row in found.shown(placed.rows)] == ["cpu"]
    async with asyncio.timeout(25):
        while [row["id"] for row in found.shown(placed.rows)] == ["cpu"]:
            await asyncio.sleep(0.01)
    assert [row["id"] for row in found.shown(placed.rows)] == ["gpu0"]


async def test_who_holds_what_of_a_card(counted: Counted) -> None:
    placed = Placed(on="gpu0")
    memory = counted(placed, gpu0=CARD)
    memory.site_of = lambda _name: Site((Share("gpu0", 2 * GIB),))
    simulated = memory.simulated
    simulated.grab("gpu0", "small", GIB)
    simulated.grab("gpu0", "comfyui", 3 * GIB)
    simulated.hide("gpu0", GIB)
    [gpu] = (await holds(memory, placed).all())["devices"]
    rows = [(row["kind"], row["name"], row["held_bytes"]) for row in gpu["holders"]]
    assert rows[:1] == [("instance", "demo", 2 * GIB)]
    assert rows[1:] == [("program", "comfyui", 3 * GIB), ("program", "small", GIB), ("unnamed", "", GIB)]
    assert gpu["free_bytes"] == GIB


async def test_what_is_kept_of_a_card_is_told_beside_what_is_free(counted: Counted) -> None:
    placed = Placed()
    found = holds(counted(placed, gpu0=CARD), placed, {"gpu0": Reserved(GIB, GIB // 2, 3 * GIB)})
    [gpu] = (await found.all())["devices"]
    assert (gpu["headroom_bytes"], gpu["threshold_bytes"], gpu["leased_bytes"]) == (GIB, GIB // 2, 3 * GIB)
    assert (gpu["free_bytes"], gpu["expected_free_bytes"]) == (8 * GIB, 8 * GIB)


async def test_what_an_engine_gave_back_is_not_expected_to_stay_free(counted: Counted) -> None:
    placed = Placed(on="gpu0")
    memory = counted(placed, gpu0=CARD)
    memory.site_of = lambda _name: Site((Share("gpu0", GIB),))
    await memory.recall()
    memory.book.observe(DEMO_SETUP, 3 * GIB, 0.0)
    [gpu] = (await holds(memory, placed).all())["devices"]
    assert (gpu["free_bytes"], gpu["expected_free_bytes"]) == (7 * GIB, 5 * GIB)  # it held 3 GiB before, and 1 now


async def test_a_program_has_no_footprint(counted: Counted) -> None:
    placed = Placed()
    memory = counted(placed, gpu0=CARD)
    memory.simulated.grab("gpu0", "demo", GIB)  # by the name alone
    [gpu] = (await holds(memory, placed).all())["devices"]
    assert [(row["kind"], row["footprint"]) for row in gpu["holders"]] == [("program", None)]
