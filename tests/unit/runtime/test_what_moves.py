"""What is told of the plan, of devices and of modes: over real parts, and engines that are never started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from ringfence.config.models import ModelSettings
from ringfence.config.placing import DeviceSettings, ModeSettings
from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import BadRequest
from ringfence.engines.llamacpp import ADAPTER
from ringfence.placement.devices import Devices
from ringfence.placement.events import Moved
from ringfence.placement.instance import Placement
from ringfence.placement.lifecycle import State
from ringfence.placement.planning import LeasePhase, TenantLease
from ringfence.placement.supervisor import Supervisor
from ringfence.runtime.desired import Entry
from ringfence.runtime.placing import Placing
from ringfence.runtime.starts import NOWHERE, started
from ringfence.runtime.what_holds import Reserved
from ringfence.runtime.what_moves import WhatMoves
from ringfence.store.db import Database
from ringfence.telemetry.events import Events

GIB = 1024**3
DEVICES = {"gpu0": DeviceSettings(simulated=24 * GIB, headroom=2 * GIB, threshold=GIB)}
TARGET = Target("big", "big", "llamacpp", "big", Boundary.HOST)
Placed = Callable[..., tuple[Placing, WhatMoves]]


def _nowhere(_at: object) -> Any:
    raise AssertionError("no engine runs")


@pytest.fixture
def placed(db: Database, tmp_path: Path) -> Placed:
    def placed(**models: int) -> tuple[Placing, WhatMoves]:
        """Models by their names, and the GiB that each takes."""
        said = {
            name: ModelSettings(source="/models/m.gguf", residency="on_demand", memory=size_gib * GIB)
            for name, size_gib in models.items()
        }
        alone = ModeSettings(devices=("gpu0",), models=tuple(said)[:1])
        config = Config(models=said, devices=DEVICES, modes={"alone": alone})
        placement = Placement()
        placing = Placing(placement, db, config, tmp_path, Events(()))
        placing.memory.devices = Devices([placing.memory.simulated], monotonic)
        for name, settings in said.items():
            entry = placing.desired.entries[name] = Entry(name, name, settings, Path("/models/m.gguf"), GIB, 4096)
            keeper = Supervisor(name, started_of(entry, settings), ADAPTER, _nowhere, lambda _event: None)
            placement.add(keeper, [name], is_planned=True)
        return placing, WhatMoves(placing)

    def started_of(entry: Entry, settings: ModelSettings) -> Any:
        path = tmp_path / "m.gguf"
        path.write_bytes(b"nothing")
        return started(Entry("m", "m", settings, path, 1, 1), settings, NOWHERE, [])

    return placed


async def test_a_plan_is_told_and_nothing_of_it_is_done(placed: Placed) -> None:
    placing, moves = placed(big=20, huge=40)
    placing.reconciler.placement.missed(TARGET)
    placing.reconciler.demands.wait("huge")
    told = await moves.plan()
    [action] = told["actions"]
    assert (action["what"], action["name"], action["devices"]) == ("load", "big", {"gpu0": 20 * GIB})
    assert action["cause"] == "" and action["reason"]
    assert [one["name"] for one in told["refused"]] == ["huge"]
    rows = {row["name"]: row for row in told["models"]}
    assert (rows["big"]["phase"], rows["big"]["devices"], rows["big"]["basis"]) == (
        "absent", {"gpu0": 20 * GIB}, "configured",
    )  # fmt: skip
    assert (rows["big"]["residency"], rows["big"]["priority"], rows["big"]["running"]) == ("on_demand", "P1", 0)
    assert (rows["big"]["waiting"], rows["huge"]["waiting"], rows["big"]["idle_s"]) == (0, 1, None)
    assert (told["mode"], told["recent"]) == (None, [])
    assert all(one.keeper.state is State.STOPPED for one in placing.reconciler.placement.planned())


async def test_one_that_failed_is_told_as_such(placed: Placed) -> None:
    placing, moves = placed(big=20)
    placing.reconciler.placement.get("big").failed = "no such file"
    assert [row["phase"] for row in (await moves.plan())["models"]] == ["failed"]


async def test_a_lease_that_would_be_granted_is_told_with_its_memory(placed: Placed) -> None:
    placing, moves = placed()
    now_s = monotonic()
    asked = TenantLease("lease_1", "images", "gpu0", 5 * GIB, 1, LeasePhase.ASKED, now_s, now_s + 60)
    placing.tenants.leases = lambda: (asked,)  # type: ignore[method-assign]
    [action] = (await moves.plan())["actions"]
    assert (action["what"], action["name"], action["devices"]) == ("grant", "lease_1", {"gpu0": 5 * GIB})


async def test_a_reason_names_the_tenant_and_not_its_lease(placed: Placed) -> None:
    placing, moves = placed()
    await placing.memory.refresh()
    lease = placing.tenants.ask("images", "gpu0", GIB)
    placing.moved(Moved("drain", "big", f"it gives way to {lease.id}"))
    assert (await moves.plan())["recent"][0]["reason"] == "it gives way to images"


async def test_the_last_moves_the_newest_first_and_not_all_that_ever_were(placed: Placed) -> None:
    placing, moves = placed()
    for number in range(60):
        placing.moved(Moved("load", f"m{number}", "callers wait for it"))
    recent = (await moves.plan())["recent"]
    assert len(recent) == 50 and recent[0]["name"] == "m59"
    assert set(recent[0]) == {"at_s", "what", "name", "reason"}


async def test_what_is_kept_of_a_device(placed: Placed) -> None:
    placing, moves = placed()
    await placing.memory.refresh()
    assert moves.reserved("gpu0") == Reserved(2 * GIB, GIB, 0)
    now_s = monotonic()
    leases = [
        TenantLease("a", "images", "gpu0", 5 * GIB, 1, LeasePhase.HELD, now_s, now_s + 60, used_bytes=2 * GIB),
        TenantLease("b", "images", "gpu0", 7 * GIB, 1, LeasePhase.ASKED, now_s, now_s + 60),
    ]
    placing.tenants.leases = lambda: tuple(leases)  # type: ignore[method-assign]
    assert moves.reserved("gpu0").leased_bytes == 3 * GIB, "of what was granted, what is not taken yet"
    assert moves.reserved("gone") == Reserved()


async def test_a_second_switch_is_the_callers_mistake(placed: Placed) -> None:
    placing, moves = placed(big=20)
    assert moves.switch_mode("alone")["switch"]["to"] == "alone"
    with pytest.raises(BadRequest, match="'alone' goes on"):
        moves.switch_mode(None)
    with pytest.raises(KeyError):
        moves.switch_mode("unknown")
    await placing.modes.close()
