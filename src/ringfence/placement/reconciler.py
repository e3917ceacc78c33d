"""The single writer of what is loaded: sees, plans, acts, and begins again.

`cycle` waits for nothing, so that "nobody uses it" and "it is closed" are one step for every caller on the loop. What
takes time (a load, a stop) goes on beside it, and is seen in later cycles.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ringfence.core.ports import Clock, Emit
from ringfence.placement.demand import Demands
from ringfence.placement.devices import SILENT
from ringfence.placement.events import Moved
from ringfence.placement.instance import Instance, Outlook, Placement
from ringfence.placement.launch import Launch, NotLaunched
from ringfence.placement.lifecycle import State
from ringfence.placement.planning import (
    Action,
    Cause,
    Claim,
    DeviceState,
    Drain,
    Grant,
    InstanceState,
    Load,
    Mode,
    Model,
    Phase,
    Plan,
    Planner,
    Policy,
    Recall,
    Rest,
    Site,
    Sleep,
    Slot,
    TenantLease,
    Then,
    Unload,
    Wake,
    rest_after,
)  # fmt: skip
from ringfence.placement.planning import State as Planned
from ringfence.placement.supervisor import Supervisor

DRAIN_S = 600.0
"""A drain that lasts longer is ended, streams and all."""
OTHERWISE = "it is to be set up otherwise"
log = logging.getLogger("ringfence.placement")

PHASES = {
    State.STARTING: Phase.STARTING,
    State.BACKING_OFF: Phase.STARTING,
    State.READY: Phase.READY,
    State.DRAINING: Phase.DRAINING,
    State.SLEEPING: Phase.SLEEPING,
    State.FAILED: Phase.FAILED,
}


class Wanted(Protocol):
    """What the owner wants, as things are now; all of it may be another thing at the next look."""

    def models(self) -> tuple[Model, ...]:
        """By the names of their instances."""
        ...

    def slots(self) -> tuple[Slot, ...]: ...

    def devices(self) -> Iterable[DeviceState]:
        """As last read, with the owner's rules. Whatever engines of ours hold is not among what others use."""
        ...

    def mode(self) -> Mode | None: ...

    def held(self, instance: str) -> dict[str, int]:
        """Bytes of each device that it was last seen to hold."""
        ...

    def known_bytes(self, model: str, device: str) -> int | None:
        """What it was seen to take there at most, since it was first loaded; None before that."""
        ...

    def setup(self, model: str) -> object:
        """What an instance is started with. Where it is another than before, the instance has to be started anew."""
        ...

    def launch(self, model: str, site: Site) -> Launch:
        """How it is started there."""
        ...


class Tenants(Protocol):
    """The book of what other programs asked for."""

    def leases(self) -> tuple[TenantLease, ...]: ...

    def granted(self, lease_id: str, reason: str = "") -> object: ...

    def recalled(self, lease_id: str, reason: str = "") -> object: ...


class Locks(Protocol):
    """Large loads wait for each other, and for those of other programs."""

    def begin(self, load: str, devices: Iterable[str]) -> bool:
        """False where it has to wait."""
        ...

    def end(self, load: str) -> None:
        """It is over; nothing where it had not begun."""
        ...


@dataclass(slots=True)
class Seat:
    """One instance in its place: since when it is in its phase, where, and what a drain is for."""

    site: Site
    setup: object
    phase: Phase = Phase.STARTING
    since_s: float = 0.0
    then: Then = Then.UNLOAD
    is_loaded: bool = False
    """It was ready since it was started or woken: it holds what it is going to."""
    known: dict[str, int] = field(default_factory=dict[str, int])
    """By device, what it is known to take as it was set up."""
    is_lost: bool = False
    """Its device is; it may come elsewhere at once."""
    leaving: asyncio.Task[None] | None = None
    """It is being stopped."""
    dozing: asyncio.Task[None] | None = None
    """It is falling asleep."""


class Reconciler:
    """`last` is the last plan. Instances are those of `placement` that were added to be planned."""

    def __init__(
        self, placement: Placement, wanted: Wanted, tenants: Tenants, clock: Clock, emit: Emit,
        policy: Policy | None = None, drain_s: float = DRAIN_S,
    ) -> None:  # fmt: skip
        self.placement = placement
        self.demands: Demands = placement.demands
        self.last = Plan()
        self.drain_s = drain_s
        self.locks: Locks | None = None
        self._wanted = wanted
        self._tenants = tenants
        self._clock = clock
        self._emit = emit
        self._planner = Planner(policy or Policy())
        self._seats: dict[str, Seat] = {}
        self._rests: dict[str, Rest] = {}
        self._outdated: set[str] = set()

    @property
    def policy(self) -> Policy:
        return self._planner.policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        if policy != self._planner.policy:
            self._planner = Planner(policy)

    # -- one cycle ------------------------------------------------------------------------------------------------

    def cycle(self) -> Plan:
        """See, plan, act. Whoever waits is told what to expect."""
        now_s = self._clock()
        models = self._wanted.models()
        state = self._state(models, now_s)
        made = self.last = self._planner.plan(state, now_s)
        for action in made.actions:
            self._act(action, now_s)
        self._end_long_drains(now_s)
        self._tell(made)
        return made

    def dry(self) -> tuple[Planned, Plan]:
        """What is seen, and what would be done now; nothing is."""
        now_s = self._clock()
        state = self._state(self._wanted.models(), now_s)
        return state, Planner(self.policy).plan(state, now_s)

    def wakes_at_s(self) -> float | None:
        """When time alone changes something."""
        ends = [seat.since_s + self.drain_s for seat in self._seats.values() if seat.phase is Phase.DRAINING]
        times = [at_s for at_s in (self.last.wakes_at_s, self.demands.fades_s(), *ends) if at_s is not None]
        return min(times, default=None)

    def site_of(self, instance: str) -> Site | None:
        """Where it is, or was told to be; None for one that is not loaded."""
        seat = self._seats.get(instance)
        return seat.site if seat is not None else None

    def is_outdated(self, instance: str) -> bool:
        """Whether it is set up otherwise than it would be now."""
        return instance in self._outdated

    def forgive(self, instance: str) -> None:
        """Whatever went wrong with it before, it is to be tried now: it is wanted otherwise than it was."""
        self._rests.pop(instance, None)
        self.placement.get(instance).failed = ""

    # -- see --------------------------------------------------------------------------------------------------------

    def _state(self, models: tuple[Model, ...], now_s: float) -> Planned:
        self._rests = {name: rest for name, rest in self._rests.items() if rest.until_s > now_s}
        for name in [name for name in self._seats if not self.placement.has(name)]:
            self._vacate(name)
        instances = tuple(
            each for each in (self._seen(one, now_s) for one in self.placement.planned()) if each is not None
        )
        self._outdated = {name for name, seat in self._seats.items() if seat.setup != self._wanted.setup(name)}
        demands = self.demands.all()
        if self._outdated:  # they leave first; until then nobody is to ask the planner for them
            models = tuple(model for model in models if model.name not in self._outdated)
            demands = tuple(demand for demand in demands if demand.model not in self._outdated)
        return Planned(
            tuple(self._wanted.devices()), models, instances, demands, self._tenants.leases(),
            self._wanted.slots(), tuple(self._rests.values()), self._wanted.mode(),
        )  # fmt: skip

    def _seen(self, instance: Instance, now_s: float) -> InstanceState | None:
        """None for one that holds nothing."""
        keeper = instance.keeper
        assert isinstance(keeper, Supervisor)
        seat = self._seats.get(keeper.name)
        if seat is None:
            return None
        if seat.leaving is not None and seat.leaving.done():
            seat.leaving = None
        if seat.dozing is not None and seat.dozing.done():
            seat.dozing = None
        if keeper.state is State.STOPPED and seat.leaving is None:
            self._vacate(keeper.name)
            return None
        is_moving = seat.leaving is not None or seat.dozing is not None
        phase = Phase.STOPPING if is_moving else PHASES.get(keeper.state, Phase.STOPPING)
        if phase is not seat.phase:
            seat.phase, seat.since_s = phase, now_s
            if phase is Phase.STARTING:
                seat.is_loaded = False
            elif phase is Phase.READY:
                seat.is_loaded = True
                self.demands.met(keeper.name)
        if phase is not Phase.STARTING and self.locks is not None:
            self.locks.end(keeper.name)
        users = instance.users
        return InstanceState(
            keeper.name, keeper.name, phase, self._claims(keeper.name, seat), seat.since_s, users.count,
            users.idle_since_s, seat.then, seat.site,
        )  # fmt: skip

    def _vacate(self, name: str) -> None:
        """It holds nothing any more."""
        self._seats.pop(name, None)
        if self.locks is not None:
            self.locks.end(name)

    def _claims(self, name: str, seat: Seat) -> tuple[Claim, ...]:
        """What it is reckoned to hold: the more of what it holds and, until it was ready, what was planned, then what
        it is known to take. Of one that was set up otherwise that is what was known before."""
        held = self._wanted.held(name)
        if seat.phase is Phase.SLEEPING:
            return tuple(Claim(device, size_bytes) for device, size_bytes in held.items())
        claims: list[Claim] = []
        is_as_wanted = seat.setup == self._wanted.setup(name)
        for share in seat.site.shares:
            if seat.is_loaded and is_as_wanted:
                known = self._wanted.known_bytes(name, share.device)
                seat.known[share.device] = share.most_bytes if known is None else known
            expected = seat.known.get(share.device, share.most_bytes) if seat.is_loaded else share.most_bytes
            claims.append(Claim(share.device, max(held.get(share.device, 0), expected)))
        return tuple(claims)

    # -- act --------------------------------------------------------------------------------------------------------

    def _act(self, action: Action, now_s: float) -> None:
        if isinstance(action, Grant):
            self._tenants.granted(action.lease, action.reason)
        elif isinstance(action, Recall):
            self._tenants.recalled(action.lease, action.reason)
        elif isinstance(action, Load):
            if not self._load(action, now_s):
                return
        else:
            if isinstance(action, Wake) and self.placement.get(action.instance).keeper.state is not State.SLEEPING:
                # The same plan put it to sleep: that has to be over first.
                action = Sleep(action.instance, action.model, Cause.DRAINED, "nobody uses it any more")
            try:
                self._change(action, now_s)
            except Exception:  # what is wrong with one must not keep the others where they are
                log.exception("%s could not be moved", action.instance)
                return
        subject, cause = _subject(action), _cause(action)
        # The planner is not told of models that are to be set up otherwise: to it nobody wants them.
        reason = OTHERWISE if cause == Cause.REMOVED.value and subject in self._outdated else action.reason
        self._emit(Moved(type(action).__name__.lower(), subject, reason, cause))

    def _load(self, action: Load, now_s: float) -> bool:
        large = [share.device for share in action.site.shares if share.most_bytes >= self.policy.large_bytes]
        if large and self.locks is not None and not self.locks.begin(action.model, large):
            return False  # another program was faster
        instance = self.placement.get(action.model)
        keeper = instance.keeper
        assert isinstance(keeper, Supervisor)
        try:
            keeper.launch = self._wanted.launch(action.model, action.site)
            self._seats[action.model] = Seat(action.site, self._wanted.setup(action.model), since_s=now_s)
            keeper.start()
        except Exception as error:  # its file may be gone, or be anything; the others are to be loaded all the same
            self._not_begun(instance, error, now_s)
            return False
        instance.failed = ""
        return True

    def _not_begun(self, instance: Instance, error: Exception, now_s: float) -> None:
        """It is tried again, but not at once; whoever waits for it is told."""
        name = instance.keeper.name
        self._vacate(name)
        reason = str(error) if isinstance(error, NotLaunched) else f"its start met {type(error).__name__}"
        log.error("%s cannot be loaded: %s", name, reason)
        self._rests[name] = Rest(name, now_s + self.policy.return_s, "it failed")
        instance.failed = reason
        instance.look()

    def _change(self, action: Drain | Unload | Sleep | Wake, now_s: float) -> None:
        instance, seat = self.placement.get(action.instance), self._seats[action.instance]
        keeper = instance.keeper
        assert isinstance(keeper, Supervisor)
        rest = rest_after(action, now_s, self.policy)
        if rest is not None and not seat.is_lost:
            self._rests[action.instance] = rest
        if isinstance(action, Wake):
            keeper.wake()
            seat.phase, seat.since_s, seat.is_loaded = Phase.STARTING, now_s, False
            return
        if keeper.state is State.READY:
            self.demands.left(action.instance)
        if action.cause is Cause.DEVICE and SILENT not in action.reason and keeper.state is not State.FAILED:
            seat.is_lost = True
            keeper.fail(action.reason)
        elif keeper.state is not State.FAILED and (isinstance(action, Drain) or instance.users.count):
            seat.then = action.then if isinstance(action, Drain) else Then.UNLOAD
            seat.phase, seat.since_s = Phase.DRAINING, now_s
            keeper.drain()
        elif isinstance(action, Sleep):
            keeper.drain()
            seat.phase, seat.since_s, seat.then = Phase.STOPPING, now_s, Then.SLEEP
            seat.dozing = self._beside(keeper.sleep(), action.instance)
        else:
            if keeper.state is State.FAILED and not seat.is_lost:
                instance.failed = keeper.reason
            self._stop(instance, seat, now_s)

    def _stop(self, instance: Instance, seat: Seat, now_s: float) -> None:
        keeper = instance.keeper
        assert isinstance(keeper, Supervisor)
        if keeper.state is not State.FAILED:
            keeper.drain()
        seat.phase, seat.since_s, seat.then = Phase.STOPPING, now_s, Then.UNLOAD
        seat.leaving = self._beside(keeper.stop(), keeper.name)

    def _beside(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[None]:
        async def go() -> None:
            try:
                await work
            except Exception:
                log.exception("%s could not be moved", name)
            finally:
                self.demands.nudge()

        return asyncio.get_running_loop().create_task(go(), name=f"move {name}")

    def _end_long_drains(self, now_s: float) -> None:
        for name, seat in self._seats.items():
            if seat.phase is Phase.DRAINING and now_s >= seat.since_s + self.drain_s and seat.leaving is None:
                instance = self.placement.get(name)
                log.warning("%s was drained for %.0f s and is stopped, %d still use it", name, self.drain_s,
                            instance.users.count)  # fmt: skip
                self._stop(instance, seat, now_s)

    # -- tell -------------------------------------------------------------------------------------------------------

    def _tell(self, made: Plan) -> None:
        outlooks = {one.name: Outlook(one.reason, one.expected_s) for one in made.waiting}
        outlooks |= {one.name: Outlook(one.reason, None) for one in made.refused}
        anew_s = self._clock() + self.policy.drain_s
        outlooks |= {name: Outlook(OTHERWISE, anew_s) for name in self._outdated}
        for instance in self.placement.planned():
            instance.expect(outlooks.get(instance.keeper.name))
            is_awaited = bool(outlooks) or instance.keeper.state is State.DRAINING
            instance.users.on_idle = self.demands.nudge if is_awaited else None


def _subject(action: Action) -> str:
    return action.lease if isinstance(action, Grant | Recall) else action.model


def _cause(action: Action) -> str:
    return action.cause.value if isinstance(action, Drain | Unload | Sleep) else ""
