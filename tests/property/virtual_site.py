"""Devices, engines, callers, tenants and intruders under a virtual clock and one seed, and what must hold of each plan.

The checks know the site's own truth and none of the planner's figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from ringfence.core.device import Device, DeviceKind
from ringfence.placement.planning import (
    Action,
    Cause,
    Claim,
    Demand,
    DeviceState,
    Drain,
    Grant,
    InstanceState,
    LeasePhase,
    Load,
    Mode,
    Model,
    Phase,
    Plan,
    Planner,
    Policy,
    Priority,
    Recall,
    Residency,
    Rest,
    Share,
    Site,
    Sleep,
    Slot,
    State,
    TenantLease,
    Then,
    Unload,
    Wake,
    Window,
    plan,
    planner,
    rest_after,
)  # fmt: skip

GIB = 1 << 30
LONGEST_S = 20.0
AT_ONCE = 4


class Broken(AssertionError):
    """Something that must hold did not."""


@dataclass(slots=True)
class Engine:
    """One instance, and what only the site knows of it."""

    state: InstanceState
    changes_s: float = float("inf")
    finishes: list[float] = field(default_factory=list[float])


@dataclass(slots=True)
class Tenant:
    lease: TenantLease
    yields_s: float = float("inf")


@dataclass(slots=True)
class Counts:
    loads: int = 0
    served: int = 0
    plans: int = 0
    longest_wait_s: float = 0.0


class VirtualSite:
    """Advance, disturb, and `reconcile`; every plan is checked before and after it is carried out."""

    def __init__(self, devices: list[DeviceState], models: list[Model], slots: tuple[Slot, ...] = (),
                 seed: int = 0, policy: Policy = planner.DEFAULT_POLICY) -> None:  # fmt: skip
        self.chance = Random(seed)
        self.policy = policy
        self.now_s = 1000.0
        self.devices = {each.device.id: each for each in devices}
        self.intruders = dict.fromkeys(self.devices, 0)
        self.models = {model.name: model for model in models}
        self.slots = slots
        self.engines: dict[str, Engine] = {}
        self.tenants: dict[str, Tenant] = {}
        self.queues: dict[str, list[float]] = {name: [] for name in self.models}
        self.left_s: dict[str, float] = {}
        self.rests: dict[str, Rest] = {}
        self.mode: Mode | None = None
        self.failing = 0.0
        self.lying = 0.1
        self.counts = Counts()
        self.incremental = Planner(policy)
        self._named = 0

    # -- what happens ------------------------------------------------------------------------------------------------

    def ask(self, model: str, requests: int = 1) -> None:
        self.queues[model] += [self.now_s] * requests

    def intrude(self, device: str, held_bytes: int) -> None:
        """An unknown program holds so much from now on, as far as there is physically anything."""
        ours = self._ours_bytes(device)
        self.intruders[device] = max(0, min(held_bytes, self.devices[device].device.total_bytes - ours))

    def ask_lease(self, device: str, leased_bytes: int, priority: int, lasts_s: float, tenant: str = "images") -> None:
        name = self._name("lease")
        self.tenants[name] = Tenant(
            TenantLease(
                name, tenant, device, leased_bytes, priority, LeasePhase.ASKED, self.now_s, self.now_s + lasts_s
            )
        )

    def fail(self, index: int) -> None:
        """An engine dies; those whom it served have to be asked again."""
        living = [each for each in self.engines.values() if each.state.phase in (Phase.READY, Phase.STARTING)]
        if living:
            engine = living[index % len(living)]
            engine.finishes.clear()
            engine.state = replace(engine.state, phase=Phase.FAILED, running=0, since_s=self.now_s)

    def change_device(self, device: str, **changes: object) -> None:
        self.devices[device] = replace(self.devices[device], **changes)  # type: ignore[arg-type]

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        for name, engine in list(self.engines.items()):
            self._advance_engine(name, engine)
        for name, tenant in list(self.tenants.items()):
            lease = tenant.lease
            if lease.until_s <= self.now_s or tenant.yields_s <= self.now_s:
                del self.tenants[name]
            elif lease.phase is not LeasePhase.ASKED:
                tenant.lease = replace(lease, used_bytes=min(lease.leased_bytes, lease.used_bytes + 2 * GIB))
        self.rests = {name: rest for name, rest in self.rests.items() if rest.until_s > self.now_s}
        for name, model in self.models.items():
            if model.window.changes_s is not None and model.window.changes_s <= self.now_s:
                self.models[name] = replace(model, window=Window())
        self._serve()

    def _advance_engine(self, name: str, engine: Engine) -> None:
        state = engine.state
        engine.finishes = [at for at in engine.finishes if at > self.now_s]
        if len(engine.finishes) != state.running:
            state = replace(state, running=len(engine.finishes), last_used_s=self.now_s)
        if state.phase is Phase.STARTING and engine.changes_s <= self.now_s:
            broke = self.chance.random() < self.failing
            if self.chance.random() < self.lying:
                state = self._as_observed(state)
            state = replace(state, phase=Phase.FAILED if broke else Phase.READY, since_s=self.now_s)
        elif state.phase is Phase.STOPPING and engine.changes_s <= self.now_s:
            del self.engines[name]
            return
        elif state.phase is Phase.SLEEPING and engine.changes_s <= self.now_s and state.site is not None:
            state = replace(state, claims=state.site.asleep)
        engine.state = state

    def _as_observed(self, state: InstanceState) -> InstanceState:
        """It takes less than was planned, or more, as far as there is any."""
        factor = self.chance.choice((0.6, 0.9, 1.1, 1.5))
        claims: list[Claim] = []
        for claim in state.claims:
            taken = self._ours_bytes(claim.device) + self._others_bytes(claim.device)
            free = max(0, self.devices[claim.device].device.total_bytes - taken)
            claims.append(
                replace(claim, claimed_bytes=min(int(claim.claimed_bytes * factor), claim.claimed_bytes + free))
            )
        return replace(state, claims=tuple(claims))

    def _serve(self) -> None:
        for engine in self.engines.values():
            queue = self.queues.get(engine.state.model)
            if engine.state.phase is not Phase.READY or not queue:
                continue
            while queue and len(engine.finishes) < AT_ONCE:
                self.counts.longest_wait_s = max(self.counts.longest_wait_s, self.now_s - queue.pop(0))
                self.counts.served += 1
                engine.finishes.append(self.now_s + self.chance.uniform(0.5, LONGEST_S))
            engine.state = replace(engine.state, running=len(engine.finishes), last_used_s=self.now_s)

    # -- what the planner is told ------------------------------------------------------------------------------------

    def state(self) -> State:
        return State(
            devices=tuple(self._read(each) for each in self.devices.values()),
            models=tuple(self.models.values()),
            instances=tuple(engine.state for engine in self.engines.values()),
            demands=tuple(
                Demand(name, len(queue), queue[0], left_s=self.left_s.get(name, float("-inf")))
                for name, queue in self.queues.items()
                if queue
            ),
            leases=tuple(tenant.lease for tenant in self.tenants.values()),
            slots=self.slots,
            rests=tuple(self.rests.values()),
            mode=self.mode,
        )

    def _read(self, device: DeviceState) -> DeviceState:
        name = device.device.id
        others = self._others_bytes(name)
        free = max(0, device.device.total_bytes - others - self._ours_bytes(name))
        return replace(device, device=replace(device.device, used_by_others_bytes=others, available_bytes=free))

    def _others_bytes(self, device: str) -> int:
        tenants = sum(each.lease.used_bytes for each in self.tenants.values() if each.lease.device == device)
        return self.intruders[device] + tenants

    def _ours_bytes(self, device: str) -> int:
        """What engines hold, or will while they start or fall asleep."""
        total = 0
        for engine in self.engines.values():
            held = _claimed(engine.state.claims, device)
            if engine.state.phase is Phase.SLEEPING and engine.state.site is not None:
                held = max(held, _claimed(engine.state.site.asleep, device))
            total += held
        return total

    def _promised_bytes(self, device: str) -> int:
        return sum(
            max(0, each.lease.leased_bytes - each.lease.used_bytes)
            for each in self.tenants.values()
            if each.lease.device == device and each.lease.phase is not LeasePhase.ASKED
        )

    # -- plans, and what must hold of them ---------------------------------------------------------------------------

    def reconcile(self) -> Plan:
        state = self.state()
        made = plan(state, self.now_s, self.policy)
        self.counts.plans += 1
        self._check_same(made, self.incremental.plan(state, self.now_s))
        self._check_answers(made)
        self._check_leaving(made)
        for action in made.actions:
            self._check_action(action)
            self._carry_out(action)
        self._check_nothing_more()
        return made

    def _check_same(self, made: Plan, again: Plan) -> None:
        if sorted(map(repr, made.actions)) != sorted(map(repr, again.actions)):
            raise Broken(f"planned by regions it is another plan: {made.actions} and {again.actions}")
        if sorted(map(repr, made.waiting)) != sorted(map(repr, again.waiting)):
            raise Broken(f"planned by regions others wait, or otherwise: {made.waiting} and {again.waiting}")
        if sorted(map(repr, made.refused)) != sorted(map(repr, again.refused)):
            raise Broken("planned by regions others are refused")

    def _check_answers(self, made: Plan) -> None:
        told = {each.name for each in (*made.waiting, *made.refused)}
        going = {each.instance for each in made.actions if isinstance(each, Drain | Unload | Sleep)}
        for name, queue in self.queues.items():
            ready = any(
                each.state.phase is Phase.READY and each.state.id not in going
                for each in self.engines.values()
                if each.state.model == name
            )
            if queue and not ready and name not in told:
                raise Broken(f"callers of {name} are told nothing")
        for each in made.waiting:
            if not each.reason or not self.now_s - 10_000 < each.expected_s < self.now_s + 1_000_000:
                raise Broken(f"no estimate for {each}")
        for each in made.refused:
            if not each.reason:
                raise Broken(f"refused without a reason: {each}")

    def _check_leaving(self, made: Plan) -> None:
        leaves = [each for each in made.actions if isinstance(each, Drain | Unload | Sleep)]
        going = {each.instance for each in leaves}
        for action in leaves:
            state, model = self.engines[action.instance].state, self.models.get(action.model)
            if model is None or state.phase in (Phase.FAILED, Phase.DRAINING):
                continue
            if model.priority is Priority.P0:
                raise Broken(f"P0 is to leave: {action}")
            if action.cause is Cause.PRESSURE and state.phase is not Phase.SLEEPING:
                self._check_lowest(state, model, going)
            if action.cause is Cause.TURN and state.phase is Phase.READY:
                dwelt_s = self.now_s - state.since_s
                if dwelt_s < max(self.policy.dwell_s, self.policy.dwell_loads * model.load_s):
                    raise Broken(f"{action} after {dwelt_s} s")

    def _check_lowest(self, state: InstanceState, model: Model, going: set[str]) -> None:
        devices = {claim.device for claim in state.claims if self._is_short(claim.device)}
        for engine in self.engines.values():
            other, lower = engine.state, self.models.get(engine.state.model)
            if lower is None or other.id in going or other.phase not in (Phase.READY, Phase.STARTING):
                continue
            members = self.mode.members if self.mode is not None else frozenset[str]()
            if lower.name in members or model.name in members or lower.priority is Priority.P0:
                continue
            on_all = all(
                any(claim.device == device and claim.claimed_bytes for claim in other.claims) for device in devices
            )
            if devices and on_all and lower.priority > model.priority:
                raise Broken(f"{model.name} leaves, and {lower.name} stays")

    def _is_short(self, device: str) -> bool:
        each = self.devices[device]
        taken = self._ours_bytes(device) + self._others_bytes(device) + self._promised_bytes(device)
        return taken + each.threshold_bytes > each.device.total_bytes

    def _check_action(self, action: Action) -> None:
        if isinstance(action, Unload | Sleep) and self.engines[action.instance].state.running:
            raise Broken(f"callers are cut off: {action}")
        if isinstance(action, Load):
            self._check_room({share.device: share.likely_bytes + share.error_bytes for share in action.site.shares})
            if any(each.state.model == action.model for each in self.engines.values()):
                raise Broken(f"{action.model} is here already")
        elif isinstance(action, Wake):
            state = self.engines[action.instance].state
            assert state.site is not None
            held = {claim.device: claim.claimed_bytes for claim in state.claims}
            self._check_room(
                {each.device: max(0, each.most_bytes - held.get(each.device, 0)) for each in state.site.shares}
            )
        elif isinstance(action, Grant):
            lease = self.tenants[action.lease].lease
            self._check_room({lease.device: lease.leased_bytes - lease.used_bytes}, is_load=False)

    def _check_room(self, needs: dict[str, int], is_load: bool = True) -> None:
        for device, need in needs.items():
            each = self.devices[device]
            taken = self._ours_bytes(device) + self._others_bytes(device) + self._promised_bytes(device)
            if taken + need + each.headroom_bytes > each.device.total_bytes:
                raise Broken(f"{device} overflows: {taken / GIB:.2f} + {need / GIB:.2f} GiB")
            if each.out_of_service:
                raise Broken(f"{device} is out of service")
            loading = [
                other
                for other in self.engines.values()
                if other.state.phase is Phase.STARTING
                and _claimed(other.state.claims, device) >= self.policy.large_bytes
            ]
            if is_load and need >= self.policy.large_bytes and loading:
                raise Broken(f"two large loads at once on {device}")

    def _check_nothing_more(self) -> None:
        """The same plan is not made twice, and time changes nothing before it said so."""
        state = self.state()
        after = plan(state, self.now_s, self.policy)
        if after.actions:
            raise Broken(f"after its own actions: {after.actions}")
        until_s = after.wakes_at_s if after.wakes_at_s is not None else self.now_s + 5_000
        if until_s <= self.now_s:
            raise Broken(f"it wants to be asked again in the past: {until_s}")
        for at_s in (self.chance.uniform(self.now_s, until_s), until_s - 1e-6 * max(1.0, until_s - self.now_s)):
            later = plan(state, max(at_s, self.now_s), self.policy)
            if later.actions or {each.name for each in later.refused} != {each.name for each in after.refused}:
                raise Broken(f"at {at_s}, before {until_s}, unasked: {later} and {after}")

    def _carry_out(self, action: Action) -> None:
        rest = rest_after(action, self.now_s, self.policy)
        if rest is not None:
            self.rests[rest.model] = rest
        if isinstance(action, Load):
            self._start(action.model, action.site)
        elif isinstance(action, Grant | Recall):
            tenant = self.tenants[action.lease]
            phase = LeasePhase.HELD if isinstance(action, Grant) else LeasePhase.RECALLED
            tenant.lease = replace(tenant.lease, phase=phase, since_s=self.now_s)
            if isinstance(action, Recall):
                tenant.yields_s = self.now_s + self.chance.choice((1.0, 10.0, 100.0))
        else:
            self._change(self.engines[action.instance], action)

    def _change(self, engine: Engine, action: Drain | Unload | Sleep | Wake) -> None:
        state = engine.state
        if state.phase is Phase.READY:
            self.left_s[state.model] = self.now_s
        if isinstance(action, Drain):
            state = replace(state, phase=Phase.DRAINING, since_s=self.now_s, then=action.then)
        elif isinstance(action, Unload):
            state = replace(state, phase=Phase.STOPPING, since_s=self.now_s, then=Then.UNLOAD)
            engine.changes_s = self.now_s + self.chance.uniform(0.1, 8.0)
        elif isinstance(action, Sleep):
            state = replace(state, phase=Phase.SLEEPING, since_s=self.now_s)
            engine.changes_s = self.now_s + 2.0
        else:
            assert state.site is not None
            self.counts.loads += 1
            state = replace(state, phase=Phase.STARTING, since_s=self.now_s, claims=_planned(state.site))
            engine.changes_s = self.now_s + self.models[state.model].wake_s
        engine.state = state

    def _start(self, model: str, site: Site) -> None:
        self.counts.loads += 1
        name = self._name(model)
        engine = Engine(InstanceState(name, model, Phase.STARTING, _planned(site), self.now_s, site=site))
        engine.changes_s = self.now_s + self.models[model].load_s * self.chance.uniform(0.5, 1.0)
        self.engines[name] = engine

    def _name(self, what: str) -> str:
        self._named += 1
        return f"{what}-{self._named}"


def _claimed(claims: tuple[Claim, ...], device: str) -> int:
    return sum(claim.claimed_bytes for claim in claims if claim.device == device)


def _planned(site: Site) -> tuple[Claim, ...]:
    return tuple(Claim(share.device, share.most_bytes) for share in site.shares)


def gpu(name: str, total_gib: float, headroom_gib: float = 1.0, order: tuple[str, ...] = ()) -> DeviceState:
    total = int(total_gib * GIB)
    kind = DeviceKind.RAM if name.startswith("ram") else DeviceKind.GPU
    device = Device(name, kind, name, total, total, 0)
    return DeviceState(device, int(headroom_gib * GIB), int(headroom_gib * GIB / 2), order)


def site(*shares: tuple[str, float], error_gib: float = 0.0, asleep: tuple[tuple[str, float], ...] = ()) -> Site:
    return Site(
        tuple(Share(device, int(size * GIB), int(error_gib * GIB)) for device, size in shares),
        tuple(Claim(device, int(size * GIB)) for device, size in asleep),
    )


def made_site(seed: int, policy: Policy = planner.DEFAULT_POLICY) -> VirtualSite:
    """Two to four devices and five to twelve models of every kind; with an odd seed none of them can sleep."""
    chance = Random(seed)
    order = ("P0", "images", "P1", "P2", "P3")
    devices = [
        gpu(f"gpu{n}", chance.choice((16, 24, 32, 48)), order=chance.choice(((), order)))
        for n in range(chance.randint(1, 3))
    ]
    devices.append(gpu("ram", 64, 4.0))
    gpus = [each.device.id for each in devices[:-1]]
    models = [
        Model("first", Residency.ALWAYS, Priority.P0, (site((gpus[0], 5.0)),), load_s=8),
        Model("slot-small", Residency.SWAP, Priority.P1, (site((gpus[-1], 6.0)),), load_s=6, slot="slot"),
        Model("slot-large", Residency.SWAP, Priority.P2, (site((gpus[-1], 11.0)),), load_s=20, slot="slot"),
    ]
    for number in range(chance.randint(2, 9)):
        size = chance.choice((1.0, 3.0, 5.0, 7.5, 10.5, 14.0))
        places = chance.sample(gpus, chance.randint(1, len(gpus)))
        sites = [
            site((place, size), error_gib=chance.choice((0.0, 0.5)), asleep=((place, 0.5), ("ram", size)))
            for place in places
        ]
        if len(gpus) > 1 and chance.random() < 0.3:
            sites.append(site((gpus[0], size / 2), (gpus[1], size / 2)))
        if chance.random() < 0.3:
            sites.append(site(("ram", size)))
        residency = chance.choice((Residency.ALWAYS, Residency.LAZY, Residency.LAZY, Residency.ON_DEMAND))
        priority = chance.choice((Priority.P1, Priority.P2, Priority.P3))
        sleeps = chance.random() < 0.4 and seed % 2 == 0
        models.append(Model(f"m{number}", residency, priority, tuple(sites), sleeps, load_s=chance.uniform(2, 30)))
    return VirtualSite(devices, models, (Slot("slot", "slot-small"),), seed, policy)


def disturb(virtual: VirtualSite) -> None:
    """One thing of many happens, by the site's own chance."""
    chance = virtual.chance
    names, devices = list(virtual.models), list(virtual.devices)
    roll = chance.random()
    if roll < 0.55:
        virtual.ask(chance.choice(names), chance.randint(1, 4))
    elif roll < 0.60:
        virtual.intrude(chance.choice(devices), int(chance.choice((0, 0, 2, 6, 20)) * GIB))
    elif roll < 0.63:
        virtual.ask_lease(chance.choice(devices), chance.randint(1, 14) * GIB, chance.randint(1, 4),
                          chance.uniform(20, 900), chance.choice(("images", "training")))  # fmt: skip
    elif roll < 0.64:
        virtual.fail(chance.randrange(8))
    elif roll < 0.65:
        device = chance.choice(devices)
        virtual.change_device(device, out_of_service="" if virtual.devices[device].out_of_service else "lost")
    elif roll < 0.66:
        device = chance.choice(devices)
        virtual.change_device(device, temperature_c=chance.choice((None, 60.0, 85.0)))
    elif roll < 0.67:
        members = frozenset(chance.sample(names, 2)) | {"images"}
        virtual.mode = None if virtual.mode is not None else Mode("forensic", frozenset(devices[:1]), members)
    elif roll < 0.68:
        name = chance.choice(names)
        window = chance.choice((Window(), Window(False, virtual.now_s + 300), Window(False)))
        virtual.models[name] = replace(virtual.models[name], window=window)


def run(virtual: VirtualSite, hours: float) -> VirtualSite:
    """So many simulated hours of everything; Broken when something does not hold."""
    until_s = virtual.now_s + hours * 3600
    while virtual.now_s < until_s:
        for _ in range(virtual.chance.randint(0, 3)):
            disturb(virtual)
        virtual.advance(virtual.chance.choice((0.5, 1.0, 5.0, 15.0, 15.0)))
        virtual.reconcile()
    return virtual
