"""Answers that need no engine of their own: one that was kept, or one that is being made for somebody else.

Only for calls whose profile asks for it. Whoever is given one is screened, decided about and counted as any other.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import Protocol

from ringfence.core.catalog import Target
from ringfence.core.errors import NothingNow
from ringfence.core.route import Caching, Decision, Urgency
from ringfence.core.usage import Usage
from ringfence.gateway import flight as flights
from ringfence.gateway.cache import Cache, Found
from ringfence.gateway.cache_key import digest_of, read_wishes
from ringfence.gateway.call import Call
from ringfence.gateway.flight import Flight
from ringfence.gateway.limits import Hold, RateLimits
from ringfence.gateway.recording import Recording, Reply, Share
from ringfence.gateway.shape import has_shape

MOST_ASKED_BYTES = 1024 * 1024
"""A longer body takes long to tell from others, and is seldom said twice."""
SWEEP_S = 15.0
SECRET_BYTES = 32
CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""It goes on while the machine sleeps, and nobody sets it: an answer is as old as it says."""
HIT, MISS, JOINED = "hit", "miss", "joined"

Place = tuple[bytes, Urgency, bool]
"""Digest, urgency, and whether a model may be loaded for it: none waits behind a call that others go before."""


class Path(flights.Path, Protocol):
    """The path of all calls."""

    limits: RateLimits

    def record(
        self, call: Call, target: Target | None, status: int, outcome: str, usage: Usage | None, first_at: float
    ) -> None: ...


class Given(Hold):
    """What a call holds that is given an answer of another: it is counted, and uses no tokens."""

    __slots__ = ("_call", "_outcome", "_path", "target")

    def __init__(self, path: Path, call: Call, outcome: str) -> None:
        super().__init__()
        self._path = path
        self._call = call
        self._outcome = outcome
        self.target: Target | None = None
        path.limits.hold(call.key, 0, self)

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        self.settle(None)
        outcome = self._outcome if outcome == "ok" else outcome
        self._path.record(self._call, self.target, status, outcome, usage if self.target else None, first_at)

    def head(self) -> bytes:
        """What its key may still use."""
        return self.allowance.head() if self.allowance is not None else b""


class Answers:
    """What is kept, and what is on its way."""

    def __init__(self, path: Path) -> None:
        self.cache = Cache(partial(time.clock_gettime, CLOCK))
        self.flights: dict[Place, Flight] = {}
        self._path = path
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self._timer: asyncio.TimerHandle | None = None

    async def give(self, call: Call, decision: Decision, caching: Caching) -> tuple[Reply, bytes]:
        """As `Pipeline.complete`, for a call whose profile keeps answers. Those that nobody waits for on a connection
        have no head in which they could say that they want none of it, and go to an engine, as thoughts do."""
        wishes = read_wishes(call.request.head) if call.request is not None else None
        if wishes is None or not wishes.keeps or call.within or call.body_bytes > MOST_ASKED_BYTES:
            return await self._path.complete(call, decision)
        digest = digest_of(call, decision, caching, self._secret)
        place = (digest, call.urgency, call.may_load)
        known: Flight | None = None
        if wishes.looks:
            found = self.cache.find(decision.profile, digest, caching, decision.allowed, wishes.most_age_s)
            if found is not None:
                return self._hit(call, decision, digest, found)
            known = self.flights.get(place)
        if known is not None and known.is_open:
            return await self._joined(call, decision, known)
        flight = self._begun(call, decision, caching, place)
        share = Share(flight.recording, call.id, None, flight.left)
        await flight.aboard(share, call)
        return share, self._head(call, flight.head, MISS, decision) + flight.limits

    def clear(self, profile: str = "") -> int:
        """Forget all, or all of one profile; how many answers that were. What is on its way is not kept, and nobody
        joins it any more."""
        for place, flight in list(self.flights.items()):
            if not profile or flight.decision.profile == profile:
                del self.flights[place]
        return self.cache.clear(profile)

    def _hit(self, call: Call, decision: Decision, digest: bytes, found: Found) -> tuple[Reply, bytes]:
        given = Given(self._path, call, "cached")
        given.target = found.target
        recording = Recording.kept(found.data, is_events=found.is_events)
        recording.spoil = partial(self.cache.drop, decision.profile, digest)
        share = Share(recording, call.id, given)
        head = self._head(call, found.head, HIT, decision)
        return share, b"%bage: %d\r\n%b" % (head, found.age_s, given.head())

    async def _joined(self, call: Call, decision: Decision, flight: Flight) -> tuple[Reply, bytes]:
        given = Given(self._path, call, "joined")
        share = Share(flight.recording, call.id, given, flight.left)
        try:
            await flight.aboard(share, call)
        except NothingNow:
            given.withdraw()
            raise
        given.target = flight.held.target if flight.held is not None else None
        return share, self._head(call, flight.head, JOINED, decision) + given.head()

    def _begun(self, call: Call, decision: Decision, caching: Caching, place: Place) -> Flight:
        emptied = self.cache.emptied

        def landed(flight: Flight) -> None:
            if self.flights.get(place) is flight:
                del self.flights[place]
            if flight.is_misshapen:
                self.cache.drop(decision.profile, place[0])
            elif emptied == self.cache.emptied:
                self._keep(flight, place[0], caching)

        flight = Flight(self._path, call, decision, landed)
        self.flights[place] = flight
        return flight

    def _keep(self, flight: Flight, digest: bytes, caching: Caching) -> None:
        """Only what is whole, and came from no further than the calls that it will be given to may go."""
        recording, decision = flight.recording, flight.decision
        target = flight.held.target if flight.held is not None else None
        is_well = recording.is_done and recording.broken is None and not recording.is_too_long
        is_well = is_well and flight.noted is not None and flight.noted.outcome == "ok"
        is_well = is_well and (not recording.is_whole or has_shape(flight.call.dialect.ability, recording.data))
        if not is_well or target is None or not decision.allowed.permits(target.boundary):
            return
        self.cache.keep(
            decision.profile, digest, caching, recording.data, target, is_events=not recording.is_whole,
            head=flight.head,
        )  # fmt: skip
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep) if self.cache.sweep() else None

    def _head(self, call: Call, lines: bytes, word: str, decision: Decision) -> bytes:
        self.cache.counts[decision.profile, word] += 1
        return b"x-request-id: %b\r\n%bx-ringfence-cache: %b\r\n" % (call.id.encode(), lines, word.encode())
