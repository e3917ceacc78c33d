"""Keeps one engine process serving: starts it, watches it, brings it back, and gives up only on what cannot work.

All time that passes is that of the loop, or of the clock that is handed in, and the process is made by `start_process`:
with both simulated, so is all of this.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Protocol, TypeVar

from ringfence.core.catalog import Endpoint
from ringfence.core.errors import TargetFailed, TargetUnavailable
from ringfence.core.ports import Ask, Clock, Emit, Engine, Fetch, Offer
from ringfence.placement.events import (
    InstanceDrained,
    InstanceFailed,
    InstanceQuarantined,
    InstanceReady,
    InstanceStarted,
    InstanceStopped,
)
from ringfence.placement.examine import examine
from ringfence.placement.launch import Launch
from ringfence.placement.lifecycle import Backoff, Cause, ImpossibleMove, Pace, State, after
from ringfence.placement.output import Output
from ringfence.placement.process import EngineProcess, Life, NotStarted, StartProcess
from ringfence.placement.watch import Watch

T = TypeVar("T")
FetchAt = Callable[[Endpoint], Fetch]
"""Binds the control requests of an engine to where it answers."""
AskAt = Callable[[Endpoint], Ask]
"""The same for requests with a body; they hold no text of a call, and may take as long as falling asleep does."""

EXAMINE_EVERY_S = 0.1
# READY without an endpoint is one that just broke and is being taken down.
COMING = (State.STARTING, State.BACKING_OFF, State.READY)
SHOWN_CHARS = 40


class Controls(Protocol):
    """How an engine that can sleep is told to: its weights go where they can be had back from soon."""

    async def sleep(self, ask: Ask, level: int = 1) -> bool: ...

    async def wake(self, ask: Ask) -> bool: ...

    async def is_asleep(self, fetch: Fetch) -> bool | None:
        """None where it does not tell."""
        ...


def _nothing() -> None:
    """Nobody wants to know."""


class Supervisor:
    """One engine process as a state machine. Its own task moves it, except where it is told to drain, to sleep, to
    wake, to stop, or that it failed.

    `endpoint` is where it answers, and None whenever a new request should not be sent there. `on_moved` is called on
    every change of state; it must return at once. `waits_in` are the states in which a caller may hope.
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
        start_process: StartProcess = EngineProcess.start,
        controls: Controls | None = None,
        ask_at: AskAt | None = None,
        on_moved: Callable[[], None] = _nothing,
    ) -> None:
        self.name = name
        self.output = Output(log_dir / f"{name.replace('/', '_')}.log" if log_dir else None)
        self.state = State.STOPPED
        self.endpoint: Endpoint | None = None
        self.offers: tuple[Offer, ...] = ()
        self.away: frozenset[str] = frozenset()
        """As `Adopted.away`: an engine that we started sends nothing on."""
        self.reason = ""
        self.starts = 0
        self.restarts = 0
        self.on_moved = on_moved
        self.waits_in: tuple[State, ...] = COMING
        self._launch = launch
        self._adapter = adapter
        self._fetch_at = fetch_at
        self._ask_at = ask_at
        self._controls = controls
        self._start_process = start_process
        self._emit = emit
        self._pace = pace or Pace()
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._backoff = Backoff(self._pace, chance)
        self._since = clock()
        self._process: Life | None = None
        self._ending: asyncio.Future[None] | None = None
        self._address: Endpoint | None = None
        self._task: asyncio.Task[None] | None = None
        self._change: asyncio.Task[bool] | None = None
        self._patience: asyncio.Timeout | None = None
        self._moved = asyncio.Event()
        self._watch: Watch | None = None
        self._said_before = 0
        self._grace_s = 0.0

    @property
    def launch(self) -> Launch:
        """How it is started; another is taken only while it is stopped."""
        return self._launch

    @launch.setter
    def launch(self, launch: Launch) -> None:
        if self.state is not State.STOPPED:
            raise RuntimeError(f"an instance that is {self.state} cannot be set up otherwise")
        self._launch = launch

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
    def can_sleep(self) -> bool:
        return self._launch.sleeps and self._controls is not None and self._ask_at is not None

    # -- what it is told ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; a second call changes nothing. ImpossibleMove while it is being stopped."""
        if self._change is not None:
            raise ImpossibleMove(f"an instance that is {self.state} is not at its end yet")
        if self._task is not None and not self._task.done():
            return
        if self.state is not State.STOPPED:
            self._move(Cause.STOPPED)
        self._grace_s, self.starts, self.reason = 0.0, 0, ""
        self._backoff = Backoff(self._pace, self._chance)
        self._move(Cause.BEGUN)
        self._task = asyncio.create_task(self._run(), name=f"supervise {self.name}")

    async def wait_ready(self, timeout_s: float) -> Endpoint:
        """Where it answers, at once or after loading. Raises TargetFailed('loading')."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.endpoint is None and self.state in self.waits_in:
                    await self._moved.wait()
        if self.endpoint is not None:
            return self.endpoint
        raise TargetFailed(self.name, "loading", self._unavailable())

    def suspect(self) -> None:
        """A connection to it broke: look now, and more often until it is clear. One that is dying is asked no more."""
        if self._process is not None and self._process.is_ending:
            self.endpoint = None
        if self._watch is not None:
            self._watch.suspect()

    def doubt(self) -> None:
        """Several answers in a row could not be used: it is to make a token, and is restarted where it cannot."""
        if self._watch is not None:
            self._watch.doubt()

    def quarantine(self, reason: str) -> None:
        """No new request until it has made a token; where it cannot it is restarted."""
        if self._watch is not None and self.state is State.READY:
            self._hold(reason)
            self._watch.doubt()

    def drain(self) -> None:
        """No new request; the process goes on with those it has, and is not started again when it ends."""
        if self.state not in (State.DRAINING, State.STOPPING):
            self.endpoint = None
            self._move(Cause.DRAIN)

    def drained(self, left: int) -> None:
        """Tell that waiting for requests is over; `left` are still running."""
        self._emit(InstanceDrained(self.name, left))

    async def sleep(self, level: int = 1) -> bool:
        """From ready or drained: returns when it is asleep. False where it would not, and was stopped instead: what
        was told to leave leaves. ImpossibleMove from any other state."""
        if self.state is State.SLEEPING:
            return True
        if self._change is None:
            self.endpoint = None
            self._move(Cause.SLEEP)
            self._change = asyncio.create_task(self._fall_asleep(level), name=f"put {self.name} to sleep")
        return await asyncio.shield(self._change)

    def wake(self) -> None:
        """From sleep: it is starting from now on, and a second call changes nothing. ImpossibleMove from others."""
        if self.state is not State.STARTING:
            self._move(Cause.WAKE)

    def fail(self, reason: str) -> None:
        """It cannot work where it is, for a reason that is seen from outside: its device is lost. No new request from
        now on, its process is ended, and only `start` starts it again."""
        if self.state in (State.STOPPED, State.STOPPING) or self._change is not None or self._task is None:
            return
        self.endpoint, self.reason = None, reason
        self._move(Cause.FAILED)
        self._emit(InstanceFailed(self.name, reason, 0.0, gave_up=True))
        self._change = asyncio.create_task(self._end(None), name=f"end {self.name}")

    async def stop(self) -> None:
        """SIGTERM, SIGKILL to the group after the grace; returns when no process is left."""
        self._grace_s = self._pace.stop_grace_s
        while self.state is not State.STOPPED or self._change is not None:
            if self._change is None:
                self.endpoint = None
                if self.state is not State.STOPPING:
                    self._move(Cause.STOP)
                self._change = asyncio.create_task(self._end(Cause.STOPPED), name=f"stop {self.name}")
            elif self._patience is not None:  # it is falling asleep
                self._patience.reschedule(0.0)
            await asyncio.shield(self._change)

    async def _end(self, cause: Cause | None) -> bool:
        """The end of its task and its process; `cause` moves it then."""
        try:
            task, self._task = self._task, None
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await self._take_down()  # again: the cancellation may have come while it was at it
        finally:
            self._change = None
        if cause is not None:
            self._move(cause)
            self._emit(InstanceStopped(self.name))
        else:
            self._tell()
        return False

    async def _fall_asleep(self, level: int) -> bool:
        self._patience = asyncio.timeout(self._pace.sleep_timeout_s)
        is_asleep = False
        try:
            async with self._patience:
                is_asleep = await self._told_to_sleep(level)
        except Exception as error:  # adapters come from outside packages too, and engines answer anything
            self.reason = f"it did not fall asleep ({type(error).__name__})"
        self._patience = None
        if not is_asleep:
            return await self._end(Cause.STOPPED)
        self._change = None
        self._move(Cause.ASLEEP)
        return True

    async def _told_to_sleep(self, level: int) -> bool:
        at, controls, ask_at = self._address, self._controls, self._ask_at
        if controls is None or ask_at is None or at is None:
            return False
        if not await controls.sleep(ask_at(at), level):
            return False
        fetch = self._fetch_at(at)
        while self._process is not None:
            if await controls.is_asleep(fetch):
                return True
            await asyncio.sleep(EXAMINE_EVERY_S)
        return False

    # -- its own task ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            reason, healthy_s = await self._live_once()
            if self.state is State.SLEEPING:  # nobody misses it: who wants it again has it loaded
                self.reason = reason
                self._move(Cause.STOPPED)
                self._emit(InstanceFailed(self.name, reason, 0.0, gave_up=True))
            if self.state not in (State.STARTING, State.READY):
                return
            delay_s, is_final = self._backoff.broke(reason, healthy_s)
            self.reason = reason if healthy_s is not None else self._set_up_otherwise(reason)
            self._move(Cause.GAVE_UP if is_final else Cause.BROKE)
            self._emit(InstanceFailed(self.name, self.reason, delay_s, is_final))
            await self._sleep(delay_s)
            if self.state not in (State.BACKING_OFF, State.FAILED):
                return
            self.restarts += 1
            self._move(Cause.BEGUN)

    def _set_up_otherwise(self, reason: str) -> str:
        """Takes another launch for the next try, where how this one failed tells of one; why it failed, and that."""
        old, new = self._launch, None
        with contextlib.suppress(Exception):  # it reads what an engine wrote, which is anything
            new = old.retry(self.output.since(self._said_before))
        if new is None:
            return reason
        self._launch = new
        return f"{reason}; it is tried again with {_otherwise(old, new)}"

    async def _live_once(self) -> tuple[str, float | None]:
        """(why it ended, for how many seconds it was ready or None)."""
        self.starts += 1
        self._said_before = self.output.count
        begun, ready = self._clock(), None
        try:
            limit_s = self._pace.start_timeout_s(self._launch.model_bytes) + self._launch.start_s
            try:
                async with asyncio.timeout(limit_s):
                    process, endpoint = await self._bring_up()
            except TimeoutError:
                return f"it was not ready within {limit_s:.0f} s", None
            except NotStarted as error:
                return str(error), None
            ready = self._clock()
            self._serve(process, endpoint, ready - begun)
            while (reason := await self._until_broken(process, endpoint)) is None:
                begun = self._clock()
                woke = await _or_its_end(process, self._wake_up(endpoint, limit_s))
                if woke is not True:
                    return woke or f"it did not wake up within {limit_s:.0f} s", self._clock() - ready
                self._serve(process, endpoint, self._clock() - begun)
            return reason, self._clock() - ready
        except Exception as error:  # a fault of ours, or of an emit, must not end the watch
            return f"the supervisor met {type(error).__name__}", None
        finally:
            await self._take_down()

    async def _bring_up(self) -> tuple[Life, Endpoint]:
        process = await self._start_process(self._launch, token_urlsafe(32), self.output)
        self._process = process
        self._emit(InstanceStarted(self.name, process.pid, self.starts))
        endpoint = await process.listening()
        offers = await _or_its_end(process, self._first_offers(self._fetch_at(endpoint)))
        if isinstance(offers, str):
            raise NotStarted(f"{offers} before it was ready")
        known, quantisation = self._launch.abilities, self._launch.quantisation
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

    async def _wake_up(self, endpoint: Endpoint, limit_s: float) -> bool:
        controls, ask_at = self._controls, self._ask_at
        assert controls is not None and ask_at is not None
        fetch = self._fetch_at(endpoint)
        with contextlib.suppress(Exception):  # as of any adapter; it is taken down then
            async with asyncio.timeout(limit_s):
                if not await controls.wake(ask_at(endpoint)):
                    return False
                while await controls.is_asleep(fetch) is not False:  # noqa: ASYNC110 (the engine tells no event)
                    await asyncio.sleep(EXAMINE_EVERY_S)
                await self._first_offers(fetch)
                return True
        return False

    def _serve(self, process: Life, endpoint: Endpoint, took_s: float) -> None:
        self._address = endpoint
        if self.state is State.STARTING:
            self.reason, self.endpoint = "", endpoint
            self._move(Cause.LISTENING)
        self._emit(InstanceReady(self.name, process.pid, endpoint.port, took_s))

    async def _until_broken(self, process: Life, endpoint: Endpoint) -> str | None:
        """Why it is to be taken down; None when it was asleep and is to wake up."""
        self._watch = Watch(
            self._pace, process, self._fetch_at(endpoint), self._ask_at(endpoint) if self._ask_at else None,
            lambda: self.offers, lambda: self.state, self._controls.is_asleep if self._controls else None,
            self._hold, self._clear,
        )  # fmt: skip
        try:
            return await _or_its_end(process, self._watch.until_broken())
        finally:
            self._watch = None

    def _hold(self, reason: str) -> None:
        if self.state is State.READY and (self.endpoint is not None or self.reason != reason):
            if self.endpoint is not None:
                self._emit(InstanceQuarantined(self.name, reason))
            self.endpoint, self.reason = None, reason
            self._tell()

    def _clear(self) -> None:
        """It serves as well as ever; one that is dying was closed for good."""
        if self.state is State.READY and self.endpoint is None and not (self._process and self._process.is_ending):
            self.endpoint, self.reason = self._address, ""
            self._tell()

    async def _take_down(self) -> None:
        self.endpoint = self._address = None
        process = self._process
        if process is None:
            return
        ending = self._ending = self._ending or asyncio.ensure_future(process.end(self._grace_s))
        done, _ = await asyncio.wait((ending,), timeout=self._grace_s + self._pace.killed_after_s)
        if not done:
            self.reason = "its process was killed and does not end: a device may need a reboot"
        await asyncio.shield(ending)
        self._process = self._ending = None

    def _move(self, cause: Cause) -> None:
        self.state = after(self.state, cause)
        self._since = self._clock()
        if self._watch is not None:
            self._watch.look.ring()
        self._tell()

    def _tell(self) -> None:
        """Wakes whoever waits for another state."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        self.on_moved()

    def _unavailable(self) -> TargetUnavailable:
        if self.state in COMING:
            return TargetUnavailable("The model is still loading; try again shortly.", retry_after_s=2.0)
        if self.state is State.FAILED:
            return TargetUnavailable("The engine of this model does not start; `ringfence status` tells why.")
        if self.state in (State.STOPPED, State.SLEEPING):
            return TargetUnavailable("The model is not loaded.", retry_after_s=5.0)
        return TargetUnavailable("The engine of this model is being stopped.", retry_after_s=5.0)


async def _or_its_end(process: Life, work: Coroutine[Any, Any, T]) -> T | str:
    """What `work` brings, or how the process ended before that: who asks a dead engine learns nothing of its end."""
    ended, done = asyncio.create_task(process.ended()), asyncio.create_task(work)
    try:
        await asyncio.wait((ended, done), return_when=asyncio.FIRST_COMPLETED)
        return ended.result() if ended.done() else done.result()
    finally:
        ended.cancel()
        done.cancel()
        await asyncio.gather(ended, done, return_exceptions=True)


def _otherwise(old: Launch, new: Launch) -> str:
    """What of `new` is not as in `old`, for people: settings by their names, then words of the command."""
    told = [
        f"{name} {value}"
        for name, value in new.spec.items()
        if isinstance(value, int | float | str) and old.spec.get(name) != value
    ]
    told += [word for word in new.command if word not in old.command]
    shown = ", ".join(word for word in told if len(word) <= SHOWN_CHARS)
    return shown or "other settings"
