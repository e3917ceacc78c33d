"""A tenant that knows nothing of leases, such as ComfyUI: while it is busy we hold one in its name, and when it is
idle or its memory is wanted we have it give that back."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from ringfence.core.errors import BadRequest
from ringfence.core.ports import Ask, Clock, Fetch, TenantKind
from ringfence.placement.planning import LeasePhase
from ringfence.placement.tenants import Lease, Opens, Tenants

LOOK_EVERY_S = 5.0
GIVEN_BACK_BYTES = 512 << 20
"""A program of torch keeps a little reserved whatever it is asked; less than this is nothing."""
PATIENCE_S = 30.0
"""After so long what it did not give back is left to it: without a lease that counts as anybody's."""
log = logging.getLogger("ringfence.tenants")


@dataclass(frozen=True, slots=True)
class Watched:
    """A tenant as it is configured, and the ways to it. `priority` None: by its name in the device's order."""

    name: str
    kind: TenantKind
    fetch: Fetch
    ask: Ask
    device: str | None
    leased_bytes: int
    idle_s: float = 60.0
    priority: int | None = None
    opens: Opens | None = None


class TenantWatch:
    """Looks every few seconds. One that does not answer is not spoken for any more: its lease ends by itself, and what
    it still holds counts as anybody's."""

    def __init__(self, watched: Watched, tenants: Tenants, clock: Clock, *, every_s: float = LOOK_EVERY_S) -> None:
        self.is_busy: bool | None = None
        """As it was seen last; None while it does not answer."""
        self.refused = ""
        """Why it may have no lease; empty when all is well."""
        self._watched = watched
        self._tenants = tenants
        self._clock = clock
        self._every_s = every_s
        self._idle_since_s: float | None = None
        self._asked_back_s: float | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Once."""
        watched = self._watched
        self.is_busy = await self._answered()
        if self.is_busy is None:
            return
        lease = self._tenants.watched(watched.name)
        if self.is_busy:
            self._idle_since_s = self._asked_back_s = None
            lease = lease or self._asked()
        elif self._idle_since_s is None:
            self._idle_since_s = self._clock()
        if lease is not None:
            await self._keep(lease)

    async def _keep(self, lease: Lease) -> None:
        self._tenants.beat(lease.id)
        held_bytes = await self._held_bytes()
        if held_bytes is not None:
            self._tenants.saw(lease.id, held_bytes)
        now_s = self._clock()
        is_wanted = lease.phase is LeasePhase.RECALLED
        is_idle = self._idle_since_s is not None and now_s - self._idle_since_s >= self._watched.idle_s
        if not (is_wanted or is_idle) or not await self._released() or self.is_busy:
            return
        if self._asked_back_s is None:
            self._asked_back_s = now_s
        held_bytes = await self._held_bytes()
        is_back = held_bytes is None or held_bytes <= GIVEN_BACK_BYTES
        if is_back or now_s - self._asked_back_s >= PATIENCE_S:
            self._tenants.end(lease.id)

    def _asked(self) -> Lease | None:
        """What it works with it takes without asking; so that room is made for the rest, and none is given away."""
        watched = self._watched
        try:
            lease = self._tenants.ask(
                watched.name, watched.device, watched.leased_bytes, watched.priority, window=watched.opens,
                is_watched=True,
            )  # fmt: skip
        except BadRequest as refused:
            if self.refused != refused.message:
                log.warning("%s may have no lease: %s", watched.name, refused.message)
            self.refused = refused.message
            return None
        self.refused = ""
        return lease

    # What answers may be anything, and adapters come from outside packages too: a fault ends nobody's watch.

    async def _answered(self) -> bool | None:
        try:
            return await self._watched.kind.busy(self._watched.fetch)
        except Exception:
            return None

    async def _held_bytes(self) -> int | None:
        try:
            return await self._watched.kind.memory(self._watched.fetch)
        except Exception:
            return None

    async def _released(self) -> bool:
        try:
            return await self._watched.kind.release(self._watched.ask)
        except Exception:
            return False
