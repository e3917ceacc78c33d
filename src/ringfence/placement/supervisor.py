"""Keeps one engine process serving: starts it, watches it, brings it back, and gives up only on what cannot work."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe

from ringfence.core.catalog import Endpoint
from ringfence.core.errors import TargetFailed, TargetUnavailable
from ringfence.core.ports import Clock, Emit, Engine, Fetch, Offer
from ringfence.placement.events import InstanceDrained, InstanceFailed, InstanceReady, InstanceStarted, InstanceStopped
from ringfence.placement.examine import examine
from ringfence.placement.launch import Launch
from ringfence.placement.lifecycle import Backoff, Cause, Pace, State, after
from ringfence.placement.output import Output
from ringfence.placement.process import EngineProcess, NotStarted

FetchAt = Callable[[Endpoint], Fetch]
"""Binds the control requests of an engine to where it answers."""

HEALTH_PATH = "/health"
EXAMINE_EVERY_S = 0.1
# READY without an endpoint is one that just broke and is being taken down.
COMING = (State.STARTING, State.BACKING_OFF, State.READY)


class Supervisor:
    """One engine process as a state machine. Only its own task moves it, except into draining and stopped.

    `endpoint` is where it answers, and None whenever a new request should not be sent there.
    """

    def __init__(
        self,
        name: str,
        launch: Launch,
        adapter: Engine,
        fetch_at: FetchAt,
        emit: Emit,
        *,
        log_dir: Path | None = None,
        pace: Pace | None = None,
        clock: Clock = time.monotonic,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.launch = launch
        self.output = Output(log_dir / f"{name.replace('/', '_')}.log" if log_dir else None)
        self.state = State.STOPPED
        self.endpoint: Endpoint | None = None
        self.offers: tuple[Offer, ...] = ()
        self.reason = ""
        self.starts = 0
        self._adapter = adapter
        self._fetch_at = fetch_at
        self._emit = emit
        self._pace = pace or Pace()
        self._clock = clock
        self._sleep = sleep
        self._backoff = Backoff(self._pace, chance)
        self._since = clock()
        self._process: EngineProcess | None = None
        self._address: Endpoint | None = None
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._suspected = asyncio.Event()
        self._stopping = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def port(self) -> int | None:
        return self._address.port if self._address else None

    @property
    def since_s(self) -> float:
        """Seconds in the present state."""
        return self._clock() - self._since

    @property
    def restarts(self) -> int:
        return max(0, self.starts - 1)

    def start(self) -> None:
        """Begin; a second call changes nothing. Must be called on the loop of the main thread."""
        if self._task is None or self._task.done():
            self._stopping = False
            if self.state is not State.STOPPED:
                self._move(Cause.STOPPED)
            self._move(Cause.BEGUN)
            self._task = asyncio.create_task(self._run(), name=f"supervise {self.name}")

    async def wait_ready(self, timeout_s: float) -> Endpoint:
        """Where it answers, at once or after loading. Raises TargetFailed('loading')."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.endpoint is None and self.state in COMING:
                    await self._moved.wait()
        if self.endpoint is not None:
            return self.endpoint
        raise TargetFailed(self.name, "loading", self._unavailable())

    def suspect(self) -> None:
        """A connection to it broke: look now, and more often until it is clear. One that is dying is asked no more."""
        if self._process is not None and self._process.is_ending:
            self.endpoint = None
        self._suspected.set()

    def drain(self) -> None:
        """No new request; the process goes on with those it has, and is not started again when it ends."""
        if self.state is not State.DRAINING:
            self.endpoint = None
            self._move(Cause.DRAIN)

    def drained(self, left: int) -> None:
        """Tell that waiting for requests is over; `left` are still running."""
        self._emit(InstanceDrained(self.name, left))

    async def stop(self) -> None:
        """SIGTERM, SIGKILL to the group after the grace; returns when no process is left."""
        self._stopping = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._take_down()  # again: the cancellation may have come while it was at it
        if self.state is not State.STOPPED:
            self._move(Cause.STOPPED)
            self._emit(InstanceStopped(self.name))

    @property
    def _is_draining(self) -> bool:
        return self.state is State.DRAINING

    # -- the only writer ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._is_draining:
            reason, healthy_s = await self._live_once()
            if self._is_draining:
                return
            delay_s, is_final = self._backoff.broke(reason, healthy_s)
            self.reason = reason
            self._move(Cause.GAVE_UP if is_final else Cause.BROKE)
            self._emit(InstanceFailed(self.name, reason, delay_s, is_final))
            await self._sleep(delay_s)
            if not self._is_draining:
                self._move(Cause.BEGUN)

    async def _live_once(self) -> tuple[str, float | None]:
        """(why it ended, for how many seconds it was ready or None)."""
        self.starts += 1
        begun, ready = self._clock(), None
        try:
            limit_s = self._pace.start_timeout_s(self.launch.model_bytes)
            try:
                async with asyncio.timeout(limit_s):
                    process, endpoint = await self._bring_up()
            except TimeoutError:
                return f"it was not ready within {limit_s:.0f} s", None
            except NotStarted as error:
                return str(error), None
            ready = self._clock()
            self._serve(process, endpoint, ready - begun)
            return await self._until_broken(process, endpoint), self._clock() - ready
        except Exception as error:  # a fault of ours, or of an emit, must not end the watch
            return f"the supervisor met {type(error).__name__}", None
        finally:
            await self._take_down()

    async def _bring_up(self) -> tuple[EngineProcess, Endpoint]:
        process = await EngineProcess.start(self.launch, token_urlsafe(32), self.output)
        self._process = process
        self._emit(InstanceStarted(self.name, process.pid, self.starts))
        endpoint = await process.listening()
        offers = await self._first_offers(self._fetch_at(endpoint))
        known, quantisation = self.launch.abilities, self.launch.quantisation
        self.offers = tuple(
            replace(offer, abilities=known or offer.abilities, quantisation=quantisation, device=process.device)
            for offer in offers
        )
        return process, endpoint

    async def _first_offers(self, fetch: Fetch) -> tuple[Offer, ...]:
        while True:
            offers = await examine(self._adapter, fetch)
            if offers:
                return offers
            await asyncio.sleep(EXAMINE_EVERY_S)

    def _serve(self, process: EngineProcess, endpoint: Endpoint, took_s: float) -> None:
        self._suspected.clear()
        self._address = endpoint
        if self.state is State.STARTING:
            self.reason, self.endpoint = "", endpoint
            self._move(Cause.LISTENING)
        self._emit(InstanceReady(self.name, process.pid, endpoint.port, took_s))

    async def _until_broken(self, process: EngineProcess, endpoint: Endpoint) -> str:
        ended = asyncio.create_task(process.ended())
        hung = asyncio.create_task(self._until_hung(endpoint))
        try:
            await asyncio.wait((ended, hung), return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended.done() else hung.result()
        finally:
            ended.cancel()
            hung.cancel()

    async def _until_hung(self, endpoint: Endpoint) -> str:
        fetch, misses, pace = self._fetch_at(endpoint), 0, self._pace
        is_suspect = False
        while misses < pace.health_misses:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace.suspect_every_s if is_suspect else pace.health_every_s):
                    await self._suspected.wait()
                    self._suspected.clear()
                    is_suspect = True
            misses = 0 if await self._is_healthy(fetch) else misses + 1
            is_suspect = is_suspect and misses > 0
        return f"it did not answer {misses} health checks in a row"

    async def _is_healthy(self, fetch: Fetch) -> bool:
        try:
            async with asyncio.timeout(self._pace.health_timeout_s):
                return (await fetch(HEALTH_PATH)).status == 200
        except TimeoutError:
            return False

    async def _take_down(self) -> None:
        self.endpoint = self._address = None
        process = self._process
        if process is not None:
            await process.end(self._pace.stop_grace_s if self._stopping else 0.0)
            self._process = None

    def _move(self, cause: Cause) -> None:
        self.state = after(self.state, cause)
        self._since = self._clock()
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _unavailable(self) -> TargetUnavailable:
        if self.state in COMING:
            return TargetUnavailable("The model is still loading; try again shortly.", retry_after_s=2.0)
        if self.state is State.FAILED:
            return TargetUnavailable("The engine of this model does not start; `ringfence status` tells why.")
        return TargetUnavailable("The engine of this model is being stopped.", retry_after_s=5.0)
