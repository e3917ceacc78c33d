"""The places of one target, and who waits for them.

Some engines have one context for all that they work on, and some tell how many tokens they can keep at a time: then who
is let in is also a matter of what the requests weigh together (`room`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from time import monotonic
from typing import Protocol

from ringfence.core.route import Urgency
from ringfence.gateway.step import Waiter
from ringfence.routing.fair import FairQueue, Turn

PROMOTE_S = 15.0
MOST_YIELDS = 2
"""So often one request gives its place to others; then it keeps it."""
NEWS = 0.2
"""The weight of the last one in the mean of the time for which places are held."""
FRESH_S = 1.0
"""So long an order of those who wait is good enough to tell them their positions."""
BACKGROUND = Urgency.BACKGROUND


class Told(Enum):
    """What one that waits is told."""

    GO = "go"
    LATE = "late"
    PUSHED_OUT = "pushed out"
    """The queue is full, and another comes before it."""


class Asking(Turn):
    """One call that wants a place at one target. It weighs `tokens`; `yields` is how often it gave a place back."""

    __slots__ = ("entered_s", "position", "tokens", "waited_s", "waiter", "yields")

    def __init__(
        self, urgency: Urgency = Urgency.USER, key: str = "", share: int = 1, cost: int = 1, tokens: int = 0
    ) -> None:
        super().__init__(urgency, key, share, cost)
        self.tokens = tokens
        self.waiter: Waiter[Told] = Waiter()
        self.position = 0
        """Where it stood at most when it came, 1 for the first; 0 where it had not to wait."""
        self.entered_s = 0.0
        self.waited_s = 0.0
        self.yields = 0

    def told(self) -> bytes:
        """The header line that says that it waited; empty where it did not."""
        if not self.position:
            return b""
        return b"x-ringfence-queue: position=%d; waited_s=%.2f\r\n" % (self.position, self.waited_s)


class Yielding(Protocol):
    """What works in a place for one that has nothing to show yet."""

    def can_yield(self) -> bool: ...

    def give_way(self) -> None:
        """Stop it now; its place is given back before this returns, or as soon as can be."""
        ...


class Lane:
    """The places and the queue of one target. `room` is the context that all share, in tokens; None where each place
    has its own, as far as is known. `used` is what those in places weigh. `share` is of the places: below 1 while the
    target is slowed, and then requests in the background are not begun."""

    __slots__ = (
        "_clock", "_is_admitting", "_order", "_ordered_s", "free", "held_s", "kv_tokens", "places", "queue", "room",
        "share", "used", "waiting", "yielding",
    )  # fmt: skip

    def __init__(self, places: int, promote_s: float = PROMOTE_S, clock: Callable[[], float] = monotonic) -> None:
        self.places = places
        self.free = places
        self.room: int | None = None
        self.kv_tokens: int | None = None
        """What its engine says that it can keep at a time, where that is where `room` is from."""
        self.used = 0
        self.share = 1.0
        self.queue = FairQueue(promote_s)
        self.waiting = self.queue.waiting
        self.yielding: dict[Asking, Yielding] = {}
        """Requests in the background that have brought nothing yet, the last one last."""
        self.held_s: float | None = None
        """For how long a place is held, on the whole, as far as others waited for it meanwhile; None: nobody knows."""
        self._clock = clock
        self._is_admitting = False
        self._order: dict[int, int] = {}
        self._ordered_s = float("-inf")

    @property
    def running(self) -> int:
        return self.places - self.free

    def resize(self, places: int) -> None:
        self.free += places - self.places
        self.places = places
        self._admit()

    def slow(self, share: float) -> None:
        """One place is always left."""
        self.share = share
        self.queue.is_background_held = share != 1.0
        self._admit()

    def keeps(self, kv_tokens: int | None) -> None:
        """Its engine says, perhaps after a new start, how many tokens it can keep."""
        self.kv_tokens = self.room = kv_tokens
        self._admit()

    def has_room(self, tokens: int) -> bool:
        """One alone is always let in: there is nothing that it could wait for."""
        return self._fits(tokens, self.running, self.used)

    def enter(self, tokens: int) -> None:
        self.free -= 1
        self.used += tokens

    def leave(self, tokens: int = 0, since_s: float = 0.0) -> None:
        """`tokens` as it entered with, less what it was lightened by; `since_s` is since when it had its place, 0 where
        that says nothing of how long one is held."""
        self.free += 1
        self.used -= tokens
        if self.waiting:
            if since_s:
                held_s = max(0.0, self._clock() - since_s)
                self.held_s = held_s if self.held_s is None else self.held_s + NEWS * (held_s - self.held_s)
            self._admit()

    def lighten(self, tokens: int) -> None:
        """One in its place weighs so much less than was thought."""
        self.used -= tokens
        if self.room is not None:
            self._admit()

    # -- waiting ------------------------------------------------------------------------------------------------------

    def join(self, asking: Asking) -> bool:
        """Stand in the queue, or go on at once where nobody is before it: True then. One that comes back stands where
        it stood."""
        asking.waiter = Waiter()
        self.queue.add(asking, self._clock())
        position = self.queue.before(asking) + 1
        self._admit()
        if asking.waiter.is_done:
            return True
        asking.position = asking.position or position
        if asking.urgency is not BACKGROUND:
            self.press()
        return asking.waiter.is_done

    def withdraw(self, asking: Asking, told: Told | None = None) -> None:
        """One that waits leaves the queue; `told` is what it is told, None where it does not listen any more."""
        if asking.number not in self.waiting:
            return
        self.queue.remove(asking)
        self._admit()  # the next may be lighter, and fit
        if told is not None:
            asking.waiter.wake(told)

    def gives_back(self, asking: Asking) -> None:
        """It makes way for another, and comes again. It did not wait in its place, and for how long it had that says
        nothing of others."""
        asking.since_s += self._clock() - asking.entered_s
        asking.entered_s = 0.0

    def look(self, now_s: float) -> None:
        """It is `now_s`, by whatever clock woke us, and another one may be first."""
        self.queue.first(now_s)
        self._admit()
        self.press()

    def press(self) -> None:
        """Where the first in the queue has to wait while requests in the background have nothing to show yet, as many
        of those as it takes give their places back, the last ones first. None does where that would not be enough."""
        first = self.queue.first(self._clock())
        if not isinstance(first, Asking) or first.urgency is BACKGROUND:
            return
        running, used = self.running, self.used
        leaving: list[Yielding] = []
        for asking, one in reversed([*self.yielding.items()]):
            if self._fits(first.tokens, running, used):
                break
            if asking.level > first.level and asking.yields < MOST_YIELDS and one.can_yield():
                leaving.append(one)
                running, used = running - 1, used - asking.tokens
        if self._fits(first.tokens, running, used):
            for one in leaving:
                one.give_way()

    def position(self, asking: Asking) -> int:
        """1 for the next one, as it was at most a second ago."""
        now_s = self._clock()
        if now_s - self._ordered_s > FRESH_S or asking.number not in self._order:
            self._order = {turn.number: place for place, turn in enumerate(self.queue.order(now_s), 1)}
            self._ordered_s = now_s
        return self._order.get(asking.number, 1)

    def estimate_s(self, position: int) -> float | None:
        """In about how many seconds the one at this position is let in; None while nobody knows."""
        at_once = max(1, int(self.places * self.share))
        return None if self.held_s is None else self.held_s * position / at_once

    # -- inside -------------------------------------------------------------------------------------------------------

    def _fits(self, tokens: int, running: int, used: int) -> bool:
        if self.share != 1.0 and running >= max(1, int(self.places * self.share)):
            return False
        return running < self.places and (self.room is None or running == 0 or used + tokens <= self.room)

    def _admit(self) -> None:
        """Who is woken goes on at once, and may leave before `wake` returns: those after it are let in by this loop and
        not from within, as a queue is longer than calls may lie within calls."""
        if self._is_admitting:
            return
        self._is_admitting = True
        try:
            while self.waiting and self.free > 0:
                now_s = self._clock()
                first = self.queue.first(now_s)
                if not isinstance(first, Asking) or not self.has_room(first.tokens):
                    break
                self.queue.take(first)
                self.enter(first.tokens)
                first.entered_s = now_s
                first.waited_s = now_s - first.since_s
                first.waiter.wake(Told.GO)
        finally:
            self._is_admitting = False
