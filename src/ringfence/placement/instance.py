"""Every instance by name, which targets they serve, and who uses them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from time import monotonic

from ringfence.core.catalog import Ability, Endpoint, Target
from ringfence.core.errors import TargetFailed, TargetUnavailable
from ringfence.core.ports import Clock, Offer
from ringfence.placement.adopted import Adopted
from ringfence.placement.demand import Demands
from ringfence.placement.lease import Lease, Users
from ringfence.placement.supervisor import Supervisor

Keeper = Supervisor | Adopted
NO_PROCESS = (None, None)
COME_AGAIN_S = 2.0
COME_LATER_S = 30.0
NOT_STARTED = "The engine of this model does not start; `ringfence status` tells why."
SET_UP_ANEW = "The configuration has changed meanwhile; try again."
log = logging.getLogger("ringfence.placement")


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """One instance as the control API shows it. `cpu_s` is processor seconds since the process began."""

    name: str
    engine: str
    model: str
    state: str
    since_s: float
    pid: int | None
    port: int | None
    restarts: int
    window: int | None
    slots: int | None
    in_use: int
    rss_bytes: int | None
    cpu_s: float | None
    reason: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """What callers of a model that is not here can expect: at `expected_s` it should be; None when it does not come."""

    reason: str
    expected_s: float | None


class Instance:
    """What keeps the engine, and who uses it. One that is `planned` is loaded and unloaded as the reconciler says."""

    __slots__ = ("_told", "failed", "is_leaving", "is_planned", "keeper", "outlook", "users")

    def __init__(self, keeper: Keeper, is_planned: bool = False, clock: Clock = monotonic) -> None:
        self.keeper = keeper
        self.users = Users(clock)
        self.is_planned = is_planned
        self.outlook: Outlook | None = None
        self.failed = ""
        """Why it was given up, until it is loaded again."""
        self.is_leaving = False
        """For good; until it has left it holds what it holds."""
        self._told = asyncio.Event()

    def expect(self, outlook: Outlook | None) -> None:
        """Tell those who wait."""
        if outlook != self.outlook:
            self.outlook = outlook
            self.look()

    def look(self) -> None:
        """Something changed: whoever waits looks again."""
        told, self._told = self._told, asyncio.Event()
        told.set()

    async def arrives(self, clock: Clock) -> Endpoint:
        """Where it answers, once it is loaded. Raises TargetFailed('loading') when it will not be."""
        while (endpoint := self.keeper.endpoint) is None:
            outlook = self.outlook
            if self.is_leaving or self.failed or (outlook is not None and outlook.expected_s is None):
                raise TargetFailed(self.keeper.name, "loading", self.unavailable(clock))
            await self._told.wait()
        return endpoint

    def unavailable(self, clock: Clock) -> TargetUnavailable:
        """That it is not loaded, why, and when to come again."""
        outlook = self.outlook
        if self.is_leaving:
            return TargetUnavailable(SET_UP_ANEW, retry_after_s=COME_AGAIN_S)
        if self.failed:
            return TargetUnavailable(NOT_STARTED)
        if outlook is None:
            return TargetUnavailable("The model is still loading; try again shortly.", retry_after_s=COME_AGAIN_S)
        if outlook.expected_s is None:
            return TargetUnavailable(f"The model cannot be loaded now: {outlook.reason}.", retry_after_s=COME_LATER_S)
        left_s = max(COME_AGAIN_S, outlook.expected_s - clock())
        return TargetUnavailable(
            f"The model is not loaded yet: {outlook.reason}. It should be here in about {ceil(left_s)} s.",
            retry_after_s=left_s,
        )

    async def drain(self, timeout_s: float) -> int:
        """No new lease; waits for those that are held. How many are left when the time is over."""
        self.keeper.drain()
        left = await self.users.wait_idle(timeout_s)
        if isinstance(self.keeper, Supervisor):
            self.keeper.drained(left)
        return left

    def status(self) -> InstanceStatus:
        keeper = self.keeper
        offers = keeper.offers
        if isinstance(keeper, Supervisor):
            engine, model, pid, port = keeper.launch.engine, keeper.launch.model, keeper.pid, keeper.port
        else:
            engine, pid, port = keeper.engine, None, keeper.at.port
            model = ", ".join(offer.engine_model for offer in offers)
        rss_bytes, cpu_s = usage_of(pid) if pid else NO_PROCESS
        return InstanceStatus(
            name=keeper.name,
            engine=engine,
            model=model,
            state="failed" if self.failed else keeper.state.value,
            since_s=keeper.since_s,
            pid=pid,
            port=port,
            restarts=keeper.restarts if isinstance(keeper, Supervisor) else 0,
            window=min((offer.window for offer in offers if offer.window), default=None),
            slots=min((offer.slots for offer in offers if offer.slots), default=None),
            in_use=self.users.count,
            rss_bytes=rss_bytes,
            cpu_s=cpu_s,
            reason=self.failed or keeper.reason or (self.outlook.reason if self.outlook is not None else ""),
            is_ours=isinstance(keeper, Supervisor),
        )


class Placement:
    """Instances by name, and the instance behind each target's name."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self.demands = Demands(clock)
        self._clock = clock
        self._instances: dict[str, Instance] = {}
        self._by_target: dict[str, Instance] = {}
        self._claims: dict[str, tuple[str, ...]] = {}

    def add(self, keeper: Keeper, targets: Iterable[str] = (), *, is_planned: bool = False) -> Instance:
        """Take an instance in, and let it serve the targets of these names. It is started now, or as the reconciler
        says. ValueError for a name in use."""
        if keeper.name in self._instances:
            raise ValueError(f"there is an instance '{keeper.name}' already")
        instance = self._instances[keeper.name] = Instance(keeper, is_planned, self._clock)
        self.bind(keeper.name, targets)
        if is_planned and isinstance(keeper, Supervisor):
            keeper.on_moved = partial(self._moved, instance)
        else:
            keeper.start()
        return instance

    def _moved(self, instance: Instance) -> None:
        instance.look()
        self.demands.nudge()

    def get(self, name: str) -> Instance:
        """KeyError for an unknown name."""
        return self._instances[name]

    def planned(self) -> list[Instance]:
        """Those that the reconciler loads and unloads."""
        return [instance for instance in self._instances.values() if instance.is_planned]

    def bind(self, name: str, targets: Iterable[str]) -> None:
        """From now on the instance `name` serves exactly the targets of these names; none where it is leaving.

        One that another instance claims as well is served by neither: what is meant for one must not reach the other.
        """
        if not self._instances[name].is_leaving:
            self._claims[name] = tuple(dict.fromkeys(targets))
        counts = Counter(target for claimed in self._claims.values() for target in claimed)
        for target in self._claims.get(name, ()):
            if counts[target] > 1:
                log.error("two instances claim the target '%s', so that neither serves it", target)
        self._by_target = {
            target: self._instances[claimant]
            for claimant, claimed in self._claims.items()
            for target in claimed
            if counts[target] == 1
        }

    def targets_of(self, name: str) -> tuple[str, ...]:
        """The targets that it serves, by name."""
        return self._claims.get(name, ())

    def has(self, name: str) -> bool:
        return name in self._instances

    def offers(self, name: str) -> tuple[Offer, ...]:
        """What the instance said it has; empty before it was ready for the first time."""
        return self._instances[name].keeper.offers

    def take(self, target: Target) -> Lease | None:
        """A lease when the instance is ready now, else None; the fast path."""
        instance = self._by_target.get(target.name)
        if instance is None:
            return None
        endpoint = instance.keeper.endpoint
        if endpoint is None or target.engine_model in instance.keeper.away:
            return None
        return Lease(instance.users, endpoint)

    async def lease(self, target: Target, timeout_s: float, urgency: int = 0) -> Lease:
        """A ready instance for the target, held until released. Raises TargetFailed when there is none in time."""
        instance = self._by_target.get(target.name)
        if instance is None:
            raise TargetFailed(target.name, "connect", TargetUnavailable("No instance serves this model now."))
        endpoint = instance.keeper.endpoint
        if endpoint is None:
            try:
                endpoint = await self._wait_ready(instance, timeout_s, urgency)
            except TargetFailed as failed:
                raise TargetFailed(target.name, failed.reason, failed.failure) from None
        if target.engine_model in instance.keeper.away:  # it says so since this target was chosen
            raise TargetFailed(target.name, "connect", TargetUnavailable("No instance serves this model now."))
        return Lease(instance.users, endpoint)

    def estimate_s(self, target: Target) -> float | None:
        """In about how many seconds its model should be here; None where nobody knows."""
        instance = self._by_target.get(target.name)
        outlook = instance.outlook if instance is not None else None
        if outlook is None or outlook.expected_s is None:
            return None
        return max(0.0, outlook.expected_s - self._clock())

    def is_here(self, target: Target) -> bool:
        """Whether an instance of it is ready now."""
        instance = self._by_target.get(target.name)
        return instance is not None and instance.keeper.endpoint is not None

    def missed(self, target: Target, urgency: int = 0) -> None:
        """A caller of the target goes elsewhere, or waits where nobody sees it: it is wanted all the same."""
        instance = self._by_target.get(target.name)
        if instance is not None and instance.is_planned and instance.keeper.endpoint is None:
            self.demands.miss(instance.keeper.name, urgency)

    def failed(self, target: Target, reason: str) -> None:
        """A connection to it broke for `reason`: whoever keeps it looks at once."""
        instance = self._by_target.get(target.name)
        if instance is not None and reason in ("connect", "lost", "first_byte_timeout", "stalled", "malformed"):
            instance.keeper.suspect()

    def doubt(self, target: Target) -> None:
        """Several answers of it in a row could not be used: whoever keeps it has it make a token."""
        instance = self._by_target.get(target.name)
        if instance is not None:
            instance.keeper.doubt()

    def correct(self, target: Target, window: int) -> None:
        """The engine of the target has refused a request, and named another window than at a look."""
        instance = self._by_target.get(target.name)
        keeper = instance.keeper if instance is not None else None
        if isinstance(keeper, Adopted) and keeper.correct(target.engine_model, window):
            log.warning("%s takes %d tokens, and not as many as it told before", target.name, window)

    def status(self) -> list[InstanceStatus]:
        return [instance.status() for _name, instance in sorted(self._instances.items())]

    def expected(self, name: str) -> frozenset[Ability] | None:
        """The abilities that the weights of an engine of ours tell before it runs; None where nothing does."""
        keeper = self._instances[name].keeper
        return keeper.launch.abilities if isinstance(keeper, Supervisor) else None

    def is_bound(self, target: Target, names: Collection[str]) -> bool:
        """True when the target is served by one of the instances of these names."""
        instance = self._by_target.get(target.name)
        return instance is not None and instance.keeper.name in names

    async def is_ready(self, name: str, timeout_s: float) -> bool:
        """Waits until the instance answers, or the time is over; one that is planned is wanted meanwhile."""
        try:
            await self._wait_ready(self._instances[name], timeout_s)
        except TargetFailed:
            return False
        return True

    def is_refused(self, name: str) -> bool:
        """Whether there is no room for it as things are, and none to come."""
        outlook = self._instances[name].outlook
        return outlook is not None and outlook.expected_s is None

    def output(self, name: str) -> tuple[str, ...]:
        """The last lines that an engine of ours wrote; KeyError for an unknown name."""
        keeper = self._instances[name].keeper
        return keeper.output.lines if isinstance(keeper, Supervisor) else ()

    async def remove(self, name: str, drain_s: float) -> None:
        """Drain, stop and forget one instance. Until that is done it is among the others, for it holds memory."""
        instance = self._instances[name]
        if not instance.is_leaving:
            instance.is_leaving = True
            self._claims.pop(name, None)
            self.bind(name, ())
            instance.look()
            await instance.drain(drain_s)
        await instance.keeper.stop()
        if self._instances.get(name) is instance:
            del self._instances[name]
            self.demands.forget(name)
            self.demands.nudge()

    async def close(self, drain_s: float) -> None:
        """Drain and stop all of them, side by side."""
        await asyncio.gather(*(self.remove(name, drain_s) for name in list(self._instances)))

    async def _wait_ready(self, instance: Instance, timeout_s: float, urgency: int = 0) -> Endpoint:
        keeper = instance.keeper
        if not instance.is_planned:
            return await keeper.wait_ready(timeout_s)
        wait = self.demands.wait(keeper.name, urgency)
        try:
            async with asyncio.timeout(timeout_s):
                return await instance.arrives(self._clock)
        except TimeoutError:
            self.demands.miss(keeper.name, urgency)
            raise TargetFailed(keeper.name, "loading", instance.unavailable(self._clock)) from None
        finally:
            wait.end()


def usage_of(pid: int, proc: Path = Path("/proc")) -> tuple[int | None, float | None]:
    """(resident bytes, processor seconds) of a process; None for both when it is gone."""
    try:
        pages = int((proc / str(pid) / "statm").read_text(encoding="ascii").split()[1])
        after_name = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        ticks = int(after_name[11]) + int(after_name[12])
    except (OSError, ValueError, IndexError):
        return NO_PROCESS
    return pages * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK")
