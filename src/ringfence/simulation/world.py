"""A site put together: the parts of the product that decide and act, and a simulated machine, network and public."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Endpoint, Model, Target
from ringfence.core.identity import Key
from ringfence.core.route import Ending, House, Profile, Tier
from ringfence.egress.client import egress_endpoint
from ringfence.engines.llamacpp import ADAPTER as LLAMACPP
from ringfence.engines.vllm import ADAPTER as VLLM
from ringfence.gateway.admission import Admission
from ringfence.gateway.cloud import Cloud
from ringfence.gateway.deciding import Settings
from ringfence.gateway.ids import CallIds
from ringfence.gateway.lane import PROMOTE_S, Asking, Lane
from ringfence.gateway.limits import RateLimits
from ringfence.gateway.money import Purse
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.quotas import Quotas
from ringfence.placement.adopted import Adopted
from ringfence.placement.bell import Bell
from ringfence.placement.devices import Devices
from ringfence.placement.events import InstanceFailed, InstanceReady, Moved
from ringfence.placement.instance import Placement
from ringfence.placement.launch import Launch
from ringfence.placement.lease import Lease
from ringfence.placement.lifecycle import Pace as Patience
from ringfence.placement.lifecycle import State
from ringfence.placement.output import Output
from ringfence.placement.planning import Policy
from ringfence.placement.reconciler import Reconciler
from ringfence.placement.supervisor import Supervisor
from ringfence.placement.tenants import Tenants
from ringfence.placement.way_out import WayOut
from ringfence.providers.openai import ADAPTER as OPENAI
from ringfence.routing.health import Health
from ringfence.simulation.callers import Caller, Callers
from ringfence.simulation.checks import Checks
from ringfence.simulation.faults import Faults
from ringfence.simulation.ledger import EPOCH_S, SimulatedLedger
from ringfence.simulation.loop import VirtualLoop
from ringfence.simulation.machine import Machine
from ringfence.simulation.network import WINDOW, Network, SimulatedRelay, Sleeping
from ringfence.simulation.outsiders import Grabber, Tenant, held_by, owner_of
from ringfence.simulation.owner import Owner
from ringfence.simulation.process import SimulatedProcess
from ringfence.simulation.record import Record
from ringfence.simulation.server import Pace, Server
from ringfence.simulation.setting import Exclusive, Setting

FRESH_S = 0.5
GAP_S = 0.02
LOOK_S = 5.0
MODE_OFF_S, MODE_ON_S = 5400.0, 900.0
DRAIN_S = 120.0
QUEUE, QUEUE_WAIT_S, LEASE_WAIT_S, RETRIES = 256, 60.0, 60.0, 2
LONGEST_S = 1500.0
"""No call takes longer: so many targets and retries, each with its queue, its load, its first byte; then its answer."""
MESH_AT = Endpoint("10.1.0.5", 8000, Boundary.MESH)
CLOUD_AT = egress_endpoint(Path("/simulated/egress.sock"))
CLOUD = "rented"
MOST_OUTPUT = 1024
CHAT = frozenset((Ability.CHAT,))


@dataclass(frozen=True, slots=True)
class Streams:
    """Chance for each part by itself, so that a change in one leaves the others as they are."""

    seed: int

    def of(self, name: str) -> Random:
        return Random(f"{self.seed} {name}")  # noqa: S311


class Timed(Placement):
    """Tells how long callers wait."""

    def __init__(self, machine: Machine, checks: Checks) -> None:
        super().__init__(machine.now)
        self._machine = machine
        self._checks = checks

    async def lease(self, target: Target, timeout_s: float, urgency: int = 0) -> Lease:
        machine = self._machine
        began_s = machine.now() - machine.suspended_s
        try:
            return await super().lease(target, timeout_s, urgency)
        finally:
            self._checks.waited(target, machine.now() - machine.suspended_s - began_s, timeout_s)


class Watched(Admission):
    """Tells who is let in."""

    def __init__(self, machine: Machine, checks: Checks) -> None:
        super().__init__(QUEUE, QUEUE_WAIT_S, PROMOTE_S, machine.now)
        self._checks = checks

    async def place(self, target: Target, tokens: int = 0, asking: Asking | None = None) -> Lane:
        asking = asking or Asking()
        lane = await super().place(target, tokens, asking)
        self._checks.let_in(target, lane, asking, self.promote_s)
        return lane


class World:
    """Made for one seed. `live` runs it for a while."""

    def __init__(self, seed: int, setting: Setting, loop: VirtualLoop, patience: Patience, cycle_s: float) -> None:
        chances = Streams(seed)
        self.patience, self.cycle_s = patience, cycle_s
        self.loop = loop
        self.setting = setting
        self.hours = 0.0
        """For how long it has run, until it was to end."""
        self.record = Record(loop.time)
        self.machine = Machine(loop, setting.devices)
        self.checks = Checks(self.record, self.machine, setting, DRAIN_S, LONGEST_S, Policy().dwell_s)
        self.network = Network(self.checks)
        self.machine.gpus.was_read = self.checks.read
        self.devices = Devices([self.machine.gpus], self.machine.now, beside=self.machine.beside)
        self.owner = Owner(setting, self.devices, self.machine, chances.of("sizes"))
        self.placement = self.checks.placement = Timed(self.machine, self.checks)
        self.admission = Watched(self.machine, self.checks)
        self.checks.lanes = self.admission.lanes
        self.checks.is_open = self.owner.is_open
        ids = count(1)
        self.tenants: list[Tenant] = []
        self.book = Tenants(
            self.owner.devices, self.machine.now, nudge=self._nudge, held=held_by(lambda: self.tenants),
            find_owner=owner_of(lambda: self.tenants), new_id=lambda: f"lease-{next(ids)}",
        )  # fmt: skip
        self.reconciler = Reconciler(
            self.placement, self.owner, self.book, self.machine.now, self._emit, drain_s=DRAIN_S
        )
        self._chance = chances.of("engines")
        self._nudged = Bell()
        self._read_s = float("-inf")
        self.placement.demands.nudge = self._nudge
        self.checks.promised = lambda device, held: sum(
            tenant.promised_bytes(held.get(tenant.name, 0)) for tenant in self.tenants if tenant.device == device
        )
        self.checks.lost = lambda device: any(
            state.out_of_service for state in self.owner.devices() if state.device.id == device
        )
        self.far = (
            Server("mesh", "mesh-model", Boundary.MESH, chances.of("mesh"), Pace(), loop),
            Server(CLOUD, "cloud-model", Boundary.CLOUD, chances.of("cloud"), Pace(0.6, 4.0), loop),
        )
        for at, server in zip((MESH_AT, CLOUD_AT), self.far, strict=True):
            self.network.lies(at, server)
        self.callers = Callers(
            self._pipeline(), callers(), setting, ("mesh-model", "cloud-model"), loop, chances.of("callers"),
            self.checks, self.record, chances.of("urgency"),
        )  # fmt: skip
        self.grabbers = self._outsiders(chances.of("outsiders"))
        self.faults = Faults(
            self.machine, lambda: tuple(self.checks.alive.values()), self.far, self.grabbers, self.tenants,
            self.callers, chances.of("faults"), self.record,
        )  # fmt: skip

    # -- one run ------------------------------------------------------------------------------------------------------

    async def live(self, hours: float, rate: float) -> None:
        """So many hours with so many requests a second, and a quiet end in which everything is put straight."""
        self._settle()
        lives = [
            self.faults.live(),
            self._drive(),
            self._modes(),
            *(one.live() for one in (*self.grabbers, *self.tenants)),
        ]
        going = [self.loop.create_task(life, name=f"life {place}") for place, life in enumerate(lives)]
        self.callers.begin(rate)
        await self._until(hours * 3600.0)
        self.hours = self.awake_s / 3600.0
        self.faults.is_on = False
        self.callers.end()
        for task in (going[0], *going[2:]):
            task.cancel()
        self._calm()
        await self._until(self.awake_s + LONGEST_S)
        if not self.record.problems:
            self.checks.quiet(self.reconciler.dry()[0])
            self.ledger.is_over()
        self.checks.is_over = True
        going[1].cancel()
        await self.placement.close(0)
        await asyncio.gather(*going, return_exceptions=True)

    @property
    def awake_s(self) -> float:
        """Without the time for which the machine stood still."""
        return self.loop.time() - self.machine.suspended_s

    async def _until(self, awake_s: float) -> None:
        """Or until something is found that does not hold."""
        while self.awake_s < awake_s and not self.record.problems:
            self.checks.look()
            await asyncio.sleep(min(LOOK_S, awake_s - self.awake_s))

    async def _drive(self) -> None:
        """As `runtime/reconciling.py`: look, plan, act, and wait for the next reason to."""
        while True:
            try:
                await self._cycle()
            except Exception as error:
                at = traceback.extract_tb(error.__traceback__)[-1]
                self.record.broken("a cycle meets no fault", f"{error!r} in {at.name} of {Path(at.filename).name}")
                return
            wakes_s = self.reconciler.wakes_at_s()
            wait_s = self.cycle_s if wakes_s is None else min(self.cycle_s, max(0.0, wakes_s - self.loop.time()))
            await self._nudged.wait(max(GAP_S, wait_s))
            await asyncio.sleep(GAP_S)
            self._nudged.still()

    async def _cycle(self) -> None:
        if self.loop.time() - self._read_s > FRESH_S:
            await self.devices.refresh()
            self._read_s = self.loop.time()
            self.owner.look()
            self.owner.learn(self._ready)
        self.owner.look()
        self.reconciler.cycle()

    async def _modes(self) -> None:
        """Now and then a mode is on for a while."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / MODE_OFF_S))
            self._switch(self.setting.mode)
            await asyncio.sleep(self._chance.expovariate(1 / MODE_ON_S))
            self._switch(None)

    def _switch(self, mode: Exclusive | None) -> None:
        self.owner.exclusive = self.checks.mode = mode
        self.record.note("mode", mode.name if mode is not None else "off")
        self._nudge()

    def _calm(self) -> None:
        """Whatever was wrong is mended."""
        self._switch(None)
        gpus = self.machine.gpus
        gpus.answers_after_s, gpus.fails = 0.0, ""
        for device in gpus.said:
            gpus.plug_in(device)
            gpus.fail(device, "")
            gpus.hide(device, 0)
            for one in (*self.grabbers, *self.tenants):
                gpus.release(device, one.name)
        for server in self.far:
            server.recover()
        for process in self.checks.alive.values():
            process.mend()

    # -- what it is put together of -----------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Instances take their places; nothing is loaded yet."""
        for wanted in self.setting.models:
            self.placement.add(self._supervisor(wanted.name), (wanted.name,), is_planned=True)
        mesh = Adopted("mesh", VLLM, MESH_AT, self.network.fetch_at, self._emit, clock=self.machine.now)
        cloud = Adopted("way out", WayOut(), CLOUD_AT, self.network.fetch_at, self._emit, clock=self.machine.now)
        self.placement.add(mesh, ("mesh-model",))
        self.placement.add(cloud, ("cloud-model",))

    def _supervisor(self, name: str) -> Supervisor:
        chance = Random(f"{name} {self._chance.random()}")  # noqa: S311
        return Supervisor(
            name, Launch("llamacpp", name, (), {}), LLAMACPP, self.network.fetch_at, self._emit,
            clock=self.machine.now, chance=chance.random, start_process=partial(self._start, chance),
            controls=Sleeping(), ask_at=self.network.ask_at, pace=self.patience,
        )  # fmt: skip

    async def _start(self, chance: Random, launch: Launch, api_key: str, _output: Output) -> SimulatedProcess:
        fate = self.faults.fate(launch, self.owner.load_s(launch.model))
        return SimulatedProcess(launch, api_key, self.machine, self.network, fate, chance, self.record, self.checks)

    def _pipeline(self) -> Pipeline:
        now = self.machine.now
        near = (
            Target(one.name, one.name, "llamacpp", one.name, Boundary.HOST, WINDOW, one.parallel, CHAT)
            for one in self.setting.models
        )
        models = [Model(target.name, (target,)) for target in near]
        mesh = Target("mesh-model", "mesh-model", "vllm", "mesh-model", Boundary.MESH, WINDOW, 8, CHAT)
        cloud = Target("cloud-model", "cloud-model", "openai", "m", Boundary.CLOUD, WINDOW, 64, CHAT, provider=CLOUD)
        models += [Model("mesh-model", (mesh,)), Model("cloud-model", (cloud,))]
        settings = Settings(Catalog.of(models), house(self.setting), RETRIES, LEASE_WAIT_S)
        clouds = {CLOUD: Cloud(OPENAI, "https://cloud.example", MOST_OUTPUT)}
        relay: Any = SimulatedRelay(self.network, self.checks, clouds)
        pipeline = Pipeline(
            settings, limits=RateLimits(now), admission=self.admission, placement=self.placement,
            relay=relay, health=Health(now), emit=self._told, ids=CallIds(),
        )  # fmt: skip

        def wall() -> float:
            return EPOCH_S + now()

        pipeline.money, pipeline.wall, pipeline.quotas = Purse(wall), wall, Quotas(wall)
        self.ledger = SimulatedLedger(pipeline.money, self.record, CLOUD, cloud.engine_model)
        relay.leaves = self.ledger.leaves
        return pipeline

    def _told(self, event: object) -> None:
        self.ledger.told(event)

    def _outsiders(self, chance: Random) -> list[Grabber]:
        grabbers: list[Grabber] = []
        for place, (name, (device, most)) in enumerate(self.setting.tenants.items()):
            own = Random(f"{name} {chance.random()}")  # noqa: S311
            if place % 2 == 0:
                self.tenants.append(Tenant(name, device, most, self.book, self.machine, own, self.record))
            else:
                grabbers.append(Grabber(name, device, most, self.machine, own, self.record))
        return grabbers

    # -- what happens -------------------------------------------------------------------------------------------------

    def _nudge(self) -> None:
        self._nudged.ring()

    def _ready(self, name: str) -> tuple[int, float] | None:
        keeper = self.placement.get(name).keeper
        if isinstance(keeper, Supervisor) and keeper.state is State.READY and keeper.pid is not None:
            return keeper.pid, keeper.since_s
        return None

    def _emit(self, event: object) -> None:
        if isinstance(event, Moved):
            self.record.note(event.what, f"{event.name} {event.cause} {event.reason}")
            self.checks.moved(event.what, event.name, event.cause)
        elif isinstance(event, InstanceFailed):
            self.record.note("failed", f"{event.name} {event.reason}")
        else:
            self.record.note(type(event).__name__)
            if isinstance(event, InstanceReady):
                self.checks.ready(event.name)


def callers() -> tuple[Caller, ...]:
    """Keys of every reach."""
    return (
        Caller(Key("k1", "private", "private"), Boundary.HOST, 5),
        Caller(Key("k2", "home", "home"), Boundary.MESH, 2),
        Caller(Key("k3", "open", "open"), Boundary.CLOUD, 2),
        Caller(Key("k4", "careless", "careless"), Boundary.HOST, 1),
        Caller(Key("k5", "patient", "patient"), Boundary.MESH, 1),
    )


def house(setting: Setting) -> House:
    """Profiles: one of each reach, one whose chain names what it may not reach, one that rather waits."""
    near = tuple(model.name for model in setting.models[:2])
    profiles = (
        Profile("private", Boundary.HOST, chain=near),
        Profile("home", Boundary.MESH, Tier.SPEED_OPTIONAL, (*near[:1], "mesh-model")),
        Profile("open", Boundary.CLOUD, Tier.SPEED_OPTIONAL, (*near[:1], "mesh-model", "cloud-model")),
        Profile("careless", Boundary.HOST, chain=("cloud-model", "mesh-model", *near)),
        Profile("patient", Boundary.MESH, Tier.SPEED_OPTIONAL, (*near, "mesh-model"), Ending.PARK),
    )
    return House({profile.name: profile for profile in profiles}, {}, {})
