"""What must hold, whatever happens: looked at from outside, by what the machine and the callers know to be true."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint, Target
from ringfence.egress.permit import Permit
from ringfence.gateway.call import Call
from ringfence.gateway.lane import Asking, Lane
from ringfence.placement.instance import Placement
from ringfence.placement.lifecycle import State
from ringfence.placement.planning import Priority, Residency
from ringfence.placement.planning import State as Seen
from ringfence.routing.fair import Turn
from ringfence.simulation.machine import Machine
from ringfence.simulation.process import OUT_OF_MEMORY, SimulatedProcess
from ringfence.simulation.record import Record
from ringfence.simulation.server import Mood, Server
from ringfence.simulation.setting import Exclusive, Setting

GIB = 1 << 30
STALE_S = 1.0
"""Devices are read anew before something is loaded on them, unless they were read less than half a second ago."""


Promised = Callable[[str, dict[str, int]], int]
"""How much of a device tenants may still take by their leases, given what each holds."""

LARGE_BYTES = 10_000_000_000
SEEN_S = 32.0
"""An engine that hangs while it serves is ended by then: 30 s, and the time to do it."""
GIVEN_UP = (State.DRAINING, State.STOPPING)
"""Told to leave."""
SERVING = (State.READY, State.DRAINING)


@dataclass(slots=True)
class Reading:
    """What there really was to be seen when devices were last read."""

    at_s: float = float("-inf")
    others: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    """Bytes of each device that was there and well, by programs of others."""
    ours: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])
    """By process number."""


@dataclass(slots=True)
class Open:
    """A call under way, and how far it may travel in truth."""

    call: Call
    reach: Boundary
    at_s: float
    suspended_s: float


class Checks:
    """Told of everything before it happens. What does not hold is written down in the record."""

    def __init__(
        self, record: Record, machine: Machine, setting: Setting, drain_s: float, longest_s: float, dwell_s: float
    ) -> None:
        self.placement: Placement
        self.lanes: dict[str, Lane] = {}
        self.promised: Promised = lambda _device, _held: 0
        self.lost: Callable[[str], bool] = lambda _device: False
        """Whether a device is known to be out of service."""
        self.is_open: Callable[[str], bool] = lambda _model: True
        """Whether these are its hours."""
        self.mode: Exclusive | None = None
        """The mode that is on."""
        self.is_over = False
        """Everything is being stopped."""
        self.alive: dict[str, SimulatedProcess] = {}
        """By instance: at most one process each."""
        self.open: dict[str, Open] = {}
        self._record = record
        self._machine = machine
        self._setting = setting
        self._drain_s = drain_s
        self._longest_s = longest_s
        self._dwell_s = dwell_s
        self._ready: dict[str, float] = {}
        self._models = {model.name: model for model in setting.models}
        self._drained: dict[str, float] = {}
        self._told: set[str] = set()
        """Instances whose next start is of the reconciler's making, not a restart after a failure."""
        self._read = Reading()
        self._others_at_load: dict[str, int] = {}
        self.waits: deque[float] = deque(maxlen=100_000)

    # -- memory -------------------------------------------------------------------------------------------------------

    def read(self, devices: frozenset[str]) -> None:
        """The devices are being read: this is what a plan can know."""
        gpus = self._machine.gpus
        self._read = Reading(
            self._machine.now(),
            {device: gpus.of_others(device) for device in devices},
            {process.pid: dict(process.held) for process in self.alive.values()},
        )

    def began(self, process: SimulatedProcess) -> None:
        """A load or a wake needs its room, by all that could be known, on each of its devices."""
        before = self.alive.get(process.name)
        if before is not None and not before.is_ending:
            self._record.broken("one process an instance", f"{process.name} was started while {before.pid} is alive")
        self.alive[process.name] = process
        if process.name not in self._told:
            self._record.note("restart", process.name)
            return
        self._told.discard(process.name)
        self._has_room(process)
        self._may_be_there(process)

    def _may_be_there(self, process: SimulatedProcess) -> None:
        name, mode = process.name, self.mode
        if self._models[name].priority is not Priority.P0:
            if not self.is_open(name):
                self._record.broken("hours are kept", name)
            if mode is not None and name not in mode.members and not mode.devices.isdisjoint(process.planned):
                self._record.broken("a mode has its devices for itself", f"{name} on {list(process.planned)}")
        for other in self.alive.values():
            loads = other.is_told and not (other.listens or other.is_leaving or other.is_ending)
            is_given_up = self.placement.get(other.name).keeper.state in GIVEN_UP  # it is ended in the same moment
            if other is not process and loads and not is_given_up:
                both = {device for device in other.planned if device in process.planned}
                if any(min(other.planned[each], process.planned[each]) >= LARGE_BYTES for each in both):
                    self._record.broken("large loads go one after the other", f"{name} beside {other.name}")
        process.is_told = True

    def _has_room(self, process: SimulatedProcess) -> None:
        if self._machine.now() - self._read.at_s > STALE_S:
            age_s = self._machine.now() - self._read.at_s
            self._record.broken("devices are read before a load", f"{process.name}: {age_s:.1f} s before")
        for device, planned in process.planned.items():
            self._others_at_load[device] = sum(self._read.others.get(device, {}).values())
            free = self._free_bytes(device, process)
            if free is None:
                self._record.broken("nothing is put on what is out of service", f"{process.name} on {device}")
            elif planned - process.held.get(device, 0) > free:
                told = f"{process.name} needs {planned / GIB:.2f} GiB of {device}, and {free / GIB:.2f} GiB are free"
                self._record.broken("a load has its room", told)

    def _free_bytes(self, device: str, starting: SimulatedProcess) -> int | None:
        others = self._read.others.get(device)
        if others is None:
            return None
        ours = 0
        for process in self.alive.values():
            if process is not starting and not process.is_ending:
                seen = self._read.ours.get(process.pid, {}).get(device, 0)
                ours += seen if process.listens else max(seen, process.planned.get(device, 0))
        total = self._machine.gpus.said[device].total_bytes
        taken = ours + sum(others.values()) + self.promised(device, others)
        return total - self._setting.headroom_bytes - taken

    def died(self, process: SimulatedProcess, how: str) -> None:
        """No engine of ours runs out of memory by the doing of others of ours that take what they were said to."""
        if self.alive.get(process.name) is process:
            del self.alive[process.name]
        if how != OUT_OF_MEMORY:
            return
        for device in process.planned:
            here = [each for each in (*self.alive.values(), process) if device in each.planned]
            honest = all(each.real[device] <= each.planned[device] for each in here)
            others = sum(self._machine.gpus.of_others(device).values())
            grabbed = others > self._others_at_load.get(device, 0)
            if not honest or grabbed or device in self._gone():
                return
        self._record.broken("engines of ours do not push each other out", f"{process.name} on {list(process.planned)}")

    def _gone(self) -> set[str]:
        return set(self._machine.gpus.said) - {device.id for device in self._machine.gpus.peek()}

    # -- leaving ------------------------------------------------------------------------------------------------------

    def ready(self, name: str) -> None:
        """It serves from now on."""
        self._ready[name] = self._machine.now()

    def moved(self, what: str, name: str, cause: str) -> None:
        """The reconciler did something."""
        if cause == "turn" and name in self._ready and (process := self.alive.get(name)) and not process.is_asleep:
            stayed_s = self._machine.now() - self._ready[name]
            if stayed_s < self._dwell_s - 1.0:
                self._record.broken("what is loaded stays a while", f"{what} of {name} after {stayed_s:.1f} s")
        if what == "drain":
            self._drained[name] = self._machine.now()
        elif what == "load":
            self._drained.pop(name, None)
            self._told.add(name)
        elif what == "wake":
            self._drained.pop(name, None)
            if name in self.alive:
                self._has_room(self.alive[name])

    def ends(self, process: SimulatedProcess, grace_s: float) -> None:
        """A process is about to be ended; `grace_s` is 0 where it is taken for broken."""
        if self.is_over:
            return
        name = process.name
        if grace_s <= 0:
            if any(map(self.lost, process.planned)):
                self._record.note("ended with its device", name)
            elif process.listens and process.mood in (Mood.WELL, Mood.SLOW):
                self._record.broken("what is well is not killed", f"{name} {process.pid}")
            return
        if self._models[name].priority is Priority.P0 and process.mood in (Mood.WELL, Mood.SLOW):
            self._record.broken("P0 never leaves", f"{name} {process.pid}")
        drained_s = self._machine.now() - self._drained.get(name, float("inf"))
        if process.active and process.mood is not Mood.HUNG and drained_s < self._drain_s - 1.0:
            told = f"{name} {process.pid} with {len(process.active)} under way, drained for {max(0.0, drained_s):.1f} s"
            self._record.broken("what is used is drained, not stopped", told)

    # -- calls --------------------------------------------------------------------------------------------------------

    def asked(self, call: Call, reach: Boundary) -> None:
        self.open[call.id] = Open(call, reach, self._machine.now(), self._machine.suspended_s)

    def handed_over(self, call: Call, target: Target, endpoint: Endpoint, permit: Permit, server: Server) -> None:
        """Text is about to be written to whoever answers there."""
        reach = self.open[call.id].reach
        if server.at > reach:
            told = f"a call of {call.key.profile} that stops at {reach.name} reached {server.name}"
            self._record.broken("text stays within its boundary", told)
        if permit.allowed > reach or permit.reached != server.at or endpoint.boundary != server.at:
            self._record.broken("a permit says what is so", f"{call.key.profile}: {permit} at {server.name}")
        if isinstance(server, SimulatedProcess):
            if server.model != target.engine_model:
                self._record.broken("a call reaches the model it is for", f"{target.name} at {server.name}")
            if server.is_asleep or not self.placement.get(server.name).users.count:
                self._record.broken("who is asked is held", f"{server.name} asleep={server.is_asleep}")

    def let_in(self, target: Target, lane: Lane, asking: Asking, promote_s: float) -> None:
        """A call has its place at a target."""
        now_s = self._machine.now()

        def counts_as(one: Turn) -> int:
            return max(0, one.urgency - int((now_s - one.since_s) // promote_s))

        if any(counts_as(other) < counts_as(asking) for other in lane.waiting.values()):
            self._record.broken("nobody is let in before one of a higher class", f"{asking.urgency.name} {target.name}")
        if lane.running > lane.places:
            self._record.broken("no more at a time than there are places", f"{lane.running} at {target.name}")

    def waited(self, target: Target, seconds: float, at_most_s: float) -> None:
        """A caller had, or gave up, the wait for an instance."""
        if seconds > at_most_s + 0.1:
            told = f"{target.name}: {seconds:.1f} s instead of {at_most_s:g} s"
            self._record.broken("nobody waits longer than he is to", told)

    def answered(self, call: Call, outcome: str) -> None:
        """It has ended one way or the other."""
        opened = self.open.pop(call.id)
        self._record.note(f"call {outcome}", f"{call.id} {call.key.profile} {call.model}")
        took_s = self._took_s(opened)
        self.waits.append(took_s)
        if took_s > self._longest_s:
            self._record.broken("every call ends in its time", f"{call.id} {call.model} took {took_s:.0f} s")

    def _took_s(self, opened: Open) -> float:
        return self._machine.now() - opened.at_s - (self._machine.suspended_s - opened.suspended_s)

    # -- now and then -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """No call waits for longer than it may, and no engine hangs for longer than it takes to see that."""
        for opened in self.open.values():  # oldest first
            if self._took_s(opened) > self._longest_s:
                self._record.broken("every call ends in its time", f"{opened.call.id} {opened.call.model}")
            break
        running = sum(lane.running for lane in self.lanes.values())
        if running > len(self.open):
            self._record.broken("every place is given back", f"{running} are held, by {len(self.open)} calls")
        for name, lane in self.lanes.items():
            first = lane.queue.first(self._machine.now())
            if isinstance(first, Asking) and lane.has_room(first.tokens):
                self._record.broken("who can be let in does not wait", f"{first.urgency.name} {name}")
        for name, process in self.alive.items():
            serves = process.mood is Mood.HUNG and self.placement.get(name).keeper.state in SERVING
            if serves and self._machine.now() - max(process.since_s, self._machine.resumed_s) > SEEN_S:
                self._record.broken("what hangs is seen within 30 s", f"{name} {process.pid}")

    def quiet(self, seen: Seen) -> None:
        """Nobody asks and nothing goes wrong any more: what is counted, and `seen` by the reconciler, is what is so."""
        for opened in self.open.values():
            self._record.broken("every call is answered or refused", f"{opened.call.id} {opened.call.model}")
        for name, lane in self.lanes.items():
            if lane.running or lane.used or lane.waiting or lane.yielding:
                self._record.broken("every place is given back", f"{lane.running} at {name}, {len(lane.waiting)} wait")
        for status in self.placement.status():
            if status.in_use:
                self._record.broken("every lease is given back", f"{status.name} has {status.in_use} users")
            process = self.alive.get(status.name)
            has_failed = status.state == "failed" and process is None
            if status.is_ours and status.state != _state(process) and not has_failed:
                told = f"{status.name} is {status.state}, and its process {_state(process)}"
                self._record.broken("the book is what is so", told)
        self._is_seen(seen)
        for device in self._machine.gpus.said:
            held = {name for name, (_size, ours) in self._machine.gpus.held(device).items() if ours}
            if held - set(self.alive):
                self._record.broken("the book is what is so", f"{device} is held by {sorted(held - set(self.alive))}")

    def _is_seen(self, seen: Seen) -> None:
        claims = {each.id: {claim.device: claim.claimed_bytes for claim in each.claims} for each in seen.instances}
        for name, process in self.alive.items():
            for device, held in process.held.items():
                if held > claims.get(name, {}).get(device, 0):
                    self._record.broken("the book is what is so", f"{name} holds {held} of {device}: {claims}")
        for lease in seen.leases:
            self._record.broken("the book is what is so", f"{lease.id} of {lease.tenant}, which is gone")
        for model in self._setting.models:
            process = self.alive.get(model.name)
            if model.residency is Residency.ALWAYS and (process is None or not process.listens):
                self._record.broken("what is to be loaded always is", model.name)


def _state(process: SimulatedProcess | None) -> str:
    """As its supervisor should have it, once nothing happens any more."""
    if process is None:
        return "stopped"
    return "sleeping" if process.is_asleep else "ready" if process.listens else "starting"
