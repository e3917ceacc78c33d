"""The book of leases: memory of devices for programs of somebody else. Synchronous; whoever plans reads it each time.

A lease is kept while its owner lives. With a pid that is the life of the process; without one, its heartbeats.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ringfence.core.device import Device, DeviceKind
from ringfence.core.errors import BadRequest
from ringfence.core.ports import Clock
from ringfence.placement.device_names import named
from ringfence.placement.owners import Owner, held_by, owner_of
from ringfence.placement.planning import DeviceState, LeasePhase, Plan, TenantLease, Window
from ringfence.placement.planning.capacity import gib
from ringfence.placement.planning.ranks import DEFAULT_ORDER
from ringfence.placement.planning.state import ALWAYS_OPEN
from ringfence.store.leases import KeptLease

TTL_S = 60.0
LEAST_TTL_S, MOST_TTL_S = 5.0, 86_400.0
Opens = Callable[[], Window]


@dataclass(frozen=True, slots=True)
class Lease:
    """One claim. `until_s` is when it ends without a sign of life; `reason` is what was last said about it, and
    `expected_s` when its turn is likely to come. Times are of the book's clock."""

    id: str
    tenant: str
    device: str
    leased_bytes: int
    priority: int
    phase: LeasePhase
    asked_s: float
    since_s: float
    until_s: float
    ttl_s: float
    owner: Owner | None = None
    is_watched: bool = False
    """By us: its tenant does not know of it."""
    reason: str = ""
    expected_s: float | None = None


class Tenants:
    """`devices` tells the devices as they were last read, with the owner's rules. `nudge` is called when the plan may
    be another than before, `listeners` at every change."""

    def __init__(
        self,
        devices: Callable[[], Sequence[DeviceState]],
        clock: Clock,
        *,
        nudge: Callable[[], None] = lambda: None,
        held: Callable[[int, Device], int] = held_by,
        find_owner: Callable[[int], Owner | None] = owner_of,
        new_id: Callable[[], str] = lambda: f"lease-{uuid.uuid4().hex[:20]}",
    ) -> None:
        self.listeners: list[Callable[[], None]] = []
        self._devices = devices
        self._clock = clock
        self._nudge = nudge
        self._held = held
        self._find_owner = find_owner
        self._new_id = new_id
        self._leases: dict[str, Lease] = {}
        self._opens: dict[str, Opens] = {}
        self._seen: dict[str, int] = {}

    # -- what tenants say ---------------------------------------------------------------------------------------

    def ask(
        self,
        tenant: str,
        device: str | None,
        leased_bytes: int,
        priority: int | None = None,
        ttl_s: float = TTL_S,
        pid: int | None = None,
        window: Opens | None = None,
        *,
        is_watched: bool = False,
    ) -> Lease:
        """A new lease, asked for and not yet granted. BadRequest, naming the field, where it never could be.

        Without a device: the GPU with the most free memory on which it fits, else RAM. `priority` is a place in the
        device's order; without one, that of the tenant's name there, or the last.
        """
        if leased_bytes <= 0:
            raise BadRequest("A lease is of at least one byte.", param="memory")
        if not LEAST_TTL_S <= ttl_s <= MOST_TTL_S:
            raise BadRequest(f"ttl_s is from {LEAST_TTL_S:.0f} to {MOST_TTL_S:.0f} seconds.", param="ttl_s")
        chosen = self._device(device, leased_bytes)
        owner = self._find_owner(pid) if pid is not None else None
        if pid is not None and owner is None:
            raise BadRequest(f"No process of this machine has the pid {pid}.", param="pid")
        now_s = self._clock()
        lease = Lease(
            id=self._new_id(),
            tenant=tenant,
            device=chosen.device.id,
            leased_bytes=leased_bytes,
            priority=_place(chosen, tenant, priority),
            phase=LeasePhase.ASKED,
            asked_s=now_s,
            since_s=now_s,
            until_s=now_s + ttl_s,
            ttl_s=ttl_s,
            owner=owner,
            is_watched=is_watched,
        )
        if window is not None:
            self._opens[lease.id] = window
        self._leases[lease.id] = lease
        self._changed(nudges=True)
        return lease

    def beat(self, lease_id: str) -> Lease | None:
        """Its tenant lives. The lease as it is; None for one that ended, or never was: ask again."""
        self.look()
        lease = self._leases.get(lease_id)
        if lease is None:
            return None
        self._leases[lease_id] = lease = replace(lease, until_s=self._clock() + lease.ttl_s)
        return lease

    def end(self, lease_id: str) -> Lease | None:
        """Its tenant has left. The lease as it was last; None where there is none."""
        lease = self._forget(lease_id)
        if lease is not None:
            self._changed(nudges=True)
        return lease

    def saw(self, lease_id: str, used_bytes: int) -> None:
        """What its tenant says it holds, for one that has no pid."""
        if lease_id in self._leases:
            self._seen[lease_id] = max(0, used_bytes)

    # -- what the plan says -------------------------------------------------------------------------------------

    def granted(self, lease_id: str, reason: str = "") -> bool:
        """Its room is free. False where it is not asked for any more."""
        return self._enter(lease_id, LeasePhase.ASKED, LeasePhase.HELD, reason)

    def recalled(self, lease_id: str, reason: str = "") -> bool:
        """Its tenant is to give back what it holds. False where it is not held."""
        return self._enter(lease_id, LeasePhase.HELD, LeasePhase.RECALLED, reason)

    def told(self, plan: Plan) -> None:
        """What a plan says about those that are asked for: why they wait, and until about when."""
        waiting = {one.name: (one.reason, one.expected_s) for one in plan.waiting}
        waiting |= {one.name: (one.reason, None) for one in plan.refused}
        for name, lease in self._leases.items():
            if lease.phase is LeasePhase.ASKED and name in waiting:
                reason, expected_s = waiting[name]
                self._leases[name] = replace(lease, reason=reason, expected_s=expected_s)

    # -- what there is ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Ends those whose owner is gone or was silent for too long; a process that lives needs no heartbeat."""
        now_s, ended = self._clock(), False
        for name, lease in list(self._leases.items()):
            if lease.owner is not None and self._find_owner(lease.owner.pid) == lease.owner:
                if lease.until_s - now_s < lease.ttl_s / 2:  # seldom, so that nothing seems to have happened
                    self._leases[name] = replace(lease, until_s=now_s + lease.ttl_s)
            elif lease.owner is not None or lease.until_s <= now_s:
                ended = self._forget(name) is not None
        if ended:
            self._changed(nudges=True)

    def get(self, lease_id: str) -> Lease | None:
        return self._leases.get(lease_id)

    def all(self) -> list[Lease]:
        """Every lease whose owner lives, oldest first."""
        self.look()
        return list(self._leases.values())

    def watched(self, tenant: str) -> Lease | None:
        """The one that we hold ourselves in the name of a tenant."""
        self.look()
        return next((one for one in self._leases.values() if one.is_watched and one.tenant == tenant), None)

    def leases(self) -> tuple[TenantLease, ...]:
        """As the planner takes them."""
        self.look()
        used = self.used()
        return tuple(
            TenantLease(
                id=one.id,
                tenant=one.tenant,
                device=one.device,
                leased_bytes=one.leased_bytes,
                priority=one.priority,
                phase=one.phase,
                since_s=one.since_s,
                until_s=one.until_s,
                used_bytes=used[one.id],
                window=self._opens[one.id]() if one.id in self._opens else ALWAYS_OPEN,
            )
            for one in self._leases.values()
        )

    def used(self) -> dict[str, int]:
        """What each is seen to hold, by id. Together never more than others hold of the device: a tenant may be seen
        later than the device was read, and what was not read there is not free there either."""
        devices = {state.device.id: state.device for state in self._devices()}
        left = {name: device.used_by_others_bytes for name, device in devices.items()}
        of_owner: dict[tuple[Owner, str], int] = {}
        used: dict[str, int] = {}
        for lease in self._leases.values():
            device = devices.get(lease.device)
            if device is None:
                used[lease.id] = 0
                continue
            held_bytes = self._seen.get(lease.id, 0)
            if lease.owner is not None:
                whose = (lease.owner, device.id)
                held_bytes = of_owner.get(whose, -1)
                if held_bytes < 0:
                    held_bytes = max(0, self._held(lease.owner.pid, device))
                of_owner[whose] = 0  # one program with several leases holds what it holds once
            used[lease.id] = min(held_bytes, max(0, left[device.id]))
            left[device.id] -= used[lease.id]
        return used

    # -- over a restart -----------------------------------------------------------------------------------------

    def kept(self) -> list[KeptLease]:
        """Those that hold something: what is to be remembered."""
        return [
            KeptLease(
                id=one.id, tenant=one.tenant, device=one.device, leased_bytes=one.leased_bytes, priority=one.priority,
                is_recalled=one.phase is LeasePhase.RECALLED, ttl_s=one.ttl_s,
                pid=one.owner.pid if one.owner else None, started=one.owner.started if one.owner else "",
                is_watched=one.is_watched,
            )
            for one in self._leases.values()
            if one.phase is not LeasePhase.ASKED
        ]  # fmt: skip

    def restore(self, kept: Iterable[KeptLease]) -> None:
        """Those of before, with their whole time for a sign of life; what was recalled is recalled."""
        now_s = self._clock()
        for one in kept:
            self._leases[one.id] = Lease(
                id=one.id,
                tenant=one.tenant,
                device=one.device,
                leased_bytes=one.leased_bytes,
                priority=one.priority,
                phase=LeasePhase.RECALLED if one.is_recalled else LeasePhase.HELD,
                asked_s=now_s,
                since_s=now_s,
                until_s=now_s + one.ttl_s,
                ttl_s=one.ttl_s,
                owner=Owner(one.pid, one.started) if one.pid is not None else None,
                is_watched=one.is_watched,
            )
        self.look()

    # -- inside -------------------------------------------------------------------------------------------------

    def _enter(self, lease_id: str, before: LeasePhase, after: LeasePhase, reason: str) -> bool:
        lease = self._leases.get(lease_id)
        if lease is None or lease.phase is not before:
            return False
        now_s = self._clock()
        self._leases[lease_id] = replace(lease, phase=after, since_s=now_s, reason=reason, expected_s=None)
        self._changed(nudges=False)
        return True

    def _forget(self, lease_id: str) -> Lease | None:
        self._opens.pop(lease_id, None)
        self._seen.pop(lease_id, None)
        return self._leases.pop(lease_id, None)

    def _changed(self, *, nudges: bool) -> None:
        for listener in self.listeners:
            listener()
        if nudges:
            self._nudge()

    def _device(self, name: str | None, leased_bytes: int) -> DeviceState:
        states = {state.device.id: state for state in self._devices()}
        if name is None:
            return self._choose(list(states.values()), leased_bytes)
        device = named((state.device for state in states.values()), name)
        if device is None:
            known = ", ".join(states) or "none"
            raise BadRequest(f"There is no device '{name[:100]}'; there are: {known}.", param="device")
        state = states[device.id]
        if leased_bytes > _most_bytes(state):
            raise BadRequest(
                f"{gib(leased_bytes)} are more than {device.id} could ever give: {gib(_most_bytes(state))}.",
                param="memory",
            )
        return state

    def _choose(self, states: list[DeviceState], leased_bytes: int) -> DeviceState:
        usable = [one for one in states if not (one.out_of_service or one.device.out_of_service or one.device.part_of)]
        fitting = [one for one in usable if leased_bytes <= _most_bytes(one)]
        if not fitting:
            most = max(map(_most_bytes, usable), default=0)
            raise BadRequest(
                f"{gib(leased_bytes)} are more than any device could ever give: {gib(most)}.", param="memory"
            )
        used = self.used()
        promised = dict.fromkeys((one.device.id for one in states), 0)
        for lease in self._leases.values():
            promised[lease.device] = promised.get(lease.device, 0) + max(0, lease.leased_bytes - used[lease.id])
        return max(
            fitting,
            key=lambda one: (
                one.device.kind is not DeviceKind.RAM,
                one.device.available_bytes - promised[one.device.id],
            ),
        )


def _most_bytes(state: DeviceState) -> int:
    return max(0, state.device.total_bytes - state.headroom_bytes)


def _place(state: DeviceState, tenant: str, priority: int | None) -> int:
    """Where it stands in the device's order."""
    order = state.order or DEFAULT_ORDER
    if priority is None:
        return order.index(tenant) if tenant in order else len(order)
    if not 0 <= priority <= len(order):
        places = ", ".join(f"{place} {name}" for place, name in enumerate(order))
        raise BadRequest(
            f"Priority {priority} is not in the order of {state.device.id}: {places}; {len(order)} comes after all.",
            param="priority",
        )
    return priority
