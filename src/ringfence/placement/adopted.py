"""An engine that somebody else runs: asked now and then whether it is there, and what it has."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from ringfence.core.catalog import Endpoint
from ringfence.core.errors import TargetFailed, TargetUnavailable
from ringfence.core.ports import Clock, Emit, Engine, Fetch, Offer
from ringfence.placement.events import InstanceFailed, InstanceReady, OffersChanged
from ringfence.placement.examine import examine
from ringfence.placement.lifecycle import State

FetchAt = Callable[[Endpoint], Fetch]
ALIVE_PATH = "/v1/models"
ALIVE_TIMEOUT_S = 2.0


class Adopted:
    """`endpoint` is None while it does not answer; `offers` is what it said last.

    It is asked for life every `probe_every_s`, and for its models every `examine_every_s` and when it comes back; with
    `others`, also as they would ask.
    `absent` is what to say when nothing answers.
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
        alive_path: str = ALIVE_PATH,
        absent: str = "",
        probe_every_s: float = 5.0,
        examine_every_s: float = 60.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = name
        self.engine = adapter.kind
        self.at = at
        self.offers = offers
        self.state = State.READY if offers else State.STARTING
        self.endpoint: Endpoint | None = at if offers else None
        self.reason = ""
        self._adapter = adapter
        self._others = others
        self._alive_path = alive_path
        self._absent = absent or f"nothing answers as {adapter.title} at {at.url}"
        self._fetch = fetch_at(at)
        self._emit = emit
        self._probe_every_s = probe_every_s
        self._examine_every_s = examine_every_s
        self._clock = clock
        self._since = clock()
        self._examined = clock() if offers else None
        self._is_suspect = False
        self._look = asyncio.Event()
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
            self._look.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(looked.wait(), timeout_s)
        if self.endpoint is not None:
            return self.endpoint
        failure = TargetUnavailable("The engine of this model does not answer.", retry_after_s=self._probe_every_s)
        raise TargetFailed(self.name, "connect", failure)

    def suspect(self) -> None:
        """A connection to it broke: look now, and ask for everything before it serves again. Another engine may
        have taken its place, or the same with other settings, faster than it could be missed."""
        self._examined, self.endpoint, self._is_suspect = None, None, True
        self._look.set()

    def drain(self) -> None:
        """No new request; the engine itself is not ours to stop."""
        self.endpoint = None
        self._enter(State.DRAINING)

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
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), self._probe_every_s)
            self._look.clear()

    async def _probe(self) -> None:
        now = self._clock()
        is_due = self._examined is None or now - self._examined >= self._examine_every_s
        if self.state is not State.READY or is_due:
            self._found(await examine(self._adapter, self._fetch, self.at, self._others), now)
        elif not await self._is_alive():
            self._found(None, now)

    def _found(self, offers: tuple[Offer, ...] | None, now: float) -> None:
        if self.state is State.DRAINING or self._is_suspect:
            return
        if offers is None:
            self._examined, self.endpoint = None, None
            if self.state is not State.FAILED:
                self.reason = self._absent
                self._enter(State.FAILED)
                self._emit(InstanceFailed(self.name, self.reason, self._probe_every_s))
            return
        self._examined, self.endpoint, self.reason = now, self.at, ""
        if self.state is not State.READY:
            self._enter(State.READY)
            self._emit(InstanceReady(self.name, None, self.at.port, 0.0))
        if offers != self.offers:
            self.offers = offers
            self._emit(OffersChanged(self.name, tuple(offer.engine_model for offer in offers)))

    async def _is_alive(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ALIVE_TIMEOUT_S):
                return (await self._fetch(self._alive_path)).status == 200
        return False

    def _enter(self, state: State) -> None:
        self.state = state
        self._since = self._clock()
