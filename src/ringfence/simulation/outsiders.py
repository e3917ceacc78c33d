"""Programs of others: some ask for a lease, keep it alive and go when they are asked to; some do not ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from ringfence.accelerators.simulated import OutOfMemory
from ringfence.core.device import Device
from ringfence.core.errors import BadRequest
from ringfence.placement.owners import Owner as Process
from ringfence.placement.planning import LeasePhase
from ringfence.placement.tenants import Tenants
from ringfence.simulation.machine import Machine
from ringfence.simulation.record import Record

PAUSE_S = 900.0
WORK_S = 400.0
BEAT_S = 10.0
TTL_S = 30.0


class Grabber:
    """Takes what it likes when it likes, and tells nobody."""

    def __init__(self, name: str, device: str, most_bytes: int, machine: Machine, chance: Random, record: Record):
        self.name = name
        self._device = device
        self._most_bytes = most_bytes
        self._machine = machine
        self._chance = chance
        self._record = record

    async def live(self) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / PAUSE_S))
            self.grab(int(self._most_bytes * self._chance.uniform(0.3, 1.0)))
            await asyncio.sleep(self._chance.expovariate(1 / WORK_S))
            self.let_go()

    def grab(self, size_bytes: int) -> None:
        """As much of it as there is."""
        gpus = self._machine.gpus
        held = gpus.held(self._device).get(self.name, (0, False))[0]
        size_bytes = min(size_bytes, held + gpus.free_bytes(self._device))
        try:
            gpus.grab(self._device, self.name, size_bytes)
        except OutOfMemory:
            return
        self._record.note("grab", f"{self.name} {self._device} {size_bytes}")

    def let_go(self) -> None:
        self._machine.gpus.release(self._device, self.name)


class Tenant:
    """Asks first. `is_deaf` does not go when it is asked back; one that has a process needs no heartbeat."""

    def __init__(
        self, name: str, device: str, most_bytes: int, book: Tenants, machine: Machine, chance: Random, record: Record
    ) -> None:
        self.name = name
        self.device = device
        self.is_deaf = False
        self.is_dead = False
        self.pid: int | None = None
        self.lease: str | None = None
        """Granted to it, as far as it knows."""
        self.leased_bytes = 0
        self._most_bytes = most_bytes
        self._book = book
        self._machine = machine
        self._chance = chance
        self._record = record

    @property
    def used_bytes(self) -> int:
        return self._machine.gpus.held(self.device).get(self.name, (0, False))[0]

    def promised_bytes(self, used_bytes: int) -> int:
        """What it may take by a lease that is in force, beyond what it holds."""
        lease = self._book.get(self.lease) if self.lease is not None else None
        if lease is None or self.lease is None or lease.until_s <= self._machine.now():
            return 0
        return max(0, self.leased_bytes - used_bytes)

    async def live(self) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / PAUSE_S))
            try:
                await self._work()
            finally:
                self._machine.gpus.release(self.device, self.name)
                self.lease, self.pid, self.is_deaf, self.is_dead = None, None, False, False

    async def _work(self) -> None:
        chance = self._chance
        self.pid = self._machine.pid() if chance.random() < 0.5 else None
        asked = int(self._most_bytes * chance.uniform(0.4, 1.0))
        try:
            lease = self._book.ask(self.name, self.device, asked, ttl_s=TTL_S, pid=self.pid)
        except BadRequest:  # its device is not there
            return
        until_s = self._machine.now() + 300.0
        while lease.phase is LeasePhase.ASKED:
            await asyncio.sleep(2.0)
            found = self._book.beat(lease.id)
            if found is None or self._machine.now() > until_s:
                self._book.end(lease.id)
                return
            lease = found
        self.lease, self.leased_bytes = lease.id, asked
        self._record.note("granted", f"{self.name} {asked}")
        self.is_deaf = chance.random() < 0.1
        await self._use(lease.id, chance.expovariate(1 / WORK_S))

    async def _use(self, lease_id: str, work_s: float) -> None:
        """Takes what it was granted little by little; gives it back at its end, or when it is asked to."""
        began, asked_back = self._machine.now(), 0
        while self._machine.now() - began < work_s:
            await asyncio.sleep(BEAT_S)
            if self.is_dead:  # killed: it says nothing any more, and what it held is free
                return
            lease = self._book.beat(lease_id)
            if lease is None:
                return
            if lease.phase is LeasePhase.RECALLED and not self.is_deaf:
                asked_back += 1
                if asked_back > 1:
                    break
            part = min(1.0, 0.1 + (self._machine.now() - began) / work_s)
            try:
                self._machine.gpus.grab(self.device, self.name, int(self.leased_bytes * part))
            except OutOfMemory:
                break
            if self.pid is None:
                self._book.saw(lease_id, self.used_bytes)
        self._machine.gpus.release(self.device, self.name)
        self._book.end(lease_id)


def held_by(tenants: Callable[[], list[Tenant]]) -> Callable[[int, Device], int]:
    """What a device says that the process of a tenant holds."""

    def held(pid: int, device: Device) -> int:
        names = {tenant.name for tenant in tenants() if tenant.pid == pid}
        return sum(holder.held_bytes or 0 for holder in device.holders if holder.name in names)

    return held


def owner_of(tenants: Callable[[], list[Tenant]]) -> Callable[[int], Process | None]:
    """The process of this number, while it lives."""

    def owner(pid: int) -> Process | None:
        alive = any(tenant.pid == pid and not tenant.is_dead for tenant in tenants())
        return Process(pid, "1") if alive else None

    return owner
