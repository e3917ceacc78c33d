"""The devices of this machine and what our engines take of them: read, predicted, learned, written down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from time import monotonic, time

from ringfence import accelerators
from ringfence.accelerators.simulated import OutOfMemory, Said, Simulated
from ringfence.config.placing import DeviceSettings
from ringfence.core.device import Device, DeviceKind, Ours, drawn_by_ours
from ringfence.core.energy import Drawn
from ringfence.core.footprint import Setup
from ringfence.core.ports import Accelerator
from ringfence.core.registry import adapters
from ringfence.placement.devices import Devices
from ringfence.placement.footprint import Footprints
from ringfence.placement.instance import InstanceStatus, Placement
from ringfence.placement.planning import Site
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.footprints import FootprintRows

BUILD_OF = {"llamacpp": "xllamacpp"}
"""The package of an engine that we run."""
SETTLED_S = 5.0
"""An engine that has been ready for so long holds what it holds."""
log = logging.getLogger("ringfence.devices")

SetupOf = Callable[[str, Device], Setup | None]
"""How an instance is set up on a device; None for one whose memory is not learned."""
SiteOf = Callable[[str], Site | None]


class Memory:
    """`devices` are read by `refresh`. `setup_of` and `site_of` are told by whoever places instances."""

    def __init__(self, placement: Placement, db: Database, said: dict[str, DeviceSettings]) -> None:
        self.simulated = Simulated(
            Said(name, one.simulated, DeviceKind(one.kind)) for name, one in said.items() if one.simulated is not None
        )
        self.devices = Devices(self._kinds(), monotonic)
        self.book = Footprints()
        self.setup_of: SetupOf = lambda _instance, _device: None
        self.site_of: SiteOf = lambda _instance: None
        self.read_s = float("-inf")
        self._watts: float | None = None
        self._placement = placement
        self._rows = FootprintRows(db)
        self._is_known = False
        self._pids: dict[str, int | None] = {}
        self._reading: asyncio.Task[None] | None = None

    def _kinds(self) -> list[Accelerator]:
        found: dict[str, Accelerator] = adapters(accelerators)
        return [self.simulated if kind == Simulated.kind else one for kind, one in found.items()]

    @property
    def pools(self) -> list[Device]:
        """Each memory pool once."""
        return [device for device in self.devices.latest if not device.part_of]

    def held(self, instance: str) -> dict[str, int]:
        """What it was last seen to hold of each pool."""
        found = {device.id: held_bytes(device, instance) for device in self.pools}
        return {device: size_bytes for device, size_bytes in found.items() if size_bytes}

    def drawn(self) -> Drawn | None:
        """By the GPUs on which engines of ours are, when they were last read; None where that is not told."""
        return None if self._watts is None else Drawn(monotonic() - self.read_s, self._watts)

    async def recall(self) -> None:
        """What was learned before the last start."""
        if self._is_known:
            return
        try:
            version, self.book = self.book.version, Footprints(await self._rows.all())
            self.book.version = version + 1
            self._is_known = True
        except StoreFailed as failed:
            log.error("what was learned of memory cannot be read: %s", failed)

    async def refresh(self, max_age_s: float = 0.0) -> None:
        """Read anew what was read longer ago. Readings do not overlap."""
        if self._reading is None or self._reading.done():
            if monotonic() - self.read_s <= max_age_s:
                return
            self._reading = asyncio.create_task(self._read(), name="read devices")
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        statuses = self._placement.status()
        self._take_simulated()
        await self.devices.refresh(ours_of(statuses))
        self.read_s = monotonic()
        self._watts = drawn_by_ours(self.pools)
        self._learn(statuses)

    def _take_simulated(self) -> None:
        """Devices that are only counted hold what is placed on them."""
        sites = {one.keeper.name: self.site_of(one.keeper.name) for one in self._placement.planned()}
        taken = {
            (share.device, name): share.likely_bytes
            for name, site in sites.items()
            for share in (site.shares if site is not None else ())
            if share.device in self.simulated.said
        }
        for device in self.simulated.said:
            for name in self.simulated.ours(device):
                if (device, name) not in taken:
                    self.simulated.release(device, name)
        for (device, name), size_bytes in taken.items():
            try:
                self.simulated.hold(device, name, size_bytes)
            except OutOfMemory as error:
                log.error("%s", error)

    def _learn(self, statuses: Iterable[InstanceStatus]) -> None:
        pools = {device.id: device for device in self.pools}
        for status in statuses:
            site = self.site_of(status.name)
            if site is None or status.state != "ready" or status.since_s < SETTLED_S:
                continue
            is_new = self._pids.get(status.name) != status.pid
            self._pids[status.name] = status.pid
            for share in site.shares:
                device = pools.get(share.device)
                setup = self.setup_of(status.name, device) if device is not None else None
                held = held_bytes(device, status.name) if device is not None else 0
                if setup is None or not held or share.device in self.simulated.said:
                    continue
                if is_new:
                    self.book.load(setup)
                self.book.observe(setup, held, time())

    async def write(self) -> None:
        """What was learned since the last time."""
        changed = self.book.take_changed()
        if not changed:
            return
        try:
            await self._rows.put(changed)
        except StoreFailed as failed:
            self.book.not_written(changed)
            log.error("what was learned of memory cannot be written down: %s", failed)


@cache  # looking it up reads a file, and it is asked for with every model and device in each cycle
def build_of(engine: str) -> str:
    """Its version, of an engine that comes with us; empty where nobody knows."""
    try:
        return version(BUILD_OF[engine]) if engine in BUILD_OF else ""
    except PackageNotFoundError:
        return ""


def ours_of(statuses: Iterable[InstanceStatus]) -> list[Ours]:
    return [Ours(one.name, one.pid, one.rss_bytes or 0) for one in statuses if one.is_ours and one.pid]


def held_bytes(device: Device, instance: str) -> int:
    return sum(holder.held_bytes or 0 for holder in device.holders if holder.instance == instance)
