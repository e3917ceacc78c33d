"""Runs the reconciler: looks at the devices, lets it plan and act, and waits until there is something to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

from ringfence.placement.bell import Bell
from ringfence.placement.reconciler import Reconciler
from ringfence.runtime.desired import Desired
from ringfence.runtime.memory import Memory

FRESH_S = 0.5
"""How old a reading of the devices may be when something is decided by it."""
GAP_S = 0.02
"""Between two cycles at least: what happens together is looked at together."""
AFTER_A_FAULT_S = 1.0
log = logging.getLogger("ringfence.placement")


async def _nothing() -> None:
    """Nobody wants to know."""


class Reconciling:
    """`nudge` asks for a cycle soon; `before` and `after` are called around each."""

    def __init__(self, reconciler: Reconciler, desired: Desired, memory: Memory) -> None:
        self.reconciler = reconciler
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], Awaitable[None]] = _nothing
        self._desired = desired
        self._memory = memory
        self._nudged = Bell()

    def nudge(self) -> None:
        self._nudged.ring()

    async def run(self) -> None:
        """For ever."""
        await self._memory.recall()
        while True:
            try:
                await self.once()
            except Exception:
                log.exception("placement met a fault, and goes on")
                await asyncio.sleep(AFTER_A_FAULT_S)
            await self._until_due()

    async def once(self) -> None:
        """One cycle, on what the devices are now."""
        await self._memory.refresh(FRESH_S)
        self.before()
        self.reconciler.policy = self._desired.policy()
        self.reconciler.drain_s = self._desired.config.placement.drain_s
        self.reconciler.cycle()
        await self.after()

    async def _until_due(self) -> None:
        wakes_at_s = self.reconciler.wakes_at_s()
        wait_s = self._desired.config.placement.cycle_s
        if wakes_at_s is not None:
            wait_s = min(wait_s, max(0.0, wakes_at_s - monotonic()))
        await self._nudged.wait(max(GAP_S, wait_s))
        await asyncio.sleep(GAP_S)
        self._nudged.still()
