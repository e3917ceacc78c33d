"""The sites that are simulated: devices, models as their owner wants them, and who may ask for what.

They follow the reference sites: one card, a desk with a card and a small server, a card with other tenants.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ringfence.accelerators.simulated import Said
from ringfence.core.device import DeviceKind
from ringfence.placement.planning import Priority, Residency

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model of ours. `size_bytes` is what it is taken to need; `devices` in order of preference."""

    name: str
    residency: Residency
    priority: Priority
    size_bytes: int
    devices: tuple[str, ...]
    slot: str = ""
    weight: float = 1.0
    """Its share of the demand."""
    can_sleep: bool = False
    parallel: int = 4
    hours: str = ""
    """Only then is it loaded."""


@dataclass(frozen=True, slots=True)
class Exclusive:
    """A mode: its devices are for its members alone, some of which take so many times as much memory meanwhile."""

    name: str
    devices: frozenset[str]
    members: frozenset[str]
    larger: dict[str, float]


@dataclass(frozen=True, slots=True)
class Setting:
    """`tenants` are programs of others, by the device that they use and what they take at most."""

    name: str
    devices: tuple[Said, ...]
    models: tuple[Wanted, ...]
    slots: dict[str, str]
    """Swap slot -> its default."""
    mode: Exclusive
    """Now and then it is on."""
    tenants: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    order: tuple[str, ...] = ("P0", "painter", "P1", "P2", "trainer", "P3")
    headroom_bytes: int = GIB
    threshold_bytes: int = GIB // 2


CARD = Setting(
    "card",
    (Said("gpu0", 24 * GIB), Said("ram", 64 * GIB, DeviceKind.RAM)),
    (
        Wanted("small", Residency.SWAP, Priority.P1, 8 * GIB, ("gpu0",), slot="main", weight=4),
        Wanted("large", Residency.SWAP, Priority.P2, 19 * GIB, ("gpu0",), slot="main", weight=2),
        Wanted("vectors", Residency.ALWAYS, Priority.P0, 2 * GIB, ("ram",), weight=2),
        Wanted("voice", Residency.ON_DEMAND, Priority.P3, 3 * GIB, ("gpu0", "ram")),
    ),
    {"main": "small"},
    Exclusive("deep", frozenset(("gpu0",)), frozenset(("large",)), {"large": 1.08}),
    {"painter": ("gpu0", 9 * GIB), "browser": ("gpu0", 2 * GIB)},
)
DESK = Setting(
    "desk",
    (
        Said("gpu0", 32 * GIB),
        Said("pool0", 128 * GIB, DeviceKind.UNIFIED),
    ),
    (
        Wanted("guard", Residency.ALWAYS, Priority.P0, 3 * GIB, ("gpu0",)),
        Wanted("chat", Residency.ALWAYS, Priority.P1, 8 * GIB, ("gpu0",), weight=4),
        Wanted("quick", Residency.SWAP, Priority.P1, 12 * GIB, ("gpu0",), slot="main", weight=2),
        Wanted("writer", Residency.SWAP, Priority.P2, 14 * GIB, ("gpu0",), slot="main", weight=2),
        Wanted("giant", Residency.ALWAYS, Priority.P2, 48 * GIB, ("pool0",)),
        Wanted("coder", Residency.LAZY, Priority.P2, 60 * GIB, ("pool0",), can_sleep=True),
        Wanted("voice", Residency.ON_DEMAND, Priority.P3, 4 * GIB, ("gpu0", "pool0")),
        Wanted("vision", Residency.LAZY, Priority.P2, 9 * GIB, ("pool0", "gpu0")),
        Wanted("judge", Residency.ON_DEMAND, Priority.P3, 30 * GIB, ("pool0",), hours="22:00-06:30 Pacific/Auckland"),
    ),
    {"main": "quick"},
    Exclusive("studio", frozenset(("gpu0",)), frozenset(("chat", "painter")), {"chat": 1.4}),
    {"painter": ("gpu0", 10 * GIB), "trainer": ("pool0", 40 * GIB), "browser": ("gpu0", 3 * GIB)},
)
SHARED = Setting(
    "shared",
    (Said("gpu0", 24 * GIB), Said("gpu1", 12 * GIB)),
    (
        Wanted("chat", Residency.ALWAYS, Priority.P0, 7 * GIB, ("gpu0", "gpu1"), weight=4),
        Wanted("fixer", Residency.LAZY, Priority.P1, 9 * GIB, ("gpu1", "gpu0"), weight=2),
        Wanted("writer", Residency.LAZY, Priority.P2, 9 * GIB, ("gpu0", "gpu1"), weight=2, can_sleep=True),
        Wanted("batch", Residency.ON_DEMAND, Priority.P3, 6 * GIB, ("gpu0", "gpu1"), hours="09:00-17:00 Europe/Berlin"),
    ),
    {},
    Exclusive("mending", frozenset(("gpu1",)), frozenset(("fixer",)), {"fixer": 1.1}),
    {"painter": ("gpu0", 8 * GIB), "trainer": ("gpu1", 6 * GIB), "browser": ("gpu0", 2 * GIB)},
)
SETTINGS = (CARD, DESK, SHARED)
