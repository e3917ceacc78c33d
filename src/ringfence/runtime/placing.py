"""Everything that decides who is on which device, put together: devices, models, tenants, modes, and the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

from ringfence import tenants as kinds
from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.errors import BoundaryRefused
from ringfence.core.ports import Ask, Fetch, TenantKind
from ringfence.core.registry import adapters
from ringfence.egress.resolve import NameNotResolved, resolve
from ringfence.placement.events import Moved
from ringfence.placement.heat import least_busy_percent, slowed
from ringfence.placement.instance import Placement
from ringfence.placement.lock_file import LockFiles, paths_of
from ringfence.placement.planning import LeasePhase
from ringfence.placement.planning.capacity import promised_bytes
from ringfence.placement.reconciler import Reconciler
from ringfence.placement.tenant_watch import TenantWatch, Watched
from ringfence.placement.tenants import Tenants
from ringfence.placement.timeline import Timeline
from ringfence.runtime.desired import Desired
from ringfence.runtime.memory import Memory
from ringfence.runtime.modes import Modes
from ringfence.runtime.reconciling import Reconciling
from ringfence.runtime.starts import started
from ringfence.runtime.what_is_lent import KeptLeases
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed

if TYPE_CHECKING:
    from ringfence.telemetry.events import Events

LOOK_EVERY_S = 5.0
KINDS: dict[str, TenantKind] = adapters(kinds)
log = logging.getLogger("ringfence.placement")
FetchAt = Callable[[Endpoint], Fetch]
AskAt = Callable[[Endpoint], Ask]


class Placing:
    """One per gateway; `start` begins the loop, `close` ends it. Engines are stopped by whoever keeps them."""

    def __init__(self, placement: Placement, db: Database, config: Config, folder: Path, events: Events) -> None:
        self.memory = Memory(placement, db, config.devices)
        self.desired = Desired(self.memory, started, config)
        self.tenants = Tenants(self.desired.devices, monotonic, nudge=placement.demands.nudged)
        self.locks = LockFiles({}, monotonic)
        self.timeline = Timeline()
        self.reconciler = Reconciler(placement, self.desired, self.tenants, monotonic, events.emit)
        self.loop = Reconciling(self.reconciler, self.desired, self.memory)
        self.modes = Modes(self.desired, self.reconciler, self.loop.nudge, folder / "mode")
        self.slow: Callable[[dict[str, float]], None] = lambda _shares: None
        self.gpu_load = 0.0
        """Percent that the least busy GPU works, as it was last seen."""
        self.recent: list[tuple[float, Moved]] = []
        self._kept = KeptLeases(self.tenants, db)
        self._watches: dict[str, tuple[object, asyncio.Task[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        placement.demands.nudge = self.loop.nudge
        self.memory.site_of, self.memory.setup_of = self.reconciler.site_of, self.desired.setup_on
        self.loop.before, self.loop.after = self._before, self._after

    async def start(self) -> None:
        """Before the first model is added."""
        try:
            await self._kept.restore()
        except StoreFailed as failed:
            log.error("the leases of before cannot be read: %s", failed)
        await self.modes.restore()
        self._tasks = [
            asyncio.create_task(self.loop.run(), name="reconcile"),
            asyncio.create_task(self._look_at_devices(), name="look at devices"),
        ]

    async def follow(self, config: Config, fetch_at: FetchAt, ask_at: AskAt) -> None:
        """Another configuration is in force."""
        self.desired.config = config
        self.modes.follow()
        self.loop.nudge()
        wanted = {name: one for name, one in config.tenants.items() if one.kind is not None}
        for name, (settings, task) in list(self._watches.items()):
            if wanted.get(name) != settings:
                task.cancel()
                del self._watches[name]
        for name, settings in wanted.items():
            address = settings.address
            if name in self._watches or address is None or settings.kind is None or settings.memory is None:
                continue
            try:
                at = await resolve(address.host, address.port, Boundary.MESH, config.mesh_networks)
            except (NameNotResolved, BoundaryRefused) as error:
                log.error("tenants.%s.url: %s", name, error)
                continue
            endpoint = Endpoint(at.address, address.port, at.boundary, address.prefix)
            watched = Watched(name, KINDS[settings.kind], fetch_at(endpoint), ask_at(endpoint), settings.device,
                              settings.memory, opens=self.desired.opens_for(name))  # fmt: skip
            watch = TenantWatch(watched, self.tenants, monotonic)
            self._watches[name] = settings, asyncio.create_task(watch.run(), name=f"watch {name}")

    async def close(self) -> None:
        """No more moves; programs of a mode end, locks are free."""
        tasks = [*self._tasks, *(task for _settings, task in self._watches.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.modes.close()
        self.locks.close()
        await self._kept.close()
        await self.memory.write()

    def moved(self, event: Moved) -> None:
        """Told of everything that the reconciler does."""
        event = replace(event, reason=self.in_words(event.reason))
        self.recent.insert(0, (time(), event))
        del self.recent[50:]
        self.modes.moved(event)
        log.info("%s %s: %s", event.what, event.name, event.reason)

    def in_words(self, reason: str) -> str:
        """With the names of tenants in the place of their leases."""
        for lease in self.tenants.all() if "lease-" in reason else ():
            reason = reason.replace(lease.id, lease.tenant)
        return reason

    def leased(self) -> dict[str, int]:
        """By device: what tenants may still take beside what they hold."""
        found: dict[str, int] = {}
        for lease in self.tenants.leases():
            if lease.phase is not LeasePhase.ASKED:
                found[lease.device] = found.get(lease.device, 0) + promised_bytes(lease, monotonic())
        return found

    # -- around each cycle ------------------------------------------------------------------------------------------

    def _before(self) -> None:
        said, names = self.desired.config, {}
        for name in said.devices:
            found = self.desired.device(name)
            if found is not None:
                names[found.id] = name
        pools = {one.id: names.get(one.id, one.id) for one in self.memory.pools}
        self.locks.follow(paths_of(said.placement.lock_file, pools))
        self.desired.loads_until = self.locks.loads_until_s
        self.reconciler.locks = self.locks

    def slowed(self) -> dict[str, float]:
        """By target: the share of its places while its device is too hot or too busy."""
        said = self.desired.config.placement
        on = {
            target: [share.device for share in site.shares]
            for one in self.reconciler.placement.planned()
            if (site := self.reconciler.site_of(one.keeper.name)) is not None
            for target in self.reconciler.placement.targets_of(one.keeper.name)
        }
        return slowed(self.memory.pools, on, said.hot_c, said.busy_percent)

    async def _after(self) -> None:
        self._strained()
        self.tenants.told(self.reconciler.last)
        self.timeline.add(time(), self.memory.pools, self.leased())
        await self.memory.write()

    def _strained(self) -> None:
        self.slow(self.slowed())
        self.gpu_load = least_busy_percent(self.memory.pools)

    async def _look_at_devices(self) -> None:
        """For the last hour's picture, and so that a tenant is missed soon after it ended."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.memory.refresh(LOOK_EVERY_S / 2)
                self.tenants.look()
                self._strained()
                self.timeline.add(time(), self.memory.pools, self.leased())
            except Exception:
                log.exception("devices could not be looked at")
