"""[pure] Who comes before whom on a device: its one list of classes, models and tenants. Lower ranks come first."""

from __future__ import annotations

from functools import lru_cache

from ringfence.placement.planning.state import Mode, Model, Priority, Residency, TenantLease

DEFAULT_ORDER = ("P0", "P1", "P2", "P3")
PROTECTED = -2
MEMBER = -1


@lru_cache(maxsize=1024)
def places(order: tuple[str, ...]) -> dict[str, int]:
    """Where each name stands; the first time counts."""
    found: dict[str, int] = {}
    for place, name in enumerate(order or DEFAULT_ORDER):
        found.setdefault(name, place)
    return found


def is_protected(model: Model) -> bool:
    """P0 never leaves."""
    return model.priority is Priority.P0


def is_kept(model: Model, mode: Mode | None) -> bool:
    """Loaded without being asked for, and not to give way to others of its own rank."""
    return model.residency is Residency.ALWAYS or (mode is not None and model.name in mode.members)


def rank_of(model: Model, at: dict[str, int], mode: Mode | None) -> int:
    """A class that the list does not name comes after all that it does."""
    if model.priority is Priority.P0:
        return PROTECTED
    if mode is not None and model.name in mode.members:
        return MEMBER
    place = at.get(model.name)
    if place is None:
        place = at.get(DEFAULT_ORDER[model.priority])
    return len(at) + int(model.priority) if place is None else place


def rank_of_lease(lease: TenantLease, at: dict[str, int], mode: Mode | None) -> int:
    if mode is not None and lease.tenant in mode.members:
        return MEMBER
    return at.get(lease.tenant, max(0, lease.priority))
