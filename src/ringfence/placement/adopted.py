"""An engine that somebody else runs: asked now and then whether it is there, and what it has."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from ringfence.core.catalog import Endpoint
from ringfence.core.errors import TargetFailed, TargetUnavailable
from ringfence.core.ports import Ask, Clock, Emit, Engine, Fetch, Fetched, Offer
from ringfence.placement.bell import Bell
from ringfence.placement.events import InstanceFailed, InstanceQuarantined, InstanceReady, OffersChanged
from ringfence.placement.examine import examine
from ringfence.placement.lifecycle import State
from ringfence.placement.watch import one_token
from ringfence.placement.windows import Windows

FetchAt = Callable[[Endpoint], Fetch]
ALIVE_TIMEOUT_S = 2.0
TOKEN_TIMEOUT_S = 8.0


class Adopted:
    """`endpoint` is None while it does not answer; `offers` is what it said last.

    It is asked for life every `probe_every_s`, and for its models every `examine_every_s`, when it comes back and when
    its sign of life is another than before; with `others`, also as they would ask.
    `absent` is what to say when nothing answers. With `ask`, one that has a single model is to make a token where its
    answers are doubted, and serves nobody before. Of several models one may be broken alone, and asking for a token of
    another could have it loaded.
    """

    def __init__(
        self,
        name: str,
        adapter: Engine,
        at: Endpoint,
        fetch_at: FetchAt,
        emit: Emit,
        *,
        offers: tuple[Offer, ...] = (),
        others: Sequence[Engine] = (),
        absent: str = "",
        ask: Ask | None = None,
        probe_every_s: float = 5.0,
        examine_every_s: float = 60.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = name
        self.engine = adapter.kind
        self.at = at
        self.offers = offers
        self.away = models_away(offers)
        """Models whose text it would send on, by its own names. Nothing is leased for them, however they were taken for
        ones that stay: what calls may choose from follows a moment later."""
        self.state = State.READY if offers else State.STARTING
        self.endpoint: Endpoint | None = at if offers else None
        self.reason = ""
        self._adapter = adapter
        self._others = others
        self._absent = absent or f"nothing answers as {adapter.title} at {at.url}"
        self._fetch = fetch_at(at)
        self._ask = ask
        self._is_doubted = False
        self._emit = emit
        self._probe_every_s = probe_every_s
        self._examine_every_s = examine_every_s
        self._clock = clock
        self._since = clock()
        self._examined = clock() if offers else None
        self._mark: Any = None
        self._windows = Windows()
        self._windows.settled(offers)
        self._is_suspect = False
        self._look = Bell()
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def since_s(self) -> float:
        """Seconds in the present state."""
        return self._clock() - self._since

    def start(self) -> None:
        """Begin to watch; a second call changes nothing."""
        if self._task is None or self._task.done():
            if self.state is State.STOPPED:
                self._enter(State.STARTING)
            self._task = asyncio.create_task(self._run(), name=f"watch {self.name}")

    async def wait_ready(self, timeout_s: float) -> Endpoint:
        """Looks at once when it was away. Raises TargetFailed('connect')."""
        if self.endpoint is None and self._task is not None and self.state is not State.DRAINING:
            looked = self._looked
            self._look.ring()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(looked.wait(), timeout_s)
        if self.endpoint is not None:
            return self.endpoint
        words = "The engine of this model does not serve now; `ringfence status` says why."
        failure = TargetUnavailable(words, retry_after_s=self._probe_every_s)
        raise TargetFailed(self.name, "connect", failure)

    def correct(self, engine_model: str, window: int) -> bool:
        """The engine itself says, in refusing a request, that a model has this window. True where that is news."""
        corrected = self._windows.correct(self.offers, engine_model, window)
        is_news = corrected != self.offers
        if is_news:
            self._offer(corrected)
            self._examined = None  # all of it is asked again, and soon: it may have been started anew
            self._look.ring()
        return is_news

    def suspect(self) -> None:
        """A connection to it broke: look now, and ask for everything before it serves again. Another engine may
        have taken its place, or the same with other settings, faster than it could be missed."""
        self._examined, self.endpoint, self._is_suspect = None, None, True
        self._windows = Windows()
        self._look.ring()

    def doubt(self) -> None:
        """Several answers in a row could not be used. No new request until it has made a token, where it can be asked
        for one; else it is examined anew."""
        if self._ask is None or len(self.offers) != 1:
            self._examined = None
            self._look.ring()
            return
        if self.endpoint is not None:
            self.reason = "its answers cannot be used"
            self._emit(InstanceQuarantined(self.name, self.reason))
        self._is_doubted = True
        self.suspect()

    def drain(self) -> None:
        """No new request and no further look; the engine itself is not ours to stop."""
        self.endpoint = None
        self._enter(State.DRAINING)
        if self._task is not None:
            self._task.cancel()  # another fence may be in force, beyond which it lies
        self._looked.set()

    async def stop(self) -> None:
        """Stop watching."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.endpoint = None
        self._enter(State.STOPPED)

    async def _run(self) -> None:
        while self.state is not State.DRAINING:
            self._is_suspect = False
            await self._probe()
            if self._is_suspect:  # what it said may be from before the connection broke
                continue
            looked, self._looked = self._looked, asyncio.Event()
            looked.set()
            await self._look.wait(self._probe_every_s)
            self._look.still()

    async def _probe(self) -> None:
        now = self._clock()
        is_due = self._examined is None or now - self._examined >= self._examine_every_s
        if self.state is not State.READY or is_due or await self._is_another(now):
            offers = await examine(self._adapter, self._fetch, self.at, self._others)
            wrong = await self._is_wrong(offers)
            if wrong:
                self._away(wrong)
            else:
                self._found(offers, now)

    async def _is_wrong(self, offers: tuple[Offer, ...] | None) -> str:
        """What is wrong with the answers of one that is doubted; empty when nothing is. Silence is no proof: it may be
        busy for others."""
        if self._is_doubted and self._ask is not None and offers:
            wrong = await one_token(self._ask, offers[0], TOKEN_TIMEOUT_S)
            if wrong is not None and not wrong.is_silent:
                return wrong.reason
        if offers is not None:
            self._is_doubted = False
        return ""

    def _found(self, offers: tuple[Offer, ...] | None, now: float) -> None:
        if self.state is State.DRAINING or self._is_suspect:
            return
        if offers is None:
            self._away(self._absent)
            return
        self._examined, self.endpoint, self.reason = now, self.at, ""
        if self.state is not State.READY:
            self._enter(State.READY)
            self._emit(InstanceReady(self.name, None, self.at.port, 0.0))
        self._offer(self._windows.settled(offers))

    def _away(self, reason: str) -> None:
        if self.state is State.DRAINING or self._is_suspect:
            return
        self._examined, self.endpoint, self._mark = None, None, None
        self._windows = Windows()
        if self.state is not State.FAILED:
            self.reason = reason
            self._enter(State.FAILED)
            self._emit(InstanceFailed(self.name, reason, self._probe_every_s))

    def _offer(self, offers: tuple[Offer, ...]) -> None:
        if offers != self.offers:
            self.offers = offers
            self.away = models_away(offers)
            self._emit(OffersChanged(self.name, tuple(offer.engine_model for offer in offers)))

    async def _is_another(self, now: float) -> bool:
        """Asks for a sign of life. True where it is another than before; without one it is away."""
        told: Fetched | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ALIVE_TIMEOUT_S):
                told = await self._fetch(self._adapter.alive_path)
        if told is None or told.status != 200:
            self._found(None, now)
            return False
        mark, self._mark = self._mark, self._mark_of(told.body)
        return mark != self._mark

    def _mark_of(self, body: Any) -> Any:
        try:
            return self._adapter.mark(body)
        except Exception:  # adapters come from outside packages too, and engines answer anything
            return None

    def _enter(self, state: State) -> None:
        self.state = state
        self._since = self._clock()


def models_away(offers: tuple[Offer, ...]) -> frozenset[str]:
    """Those of them that an engine would itself send away."""
    return frozenset(offer.engine_model for offer in offers if offer.reaches_cloud)
