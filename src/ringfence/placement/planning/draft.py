"""[pure] A plan while it is made: the state, looked up by name, and what was decided so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from ringfence.placement.planning.actions import Action, Cause, Drain, Plan, Recall, Refused, Sleep, Unload, Waiting
from ringfence.placement.planning.capacity import Room, asleep_bytes, lease_bytes, rooms_of, sizes, stays_of
from ringfence.placement.planning.policy import Policy
from ringfence.placement.planning.ranks import rank_of, rank_of_lease
from ringfence.placement.planning.state import (
    Demand,
    InstanceState,
    Model,
    Phase,
    Residency,
    Rest,
    State,
    TenantLease,
    Then,
)

NEVER = float("inf")
Found = TypeVar("Found")


class Wanted:
    """What does not change from round to round: the models, looked up by name, and what is asked of them."""

    def __init__(self, state: State, marks: Iterator[int]) -> None:
        self.marks = marks
        self.models: dict[str, Model] = {model.name: model for model in state.models}
        self.demands: dict[str, Demand] = {demand.model: demand for demand in state.demands if demand.waiting > 0}
        self.slots = {slot.name: slot for slot in state.slots}
        self.slotted: dict[str, list[str]] = {}
        self.can_sleep = False
        self.to_be_here: list[Model] = []
        """Those that somebody waits for, or that are kept."""
        demands = self.demands
        kept = {model.name for model in state.models if model.residency is Residency.ALWAYS}
        if state.mode is not None:
            kept |= state.mode.members
        for model in state.models:
            if model.slot:
                self.slotted.setdefault(model.slot, []).append(model.name)
            if model.can_sleep:
                self.can_sleep = True
            if model.name in demands or model.name in kept:
                self.to_be_here.append(model)


class Draft:
    """One run of the planner writes one of these, and nothing else does."""

    def __init__(self, state: State, now_s: float, policy: Policy, wanted: Wanted) -> None:
        self.state = state
        self.now_s = now_s
        self.policy = policy
        self.wanted = wanted
        self.models = wanted.models
        self.demands = wanted.demands
        self.slots = wanted.slots
        self.slotted = wanted.slotted
        self.can_sleep = wanted.can_sleep
        self.rests: dict[str, Rest] = {rest.model: rest for rest in state.rests if rest.until_s > now_s}
        self.rooms: dict[str, Room] = rooms_of(state, now_s, policy, wanted.models)
        self.hot: set[str] = set()
        self.strained: set[str] = set()
        """Hot or busy devices."""
        self.is_special = state.mode is not None
        """Of some device not only its free memory counts."""
        for each in state.devices:
            if (each.temperature_c or 0.0) > policy.hot_c:
                self.hot.add(each.device.id)
            if each.device.id in self.hot or (each.device.load or 0.0) > policy.busy_load:
                self.strained.add(each.device.id)
            if each.out_of_service:
                self.is_special = True
        self.is_special |= bool(self.strained)
        self.instances: dict[str, list[InstanceState]] = {}
        for instance in state.instances:
            known = self.instances.get(instance.model)
            if known is None:
                self.instances[instance.model] = [instance]
            else:
                known.append(instance)
        self.taken_slots: dict[str, float] = {}
        """Swap slots that somebody was given or promised, and when that should have dwelt."""
        self.going: dict[str, float] = {}
        """Instances and leases that were told to go, and when they should be gone."""
        self.spoken: set[str] = set()
        """Those whose room is promised to somebody who waits for their dwell to be over, and those that wake up."""
        self.actions: list[Action] = []
        self.waiting: dict[str, Waiting] = {}
        self.refused: dict[str, Refused] = {}
        self._wakes_s = NEVER

    def wake(self, at_s: float | None) -> None:
        """Time alone changes something then."""
        if at_s is not None and self.now_s < at_s < self._wakes_s:
            self._wakes_s = at_s

    def noting(self, act: Callable[[], Found]) -> tuple[Found, float]:
        """What it found, and when time alone makes that another."""
        before_s, self._wakes_s = self._wakes_s, NEVER
        found = act()
        wakes_s, self._wakes_s = self._wakes_s, min(before_s, self._wakes_s)
        return found, wakes_s

    def wait(self, name: str, reason: str, expected_s: float) -> None:
        self.waiting[name] = Waiting(name, reason, expected_s)

    def refuse(self, name: str, reason: str) -> None:
        self.refused[name] = Refused(name, reason)

    def rank(self, room: Room, model: Model) -> int:
        return rank_of(model, room.places, self.state.mode)

    def lease_rank(self, room: Room, lease: TenantLease) -> int:
        return rank_of_lease(lease, room.places, self.state.mode)

    def present(self, name: str) -> list[InstanceState]:
        """The instances of a model that were not told to go."""
        return [instance for instance in self.instances.get(name, ()) if instance.id not in self.going]

    def recall(self, lease: TenantLease, reason: str) -> None:
        gone_s = min(lease.until_s, self.now_s + self.policy.drain_s)
        self.actions.append(Recall(lease.id, reason))
        self.going[lease.id] = gone_s
        room = self.rooms[lease.device]
        room.free(lease_bytes(lease), gone_s)
        room.mark = next(self.wanted.marks)

    def leave(self, instance: InstanceState, cause: Cause, reason: str, may_sleep: bool) -> None:
        """It goes as gently as it can: what serves is drained, what can sleep sleeps where that is of use."""
        asleep = self.asleep_of(instance) if may_sleep else None
        self.actions.append(farewell(instance, cause, reason, asleep is not None))
        gone_s = self.now_s + (self.policy.drain_s if instance.running else 0.0)
        self.going[instance.id] = gone_s
        before, after = stays_of(instance, self.now_s, self.policy), asleep or {}
        for device in {**before, **after}:
            room = self.rooms.get(device)
            less = before.get(device, 0) - after.get(device, 0)
            if room is None:
                continue
            room.mark = next(self.wanted.marks)
            if less >= 0:
                room.free(less, gone_s)
            elif not instance.running:
                room.hold(-less)

    def asleep_of(self, instance: InstanceState) -> dict[str, int] | None:
        """What it would hold while asleep; None where it cannot sleep, or there is no room for that."""
        model = self.models.get(instance.model)
        if model is None or not model.can_sleep or instance.site is None or instance.phase is Phase.SLEEPING:
            return None
        stays, held = asleep_bytes(instance.site), sizes(instance.claims)
        for device, size_bytes in stays.items():
            room = self.rooms.get(device)
            more = size_bytes - held.get(device, 0)
            if room is None or (more > 0 and more > min(room.free_now, room.free_soon)):
                return None
        return stays

    def finished(self) -> Plan:
        wakes_at_s = None if self._wakes_s == NEVER else self._wakes_s
        return Plan(tuple(self.actions), tuple(self.waiting.values()), tuple(self.refused.values()), wakes_at_s)


def farewell(instance: InstanceState, cause: Cause, reason: str, sleeps: bool) -> Drain | Unload | Sleep:
    """What serves is drained, never killed."""
    if instance.running and instance.phase in (Phase.READY, Phase.DRAINING):
        then = Then.SLEEP if sleeps else Then.UNLOAD
        return Drain(instance.id, instance.model, then, cause, reason)
    if sleeps and instance.phase in (Phase.READY, Phase.DRAINING):
        return Sleep(instance.id, instance.model, cause, reason)
    return Unload(instance.id, instance.model, cause, reason)
