"""What wakes one sleeper before its time: an event and a limit in one, without a cancelled scope for each sleep."""

from __future__ import annotations

import asyncio


class Bell:
    """For one that waits. What was rung stays rung until it is stilled."""

    __slots__ = ("_is_rung", "_sleeper")

    def __init__(self) -> None:
        self._is_rung = False
        self._sleeper: asyncio.Future[None] | None = None

    def ring(self) -> None:
        self._is_rung = True
        _wake(self._sleeper)

    def still(self) -> None:
        self._is_rung = False

    async def wait(self, seconds: float) -> None:
        """Until it is rung, or for so long. No cancellation is lost, as `asyncio.wait_for` of Python 3.11 loses one
        that comes with the ringing."""
        if self._is_rung:
            return
        loop = asyncio.get_running_loop()
        self._sleeper = sleeper = loop.create_future()
        timer = loop.call_later(seconds, _wake, sleeper)
        try:
            await sleeper
        finally:
            timer.cancel()
            self._sleeper = None


def _wake(sleeper: asyncio.Future[None] | None) -> None:
    if sleeper is not None and not sleeper.done():
        sleeper.set_result(None)
