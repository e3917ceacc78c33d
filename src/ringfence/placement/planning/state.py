"""[pure] What the planner is told: devices, what runs on them, what should, and who else wants memory.

Times are seconds of the caller's clock, which does not go back; always points in time and never durations since
something, so that a state that nothing happened to stays equal to itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from ringfence.core.device import Device


class Priority(IntEnum):
    """P0 never leaves; of the others the highest number goes first."""

    P0 = 0
    P1 = 1
    P2 = 2
    P3 = 3


class Residency(StrEnum):
    """When a model is loaded without being asked for, and when it goes."""

    ALWAYS = "always"
    SWAP = "swap"
    LAZY = "lazy"
    ON_DEMAND = "on_demand"


class Phase(StrEnum):
    """Where an instance is, as the planner sees it. In all of them it holds memory, until it is gone."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"
    SLEEPING = "sleeping"
    FAILED = "failed"


class Then(StrEnum):
    """What becomes of an instance that was drained."""

    UNLOAD = "unload"
    SLEEP = "sleep"


class LeasePhase(StrEnum):
    """A tenant's claim: asked for, held, or asked back and not yet given."""

    ASKED = "asked"
    HELD = "held"
    RECALLED = "recalled"


@dataclass(frozen=True, slots=True)
class Window:
    """Whether something may run now, and when that changes; None when it never does. Zones are the caller's matter."""

    is_open: bool = True
    changes_s: float | None = None


ALWAYS_OPEN = Window()


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device as it was read, and the owner's rules for it.

    `headroom_bytes` stay free after every load. Free memory below `threshold_bytes` makes the lowest leave; it is at
    most the headroom, and the difference keeps models from coming and going. `order` lists classes (`P0` ... `P3`),
    models and tenants, first come first. `loads_until_s` is set while another program's large load holds the lock.
    """

    device: Device
    headroom_bytes: int = 0
    threshold_bytes: int = 0
    order: tuple[str, ...] = ()
    out_of_service: str = ""
    temperature_c: float | None = None
    loads_until_s: float | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Bytes of one device."""

    device: str
    claimed_bytes: int


@dataclass(frozen=True, slots=True)
class Share:
    """What a model takes of one device: likely, and how far that may be too low (0 once it was observed)."""

    device: str
    likely_bytes: int
    error_bytes: int = 0

    @property
    def most_bytes(self) -> int:
        return self.likely_bytes + self.error_bytes


@dataclass(frozen=True, slots=True)
class Site:
    """One way to place a model: a share of each device it needs, and what it would hold while asleep."""

    shares: tuple[Share, ...]
    asleep: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """A model as its owner wants it. `sites` are in order of preference; `slot` names its swap slot, if it has one."""

    name: str
    residency: Residency
    priority: Priority
    sites: tuple[Site, ...]
    can_sleep: bool = False
    load_s: float = 30.0
    wake_s: float = 5.0
    slot: str = ""
    idle_s: float | None = None
    window: Window = ALWAYS_OPEN


@dataclass(frozen=True, slots=True)
class Slot:
    """One of its models at a time; after `idle_s` unused it goes back to the default."""

    name: str
    default: str = ""
    idle_s: float = 300.0


@dataclass(frozen=True, slots=True)
class InstanceState:
    """One engine process. `claims` is what it holds as observed; while it starts, what was planned for it.

    `since_s` is when its phase began. `then` says what a drain is for. `site` is None for one that was found running.
    """

    id: str
    model: str
    phase: Phase
    claims: tuple[Claim, ...]
    since_s: float
    running: int = 0
    last_used_s: float = float("-inf")
    then: Then = Then.UNLOAD
    site: Site | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What callers want of a model now: how many wait, since when the oldest, and the best class among them (0 is a
    user, 1 an agent, 2 background). `left_s` is when the model was last here: one that had its turn and could not serve
    all goes behind those that had none since, however old its requests are."""

    model: str
    waiting: int
    oldest_s: float
    urgency: int = 0
    left_s: float = float("-inf")

    @property
    def since_s(self) -> float:
        """Since when the model is waited for, and is not here."""
        return max(self.oldest_s, self.left_s)


@dataclass(frozen=True, slots=True)
class TenantLease:
    """Memory of a device for a program of somebody else. `used_bytes` is what it is seen to hold already; that is part
    of what others use of the device. `priority` is a place in the device's order, unless the tenant is named there."""

    id: str
    tenant: str
    device: str
    leased_bytes: int
    priority: int
    phase: LeasePhase
    since_s: float
    until_s: float
    used_bytes: int = 0
    window: Window = ALWAYS_OPEN


@dataclass(frozen=True, slots=True)
class Mode:
    """An exclusive use of devices: only `members` (models and tenants) run there, and they are kept."""

    name: str
    devices: frozenset[str]
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rest:
    """A model that is not to be loaded before `until_s`, and why."""

    model: str
    until_s: float
    why: str


@dataclass(frozen=True, slots=True)
class State:
    """Everything at one moment."""

    devices: tuple[DeviceState, ...] = ()
    models: tuple[Model, ...] = ()
    instances: tuple[InstanceState, ...] = ()
    demands: tuple[Demand, ...] = ()
    leases: tuple[TenantLease, ...] = ()
    slots: tuple[Slot, ...] = ()
    rests: tuple[Rest, ...] = ()
    mode: Mode | None = None
