"""Who uses an instance right now, so that it is not stopped under them."""

from __future__ import annotations

import asyncio
import contextlib

from ringfence.core.catalog import Endpoint


class Users:
    """Counts the leases of one instance."""

    __slots__ = ("_idle", "count")

    def __init__(self) -> None:
        self.count = 0
        self._idle: asyncio.Event | None = None

    def left(self) -> None:
        """One less; wakes who waits for the last."""
        self.count -= 1
        if self.count == 0 and self._idle is not None:
            self._idle.set()

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
