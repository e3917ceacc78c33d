"""Who uses an instance right now, so that it is not stopped under them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from time import monotonic

from ringfence.core.catalog import Endpoint
from ringfence.core.ports import Clock


class Users:
    """Counts the leases of one instance. `idle_since_s` is when the last one was given back, by `clock`."""

    __slots__ = ("_clock", "_idle", "count", "idle_since_s", "on_idle")

    def __init__(self, clock: Clock = monotonic) -> None:
        self.count = 0
        self.idle_since_s = float("-inf")
        self.on_idle: Callable[[], None] | None = None
        """Called when nobody is left; for whoever waits for that."""
        self._clock = clock
        self._idle: asyncio.Event | None = None

    def left(self) -> None:
        """One less; wakes who waits for the last."""
        self.count -= 1
        if self.count == 0:
            self.idle_since_s = self._clock()
            if self._idle is not None:
                self._idle.set()
            if self.on_idle is not None:
                self.on_idle()

    async def wait_idle(self, timeout_s: float) -> int:
        """Waits until nobody is left or the time is over; how many are still there."""
        if self.count:
            self._idle = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), timeout_s)
            self._idle = None
        return self.count


class Lease:
    """A ready instance, held. `release` may be called more than once."""

    __slots__ = ("_users", "endpoint")

    def __init__(self, users: Users, endpoint: Endpoint) -> None:
        users.count += 1
        self._users: Users | None = users
        self.endpoint = endpoint

    def release(self) -> None:
        users = self._users
        if users is not None:
            self._users = None
            users.left()
