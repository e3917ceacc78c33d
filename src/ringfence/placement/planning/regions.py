"""[pure] Planning again only where something changed.

Devices that no model, slot, lease or mode has in common cannot influence each other: each such region has a plan of its
own, which holds until something in the region changes, or the time comes at which it wants to be made again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from ringfence.placement.planning.actions import Plan
from ringfence.placement.planning.memory import Memory
from ringfence.placement.planning.planner import DEFAULT_POLICY, plan
from ringfence.placement.planning.policy import Policy
from ringfence.placement.planning.state import (
    Demand,
    DeviceState,
    InstanceState,
    Mode,
    Model,
    Rest,
    Slot,
    State,
    TenantLease,
)

ALONE = ""
"""The region of what no device has anything to do with."""
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which region each device, model and slot belongs to; a region has the name of one of its devices."""

    devices: dict[str, str]
    models: dict[str, str]
    slots: dict[str, str]

    def of_device(self, device: str) -> str:
        return self.devices.get(device, device)

    def of_model(self, model: str) -> str:
        return self.models.get(model, ALONE)


@dataclass(frozen=True, slots=True)
class Made:
    """A plan of one region, for what it was made, and when."""

    state: State
    made_s: float
    plan: Plan

    def holds(self, state: State, now_s: float) -> bool:
        wakes_s = self.plan.wakes_at_s
        return self.made_s <= now_s and (wakes_s is None or now_s < wakes_s) and self.state == state


def layout_of(models: Iterable[Model], slots: Iterable[Slot], mode: Mode | None) -> Layout:
    """Regions by what ties devices together."""
    root: dict[str, str] = {}

    def find(device: str) -> str:
        above = root.setdefault(device, device)
        while above != root[above]:
            above = root[above]
        root[device] = above
        return above

    def join(devices: Iterable[str]) -> str:
        first: str | None = None
        for device in devices:
            if first is None:
                first = find(device)
            else:
                root[find(device)] = first
        return ALONE if first is None else first

    slot_devices: dict[str, list[str]] = {}
    anchors: dict[str, str] = {}
    for model in models:
        named = [share.device for site in model.sites for share in chain(site.shares, site.asleep)]
        anchors[model.name] = join(named)
        if model.slot and named:
            slot_devices.setdefault(model.slot, []).append(named[0])
    for named in slot_devices.values():
        join(named)
    if mode is not None:
        join(mode.devices)
    devices = {device: find(device) for device in list(root)}
    return Layout(
        devices,
        {name: devices.get(anchor, ALONE) for name, anchor in anchors.items()},
        {slot.name: devices.get(slot_devices.get(slot.name, [ALONE])[0], ALONE) for slot in slots},
    )


class Planner:
    """`plan`, remembered by region. The plans are the same; the order of actions is that of the regions."""

    def __init__(self, policy: Policy = DEFAULT_POLICY) -> None:
        self.policy = policy
        self._last: State | None = None
        self._layout = Layout({}, {}, {})
        self._devices: dict[str, tuple[DeviceState, ...]] = {}
        self._models: dict[str, tuple[Model, ...]] = {}
        self._instances: dict[str, tuple[InstanceState, ...]] = {}
        self._demands: dict[str, tuple[Demand, ...]] = {}
        self._leases: dict[str, tuple[TenantLease, ...]] = {}
        self._slots: dict[str, tuple[Slot, ...]] = {}
        self._rests: dict[str, tuple[Rest, ...]] = {}
        self._made: dict[str, Made] = {}
        self._memories: dict[str, Memory] = {}

    def plan(self, state: State, now_s: float) -> Plan:
        """As `plan(state, now_s)`."""
        parts = self._parts(state)
        if parts is None:
            return plan(state, now_s, self.policy)
        made: dict[str, Made] = {}
        for region, part in parts.items():
            known = self._made.get(region)
            if known is None or not known.holds(part, now_s):
                memory = self._memories.setdefault(region, Memory())
                known = Made(part, now_s, plan(part, now_s, self.policy, memory))
            made[region] = known
        self._made = made
        return _merged([each.plan for each in made.values()])

    def _parts(self, state: State) -> dict[str, State] | None:
        """The state of each region; None when something lies across them."""
        last = self._last
        if last is None or (state.models, state.slots, state.mode) != (last.models, last.slots, last.mode):
            self._layout = layout_of(state.models, state.slots, state.mode)
            self._memories.clear()
            last = None
        layout = self._layout
        if (last is None or state.instances is not last.instances) and _lies_across(layout, state.instances):
            self._last = None
            return None
        if last is None or state.devices is not last.devices:
            self._devices = _grouped(state.devices, lambda each: layout.of_device(each.device.id))
        if last is None:
            self._models = _grouped(state.models, lambda each: layout.of_model(each.name))
            self._slots = _grouped(state.slots, lambda each: layout.slots.get(each.name, ALONE))
        if last is None or state.instances is not last.instances:
            self._instances = _grouped(state.instances, lambda each: _region_of(layout, each))
        if last is None or state.demands is not last.demands:
            region_of = layout.models.get
            self._demands = _grouped(state.demands, lambda each: region_of(each.model, ALONE))
        if last is None or state.leases is not last.leases:
            self._leases = _grouped(state.leases, lambda each: layout.of_device(each.device))
        if last is None or state.rests is not last.rests:
            self._rests = _grouped(state.rests, lambda each: layout.of_model(each.model))
        self._last = state
        groups = (self._devices, self._models, self._instances, self._demands, self._leases)
        return {region: self._part(region, state.mode) for region in dict.fromkeys(chain.from_iterable(groups))}

    def _part(self, region: str, mode: Mode | None) -> State:
        return State(
            self._devices.get(region, ()),
            self._models.get(region, ()),
            self._instances.get(region, ()),
            self._demands.get(region, ()),
            self._leases.get(region, ()),
            self._slots.get(region, ()),
            self._rests.get(region, ()),
            mode,
        )


def _grouped(items: Iterable[Part], region_of: Callable[[Part], str]) -> dict[str, tuple[Part, ...]]:
    groups: defaultdict[str, list[Part]] = defaultdict(list)
    for item in items:
        groups[region_of(item)].append(item)
    return {region: tuple(found) for region, found in groups.items()}


def _region_of(layout: Layout, instance: InstanceState) -> str:
    return layout.of_device(instance.claims[0].device) if instance.claims else layout.of_model(instance.model)


def _lies_across(layout: Layout, instances: Iterable[InstanceState]) -> bool:
    """An instance where its model has no site: it ties regions together that are else apart."""
    for instance in instances:
        region = layout.models.get(instance.model)
        for claim in instance.claims:
            found = layout.of_device(claim.device)
            if region is None:
                region = found
            elif found != region:
                return True
    return False


def _merged(plans: list[Plan]) -> Plan:
    wakes = [each.wakes_at_s for each in plans if each.wakes_at_s is not None]
    return Plan(
        tuple(chain.from_iterable(each.actions for each in plans)),
        tuple(chain.from_iterable(each.waiting for each in plans)),
        tuple(chain.from_iterable(each.refused for each in plans)),
        min(wakes, default=None),
    )
