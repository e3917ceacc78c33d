"""Something that answers requests after a while, or does not: an engine, one of the mesh, or a rented cloud."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from ringfence.core.boundary import Boundary
from ringfence.gateway.step import Waiter

FIRST_BYTE_S = 120.0
BETWEEN_BYTES_S = 60.0
"""As the relay's own."""


class Mood(StrEnum):
    """How it answers."""

    WELL = "well"
    SLOW = "slow"
    HUNG = "hung"
    GARBAGE = "garbage"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds until the first byte and from there to the last, on average; ten times as long at most."""

    first_s: float = 0.4
    rest_s: float = 3.0


class Answering:
    """One request on its way. `first` brings "" or why nothing comes; `rest` brings "" or why it broke off."""

    __slots__ = ("begun", "first", "number", "rest", "server", "timer")

    def __init__(self, server: Server, number: int) -> None:
        self.server = server
        self.number = number
        self.first: Waiter[str] = Waiter()
        self.rest: Waiter[str] = Waiter()
        self.begun = False
        self.timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self.server.active.pop(self.number, None)
        if self.timer is not None:
            self.timer.cancel()

    def fail(self, reason: str) -> None:
        self.cancel()
        (self.rest if self.begun else self.first).wake(reason)


class Server:
    """`active` are the requests that it works on."""

    def __init__(
        self, name: str, model: str, at: Boundary, chance: Random, pace: Pace, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.name = name
        self.model = model
        self.at = at
        self.mood = Mood.WELL
        self.since_s = 0.0
        """Since when it is in this mood."""
        self.active: dict[int, Answering] = {}
        self.served = 0
        self._chance = chance
        self._pace = pace
        self._loop = loop
        self._count = 0

    @property
    def is_there(self) -> bool:
        return self.mood is not Mood.GONE

    def ask(self) -> Answering:
        """Begin to answer."""
        self._count += 1
        answering = self.active[self._count] = Answering(self, self._count)
        if self.mood is Mood.HUNG:
            self._stall(answering)
        else:
            answering.timer = self._loop.call_later(self._lasts(self._pace.first_s), self._first, answering)
        return answering

    def becomes(self, mood: Mood) -> None:
        """From now on; what is under way is held up by one that hangs, and lost with one that goes."""
        self.mood, self.since_s = mood, self._loop.time()
        for answering in list(self.active.values()):
            if mood is Mood.GONE:
                answering.fail("lost")
            elif mood is Mood.HUNG:
                self._stall(answering)

    def recover(self) -> None:
        """As it should be. What hung is answered late, or not at all."""
        self.mood = Mood.WELL

    def work(self) -> str:
        """Called with each answer that begins; a reason where that is too much for it."""
        return ""

    def _first(self, answering: Answering) -> None:
        if self.mood is Mood.GARBAGE:
            answering.fail("malformed")
            return
        if reason := self.work():
            answering.fail(reason)
            return
        answering.begun = True
        answering.timer = self._loop.call_later(self._lasts(self._pace.rest_s), self._rest, answering)
        answering.first.wake("")

    def _rest(self, answering: Answering) -> None:
        self.served += 1
        self.active.pop(answering.number, None)
        answering.rest.wake("malformed" if self.mood is Mood.GARBAGE else "")

    def _lasts(self, mean_s: float) -> float:
        slow = 8.0 if self.mood is Mood.SLOW else 1.0
        return slow * min(10.0 * mean_s, self._chance.expovariate(1.0 / mean_s))

    def _stall(self, answering: Answering) -> None:
        if answering.timer is not None:
            answering.timer.cancel()
        after_s, reason = (BETWEEN_BYTES_S, "stalled") if answering.begun else (FIRST_BYTE_S, "first_byte_timeout")
        answering.timer = self._loop.call_later(after_s, answering.fail, reason)
