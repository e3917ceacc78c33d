"""Every instance by name, which targets they serve, and who uses them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ringfence.core.catalog import Ability, Endpoint, Target
from ringfence.core.errors import TargetFailed, TargetUnavailable
from ringfence.core.ports import Offer
from ringfence.placement.adopted import Adopted
from ringfence.placement.lease import Lease, Users
from ringfence.placement.supervisor import Supervisor

Keeper = Supervisor | Adopted
NO_PROCESS = (None, None)
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


class Instance:
    """What keeps the engine, and who uses it."""

    __slots__ = ("keeper", "users")

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.users = Users()

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
            state=keeper.state.value,
            since_s=keeper.since_s,
            pid=pid,
            port=port,
            restarts=keeper.restarts if isinstance(keeper, Supervisor) else 0,
            window=min((offer.window for offer in offers if offer.window), default=None),
            slots=min((offer.slots for offer in offers if offer.slots), default=None),
            in_use=self.users.count,
            rss_bytes=rss_bytes,
            cpu_s=cpu_s,
            reason=keeper.reason,
            is_ours=isinstance(keeper, Supervisor),
        )


class Placement:
    """Instances by name, and the instance behind each target's name."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._by_target: dict[str, Instance] = {}
        self._claims: dict[str, tuple[str, ...]] = {}

    def add(self, keeper: Keeper, targets: Iterable[str] = ()) -> Instance:
        """Take an instance in, start it, and let it serve the targets of these names. ValueError for a name in use."""
        if keeper.name in self._instances:
            raise ValueError(f"there is an instance '{keeper.name}' already")
        instance = self._instances[keeper.name] = Instance(keeper)
        self.bind(keeper.name, targets)
        keeper.start()
        return instance

    def bind(self, name: str, targets: Iterable[str]) -> None:
        """From now on the instance `name` serves exactly the targets of these names.

        One that another instance claims as well is served by neither: what is meant for one must not reach the other.
        """
        self._claims[name] = tuple(dict.fromkeys(targets))
        counts = Counter(target for claimed in self._claims.values() for target in claimed)
        for target in self._claims[name]:
            if counts[target] > 1:
                log.error("two instances claim the target '%s', so that neither serves it", target)
        self._by_target = {
            target: self._instances[claimant]
            for claimant, claimed in self._claims.items()
            for target in claimed
            if counts[target] == 1
        }

    def has(self, name: str) -> bool:
        return name in self._instances

    def offers(self, name: str) -> tuple[Offer, ...]:
        """What the instance said it has; empty before it was ready for the first time."""
        return self._instances[name].keeper.offers

    def take(self, target: Target) -> Lease | None:
        """A lease when the instance is ready now, else None; the fast path."""
        instance = self._by_target.get(target.name)
        endpoint = instance.keeper.endpoint if instance is not None else None
        return Lease(instance.users, endpoint) if instance is not None and endpoint is not None else None

    async def lease(self, target: Target, timeout_s: float) -> Lease:
        """A ready instance for the target, held until released. Raises TargetFailed when there is none in time."""
        instance = self._by_target.get(target.name)
        if instance is None:
            raise TargetFailed(target.name, "connect", TargetUnavailable("No instance serves this model now."))
        endpoint = instance.keeper.endpoint
        if endpoint is None:
            endpoint = await self._wait_ready(instance, target, timeout_s)
        return Lease(instance.users, endpoint)

    def failed(self, target: Target, reason: str) -> None:
        """A connection to it broke for `reason`: whoever keeps it looks at once."""
        instance = self._by_target.get(target.name)
        if instance is not None and reason in ("connect", "lost", "first_byte_timeout", "stalled"):
            instance.keeper.suspect()

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
        """Waits until the instance answers, or the time is over."""
        try:
            await self._instances[name].keeper.wait_ready(timeout_s)
        except TargetFailed:
            return False
        return True

    def output(self, name: str) -> tuple[str, ...]:
        """The last lines that an engine of ours wrote; KeyError for an unknown name."""
        keeper = self._instances[name].keeper
        return keeper.output.lines if isinstance(keeper, Supervisor) else ()

    async def remove(self, name: str, drain_s: float) -> None:
        """Drain, stop and forget one instance."""
        self.bind(name, ())
        instance = self._instances.pop(name)
        del self._claims[name]
        await instance.drain(drain_s)
        await instance.keeper.stop()

    async def close(self, drain_s: float) -> None:
        """Drain and stop all of them, side by side."""
        await asyncio.gather(*(self.remove(name, drain_s) for name in list(self._instances)))

    async def _wait_ready(self, instance: Instance, target: Target, timeout_s: float) -> Endpoint:
        try:
            return await instance.keeper.wait_ready(timeout_s)
        except TargetFailed as failed:
            raise TargetFailed(target.name, failed.reason, failed.failure) from None


def usage_of(pid: int, proc: Path = Path("/proc")) -> tuple[int | None, float | None]:
    """(resident bytes, processor seconds) of a process; None for both when it is gone."""
    try:
        pages = int((proc / str(pid) / "statm").read_text(encoding="ascii").split()[1])
        after_name = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        ticks = int(after_name[11]) + int(after_name[12])
    except (OSError, ValueError, IndexError):
        return NO_PROCESS
    return pages * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK")
