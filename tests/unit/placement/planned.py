"""Instances that are loaded and unloaded by a real reconciler: the engines are only pretended, and time is virtual."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from virtual import Controls, Engine

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.device import Device, DeviceKind
from ringfence.engines.llamacpp import ADAPTER
from ringfence.placement.events import Moved
from ringfence.placement.instance import Instance, Placement
from ringfence.placement.launch import Launch
from ringfence.placement.lifecycle import State
from ringfence.placement.planning import (
    DeviceState,
    Mode,
    Model,
    Plan,
    Policy,
    Priority,
    Residency,
    Share,
    Site,
    Slot,
    TenantLease,
)  # fmt: skip
from ringfence.placement.reconciler import Reconciler
from ringfence.placement.supervisor import Supervisor

GIB = 1 << 30


def on(device: str, size_gib: float) -> Site:
    return Site((Share(device, int(size_gib * GIB)),))


def model(name: str, *sites: Site, **more: Any) -> Model:
    told: dict[str, Any] = {"residency": Residency.ON_DEMAND, "priority": Priority.P1, "load_s": 1.0}
    return Model(name, sites=sites, **(told | more))


def target(name: str) -> Target:
    return Target(name, name, "llamacpp", name, Boundary.HOST)


class Book:
    """Tenants: nobody, unless told otherwise."""

    def __init__(self) -> None:
        self.rows: list[TenantLease] = []
        self.told: list[tuple[str, str]] = []

    def leases(self) -> tuple[TenantLease, ...]:
        return tuple(self.rows)

    def granted(self, lease_id: str, reason: str = "") -> None:
        self.told.append(("granted", lease_id))

    def recalled(self, lease_id: str, reason: str = "") -> None:
        self.told.append(("recalled", lease_id))


@dataclass
class Scene:
    """What the owner wants (the reconciler's `Wanted`), the devices, and the reconciler over them.

    What a device has left is worked out from where instances are. Engines are by the names of their models.
    """

    wants: tuple[Model, ...]
    gpus: dict[str, float] = field(default_factory=lambda: {"gpu0": 24.0})
    policy: Policy = field(default_factory=Policy)
    drain_s: float = 600.0

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = loop.time
        self.events: list[Any] = []
        self.engines: dict[str, Engine] = {}
        self.setups: dict[str, object] = {}
        self.known: dict[tuple[str, str], int] = {}
        self.broken: dict[str, str] = {}
        self.others: dict[str, int] = {}
        self.loads_until: dict[str, float] = {}
        self.slot_rules: tuple[Slot, ...] = ()
        self.now: Mode | None = None
        self.book = Book()
        self.placement = Placement(self.clock)
        self.reconciler = Reconciler(
            self.placement, self, self.book, self.clock, self.events.append, self.policy, self.drain_s
        )
        self.nudged = asyncio.Event()
        self.placement.demands.nudge = self.nudged.set
        self._task: asyncio.Task[None] | None = None
        for one in self.wants:
            self.add(one.name)

    def add(self, name: str) -> Supervisor:
        engine = self.engines[name] = Engine()
        keeper = Supervisor(
            name, self.launch(name, Site(())), ADAPTER, engine.fetch_at, self.events.append, clock=self.clock,
            chance=lambda: 1.0, start_process=engine.start, ask_at=engine.ask_at, controls=Controls(engine),
        )  # fmt: skip
        self.placement.add(keeper, [name], is_planned=True)
        return keeper

    # -- what it wants

    def models(self) -> tuple[Model, ...]:
        return self.wants

    def slots(self) -> tuple[Slot, ...]:
        return self.slot_rules

    def devices(self) -> Iterable[DeviceState]:
        for name, size_gib in self.gpus.items():
            total = int(size_gib * GIB)
            ours = sum(self.held(one.keeper.name).get(name, 0) for one in self.placement.planned())
            others = self.others.get(name, 0)
            reason = self.broken.get(name, "")
            left = 0 if reason else max(0, total - ours - others)
            device = Device(name, DeviceKind.GPU, "a card", total, left, others, out_of_service=reason)
            yield DeviceState(device, out_of_service=reason, loads_until_s=self.loads_until.get(name))

    def mode(self) -> Mode | None:
        return self.now

    def held(self, instance: str) -> dict[str, int]:
        site, keeper = self.reconciler.site_of(instance), self.keeper(instance)
        if site is None or keeper.state is State.STOPPED:
            return {}
        return {share.device: share.likely_bytes for share in site.shares}

    def known_bytes(self, model: str, device: str) -> int | None:
        return self.known.get((model, device))

    def setup(self, model: str) -> object:
        return self.setups.get(model, "as ever")

    def launch(self, model: str, site: Site) -> Launch:
        where = ",".join(share.device for share in site.shares)
        return Launch("llamacpp", model, ("engine", where), {"window": 4096}, sleeps=True)

    # -- what is done

    def instance(self, name: str) -> Instance:
        return self.placement.get(name)

    def keeper(self, name: str) -> Supervisor:
        keeper = self.placement.get(name).keeper
        assert isinstance(keeper, Supervisor)
        return keeper

    def state(self, name: str) -> State:
        return self.keeper(name).state

    def want(self, name: str, **changes: Any) -> None:
        self.wants = tuple(replace(one, **changes) if one.name == name else one for one in self.wants)
        self.nudged.set()

    def moves(self, name: str = "") -> list[tuple[str, str]]:
        """What was done, in order, each with its cause."""
        moved = [event for event in self.events if isinstance(event, Moved)]
        return [(event.what, event.cause) for event in moved if not name or event.name == name]

    def cycle(self) -> Plan:
        return self.reconciler.cycle()

    async def __aenter__(self) -> Scene:
        """As the loop of a gateway does: a cycle whenever something happened or is due."""
        self._task = asyncio.create_task(self._go(), name="cycles")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for instance in self.placement.planned():
            await instance.keeper.stop()
        for _ in range(3):
            await asyncio.sleep(0)

    async def _go(self) -> None:
        while True:
            self.cycle()
            wakes_at_s, now_s = self.reconciler.wakes_at_s(), self.clock()
            wait_s = 15.0 if wakes_at_s is None else min(15.0, max(0.02, wakes_at_s - now_s))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.nudged.wait()
            await asyncio.sleep(0.02)
            self.nudged.clear()
