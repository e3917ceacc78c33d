"""[pure] What is free on each device: now, and once those that are leaving have gone.

A load may begin only in what is free now. What becomes free soon can be promised, to one want at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.placement.planning.policy import Policy
from ringfence.placement.planning.ranks import places
from ringfence.placement.planning.state import (
    Claim,
    DeviceState,
    InstanceState,
    LeasePhase,
    Model,
    Phase,
    Site,
    State,
    TenantLease,
    Then,
)

GIB = 1 << 30
GOING = (Phase.DRAINING, Phase.STOPPING, Phase.FAILED)


def gib(size_bytes: int) -> str:
    """For a reason."""
    return f"{max(0, size_bytes) / GIB:.1f} GiB"


def taken_by_others(state: DeviceState) -> int:
    """Held by whatever is not an engine of ours, known or not."""
    return state.device.used_by_others_bytes


def promised_bytes(lease: TenantLease, now_s: float) -> int:
    """What a tenant may still take beyond what it is seen to hold."""
    if lease.phase is LeasePhase.ASKED or lease.until_s <= now_s:
        return 0
    return max(0, lease.leased_bytes - lease.used_bytes)


def lease_bytes(lease: TenantLease) -> int:
    """What is free again once a tenant is gone."""
    return max(lease.used_bytes, lease.leased_bytes)


@dataclass(slots=True)
class Holder:
    """An instance on a device, and what of it is the same for whoever wants its room: when it will have dwelt, and
    when nobody will have used it for long enough (never, while somebody does)."""

    instance: InstanceState
    model: Model
    rank: int
    is_asleep: bool
    is_starting: bool
    dwelt_s: float
    quiet_s: float
    is_kept: bool
    gives: dict[str, int]


class Room:
    """The memory of one device while a plan is made; `free_*` is beside the headroom, and negative where it is used."""

    __slots__ = (
        "empty_bytes", "free_now", "free_soon", "held", "holders", "holders_at_first", "large_until_s", "leases",
        "mark", "movable_bytes", "places", "soon_s", "state",
    )  # fmt: skip

    def __init__(self, state: DeviceState) -> None:
        self.state = state
        self.places = places(state.order)
        self.empty_bytes = state.device.total_bytes - state.headroom_bytes
        """What could ever be had of it."""
        self.free_now = self.empty_bytes - taken_by_others(state)
        self.free_soon = self.free_now
        self.soon_s = float("-inf")
        """When those that are leaving should be gone."""
        self.large_until_s = state.loads_until_s
        """When the large load that is under way should be over; None without one."""
        self.held: list[tuple[InstanceState, int]] = []
        self.leases: list[TenantLease] = []
        self.holders: list[Holder] | None = None
        """Those of `held` that may ever give way to somebody, the lowest first; None until somebody asks."""
        self.holders_at_first: list[Holder] | None = None
        """The same before any was told to go or promised."""
        self.mark = 0
        """Equal marks, equal rooms; see `memory`."""
        self.movable_bytes = 0
        """The most that they and the tenants can give."""

    @property
    def short_bytes(self) -> int:
        """How much has to leave so that the threshold is kept."""
        return self.state.threshold_bytes - self.state.headroom_bytes - self.free_soon

    def hold(self, size_bytes: int, leaving_bytes: int = 0, gone_s: float = float("-inf")) -> None:
        """So much is taken, of which some is leaving."""
        self.free_now -= size_bytes
        self.free_soon -= size_bytes - leaving_bytes
        if leaving_bytes:
            self.soon_s = max(self.soon_s, gone_s)

    def free(self, size_bytes: int, gone_s: float) -> None:
        """So much of what is taken begins to leave."""
        self.free_soon += size_bytes
        self.soon_s = max(self.soon_s, gone_s)

    def large(self, until_s: float) -> None:
        """A large load is under way."""
        self.large_until_s = max(self.large_until_s or until_s, until_s)


def rooms_of(state: State, now_s: float, policy: Policy, models: dict[str, Model]) -> dict[str, Room]:
    """Every device with what is taken of it."""
    rooms = {each.device.id: Room(each) for each in state.devices}
    for lease in state.leases:
        room = rooms.get(lease.device)
        if room is not None:
            _place_lease(room, lease, now_s, policy)
    for instance in state.instances:
        phase = instance.phase
        if phase is Phase.READY or phase is Phase.STARTING:  # nearly all of them
            for claim in instance.claims:
                room = rooms.get(claim.device)
                if room is not None:
                    size_bytes = claim.claimed_bytes
                    room.free_now -= size_bytes
                    room.free_soon -= size_bytes
                    room.held.append((instance, size_bytes))
                    if phase is Phase.STARTING and size_bytes >= policy.large_bytes:
                        model = models.get(instance.model)
                        room.large(instance.since_s + (model.load_s if model is not None else 0.0))
        else:
            _place(rooms, instance, now_s, policy)
    return rooms


def _place_lease(room: Room, lease: TenantLease, now_s: float, policy: Policy) -> None:
    room.leases.append(lease)
    promised = promised_bytes(lease, now_s)
    gone_s = min(lease.until_s, lease.since_s + policy.drain_s)
    if lease.phase is LeasePhase.RECALLED and now_s < gone_s:
        room.hold(promised)
        room.free(lease_bytes(lease), gone_s)
    elif promised:
        room.hold(promised)


def _place(rooms: dict[str, Room], instance: InstanceState, now_s: float, policy: Policy) -> None:
    """One that leaves, or sleeps."""
    gone_s = instance.since_s + (policy.settle_s if instance.phase is Phase.SLEEPING else policy.drain_s)
    held = sizes(instance.claims)
    later = stays_of(instance, now_s, policy)
    if is_settling(instance, now_s, policy):
        held = {device: max(held.get(device, 0), later.get(device, 0)) for device in {**held, **later}}
    for device, size_bytes in held.items():
        room = rooms.get(device)
        if room is not None:
            room.hold(size_bytes, max(0, size_bytes - later.get(device, 0)), gone_s)
            room.held.append((instance, size_bytes))


def is_settling(instance: InstanceState, now_s: float, policy: Policy) -> bool:
    """It fell asleep just now: what it is seen to hold is not yet what it will."""
    return instance.phase is Phase.SLEEPING and now_s < instance.since_s + policy.settle_s


def stays_of(instance: InstanceState, now_s: float, policy: Policy) -> dict[str, int]:
    """What it will hold of each device once it has done what it is about to do."""
    if instance.phase in GOING:
        return asleep_bytes(instance.site) if instance.then is Then.SLEEP else {}
    return asleep_bytes(instance.site) if is_settling(instance, now_s, policy) else sizes(instance.claims)


def asleep_bytes(site: Site | None) -> dict[str, int]:
    """What it holds of each device while it sleeps."""
    return sizes(site.asleep) if site is not None else {}


def sizes(claims: Iterable[Claim]) -> dict[str, int]:
    return {claim.device: claim.claimed_bytes for claim in claims}
