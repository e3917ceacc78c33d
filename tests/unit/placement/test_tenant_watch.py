"""ComfyUI as a tenant: a fake of its server, the real watch, book and planner, and a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from ringfence.core.device import Device, DeviceKind
from ringfence.core.ports import Ask, Fetch, Fetched
from ringfence.egress.permit import Permit
from ringfence.egress.pool import Pool
from ringfence.placement.planning import (
    Claim,
    Demand,
    DeviceState,
    Grant,
    InstanceState,
    LeasePhase,
    Model,
    Phase,
    Plan,
    Priority,
    Recall,
    Residency,
    Share,
    State,
    Window,
    plan,
)
from ringfence.placement.planning import Site as At
from ringfence.placement.tenant_watch import PATIENCE_S, TenantWatch, Watched
from ringfence.placement.tenants import Lease, Tenants
from ringfence.tenants.comfyui import ADAPTER
from ringfence.testing.fake_comfyui import GIB, FakeComfyUi

ORDER = ("P0", "images", "P1", "P2", "P3")


@dataclass
class Desk:
    """One card, ComfyUI, and who watches it."""

    comfy: FakeComfyUi
    tenants: Tenants
    watch: TenantWatch
    watched: Watched
    card: Device
    now_s: float = 1000.0

    @property
    def lease(self) -> Lease | None:
        return self.tenants.watched("images")

    def devices(self) -> list[DeviceState]:
        used = self.comfy.torch_bytes if self.comfy.torch_bytes > GIB else 0
        card = replace(self.card, used_by_others_bytes=used, available_bytes=self.card.total_bytes - used)
        return [DeviceState(card, order=ORDER)]

    async def look(self, after_s: float = 5.0) -> None:
        self.now_s += after_s
        await self.watch.look()

    def reconcile(self, **state: Any) -> Plan:
        """As the reconciler does, of what concerns tenants."""
        made = plan(State(devices=tuple(self.devices()), leases=self.tenants.leases(), **state), self.now_s)
        for action in made.actions:
            if isinstance(action, Grant):
                assert self.tenants.granted(action.lease, action.reason)
            elif isinstance(action, Recall):
                assert self.tenants.recalled(action.lease, action.reason)
        self.tenants.told(made)
        return made


def ways_to(comfy: FakeComfyUi) -> tuple[Fetch, Ask]:
    pool, at = Pool(), comfy.endpoint
    permit = Permit("tenant", at.boundary, at.boundary)

    async def ask(path: str, body: dict[str, Any]) -> Fetched:
        return await pool.ask(at, permit, path, body, 2.0)

    return partial(pool.fetch, at), ask


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with FakeComfyUi() as comfy:
        made: list[Desk] = []
        tenants = Tenants(lambda: made[0].devices(), lambda: made[0].now_s)  # noqa: PLW0108 - it is made below
        fetch, ask = ways_to(comfy)
        watched = Watched("images", ADAPTER, fetch, ask, "gpu0", 10 * GIB, idle_s=60)
        watch = TenantWatch(watched, tenants, lambda: made[0].now_s)
        card = Device("GPU-a", DeviceKind.GPU, "card", 24 * GIB, 24 * GIB, 0)
        made.append(Desk(comfy, tenants, watch, watched, card))
        yield made[0]


async def test_while_it_is_idle_nothing_is_asked_in_its_name(desk: Desk) -> None:
    await desk.look()
    assert (desk.lease, desk.watch.is_busy, desk.comfy.freed) == (None, False, [])


async def test_while_it_is_busy_it_has_a_lease_with_its_memory_and_place(desk: Desk) -> None:
    desk.comfy.submit()
    await desk.look()
    lease = desk.lease
    assert lease is not None
    assert (lease.device, lease.leased_bytes, lease.priority, lease.phase) == ("GPU-a", 10 * GIB, 1, LeasePhase.ASKED)
    desk.reconcile()
    for _ in range(30):  # two minutes and a half of work
        await desk.look()
    [shown] = desk.tenants.leases()
    assert (shown.id, shown.phase, shown.used_bytes) == (lease.id, LeasePhase.HELD, 9 * GIB)


async def test_after_a_while_of_idleness_it_frees_its_memory_and_the_lease_ends(desk: Desk) -> None:
    desk.comfy.submit()
    await desk.look()
    desk.reconcile()
    desk.comfy.finish()
    await desk.look()
    await desk.look(59)
    assert (desk.lease is None, desk.comfy.freed) == (False, [])
    desk.comfy.submit()  # and it begins anew
    await desk.look()
    desk.comfy.finish()
    await desk.look(59)
    await desk.look(59)
    assert desk.lease is not None
    await desk.look(1)
    assert desk.comfy.freed == [{"unload_models": True, "free_memory": True}]
    assert desk.lease is None
    assert desk.tenants.leases() == ()


async def test_when_its_memory_is_wanted_it_finishes_its_job_and_gives_it_back(desk: Desk) -> None:
    desk.comfy.submit()
    await desk.look()
    desk.reconcile()
    demand = Demand("big", 1, desk.now_s)
    big = Model("big", Residency.ON_DEMAND, Priority.P0, (At((Share("GPU-a", 20 * GIB),)),))
    made = desk.reconcile(models=(big,), demands=(demand,))
    assert [type(action) for action in made.actions] == [Recall]
    await desk.look()
    assert desk.comfy.freed
    assert desk.lease is not None
    assert desk.lease.phase is LeasePhase.RECALLED
    desk.comfy.finish()
    await desk.look()
    assert (desk.lease, desk.comfy.torch_bytes < GIB) == (None, True)
    assert [type(action).__name__ for action in desk.reconcile(models=(big,), demands=(demand,)).actions] == ["Load"]


@pytest.mark.parametrize("told", ["cuda", "cpu"])
async def test_as_long_as_it_works_it_is_not_given_up(desk: Desk, told: str) -> None:
    desk.comfy.device_type = told  # of the second it does not tell what it keeps
    desk.comfy.submit()
    await desk.look()
    desk.reconcile()
    assert desk.lease is not None
    desk.tenants.recalled(desk.lease.id)
    for _ in range(30):
        await desk.look()
    assert desk.lease is not None
    assert desk.lease.phase is LeasePhase.RECALLED


async def test_it_pushes_a_model_of_lower_rank_out(desk: Desk) -> None:
    claims = (Claim("GPU-a", 18 * GIB),)
    at = At((Share("GPU-a", 18 * GIB),))
    model = Model("small", Residency.ON_DEMAND, Priority.P3, (at,))
    serving = InstanceState("small-1", "small", Phase.READY, claims, 0.0, running=1, site=at)
    desk.comfy.submit()
    await desk.look()
    made = desk.reconcile(models=(model,), instances=(serving,))
    assert [(type(action).__name__, getattr(action, "instance", "")) for action in made.actions] == [
        ("Drain", "small-1")
    ]  # fmt: skip
    assert desk.lease is not None
    assert desk.lease.reason


async def test_what_it_does_not_give_back_is_left_to_it_after_a_while(desk: Desk) -> None:
    desk.comfy.keeps = True
    desk.comfy.submit()
    await desk.look()
    desk.reconcile()
    desk.comfy.finish()
    for _ in range(13):
        await desk.look()
    assert desk.lease is not None
    assert len(desk.comfy.freed) == 1
    await desk.look(PATIENCE_S)
    assert desk.lease is None
    assert len(desk.comfy.freed) == 2
    await desk.look()
    assert len(desk.comfy.freed) == 2


async def test_one_that_was_ended_is_not_spoken_for(desk: Desk) -> None:
    desk.comfy.submit()
    await desk.look()
    desk.reconcile()
    await desk.comfy.stop()
    await desk.look(50)
    assert (desk.watch.is_busy, desk.lease is not None) == (None, True)
    await desk.look(10)
    assert desk.lease is None


async def test_after_a_restart_of_ours_its_lease_is_found_again(desk: Desk) -> None:
    desk.comfy.submit()
    await desk.look()
    desk.reconcile()
    first = desk.lease
    again = Tenants(desk.devices, lambda: desk.now_s)
    again.restore(desk.tenants.kept())
    desk.tenants, desk.watch = again, TenantWatch(desk.watched, again, lambda: desk.now_s)
    await desk.look()
    assert first is not None
    assert [one.id for one in again.all()] == [first.id]


async def test_its_window_is_told_to_the_planner(desk: Desk) -> None:
    shut = replace(desk.watched, opens=lambda: Window(False, 9000.0))
    desk.watch = TenantWatch(shut, desk.tenants, lambda: desk.now_s)
    desk.comfy.submit()
    await desk.look()
    assert [one.reason for one in desk.reconcile().waiting] == ["it is outside its hours"]


async def test_a_lease_that_cannot_be_is_said_and_tried_again(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    too_much = replace(desk.watched, leased_bytes=30 * GIB)
    desk.watch = TenantWatch(too_much, desk.tenants, lambda: desk.now_s)
    desk.comfy.submit()
    await desk.look()
    await desk.look()
    assert "more than GPU-a could ever give" in desk.watch.refused
    assert len(caplog.records) == 1
    desk.card = replace(desk.card, total_bytes=48 * GIB)
    await desk.look()
    assert (desk.watch.refused, desk.lease is not None) == ("", True)


async def test_an_adapter_that_stumbles_ends_no_watch(desk: Desk) -> None:
    class Broken:
        kind, title = "broken", "Broken"
        stumbles = False

        async def busy(self, fetch: Fetch) -> bool | None:
            if self.stumbles:
                raise KeyError("busy")
            return True

        async def memory(self, fetch: Fetch) -> int | None:
            raise KeyError("memory")

        async def release(self, ask: Ask) -> bool:
            raise KeyError("release")

    broken = Broken()
    desk.watch = TenantWatch(replace(desk.watched, kind=broken), desk.tenants, lambda: desk.now_s)
    await desk.look()
    assert desk.lease is not None
    desk.reconcile()
    desk.tenants.recalled(desk.lease.id)
    await desk.look()
    broken.stumbles = True
    await desk.look()
    assert desk.watch.is_busy is None
