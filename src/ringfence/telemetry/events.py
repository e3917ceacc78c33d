"""What happened, in past tense, for whoever watches: the console, the log, tests. Never any text of a request."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from ringfence.core.identity import Key
from ringfence.core.ledger import Paid
from ringfence.core.usage import Usage

KEPT = 512
FLUSH_S = 0.02
"""Rows of the ledger wait for it: with the time that writing takes, what is lost by a crash is less than 50 ms."""
log = logging.getLogger("ringfence.events")
SLICE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """What many calls have in common: who asked for what, where it went, how it ended. Calls of one kind share one
    object, so that whoever counts them finds its place by identity. `outcome` is a metric label."""

    key: Key
    dialect: str
    model: str
    target: str
    rule: str
    status: int
    outcome: str
    stream: bool
    profile: str = ""
    agent: str = ""
    provider: str = ""


class Fitting(NamedTuple):
    """What was done so that a request fits its target's window: numbers, never any text.

    `state` is fit, clamped, compressed or truncated. Tokens: of the prompt before and after, both 0 where nothing of it
    was given up; of the output as it was asked for (None: it was not) and as it was sent. `dropped` messages were left
    out, `shortened` texts shortened, by kind.
    """

    state: str
    before: int = 0
    after: int = 0
    dropped: int = 0
    shortened: Mapping[str, int] = MappingProxyType({})
    asked: int | None = None
    output: int | None = None


FITS = Fitting("fit")
"""Nothing had to be done, as with most."""


class Answered(NamedTuple):
    """One call ended at `at_s` (Unix time). `usage` None when nothing was generated, `fitting` None where it came to no
    target.

    A tuple because one is made for every call: a frozen dataclass would cost four times as much.
    """

    call_id: str
    at_s: float
    kind: Kind
    first_byte_s: float
    total_s: float
    usage: Usage | None
    fitting: Fitting | None = None
    paid: Paid | None = None


Said = tuple[str, float, Kind, float, float, Usage | None, Fitting | None, Paid | None]
answered: Callable[[Said], Answered] = partial(tuple.__new__, Answered)
"""As `Answered(...)`, but for the Python function that a named tuple puts in between."""


@dataclass(frozen=True, slots=True)
class Retried:
    """A target failed before the first byte and the walk went on."""

    call_id: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class Escalated:
    """The answer of one model of a chain would not do, or there was none: the next is asked. `why` is the check that
    it failed, or the code of its failure; it is a metric label."""

    call_id: str
    chain: str
    model: str
    why: str


@dataclass(frozen=True, slots=True)
class TargetSetAside:
    """A target failed too often, for the last time for `reason`: calls go elsewhere, and after `for_s` one tries it."""

    target: str
    reason: str
    for_s: float


@dataclass(frozen=True, slots=True)
class TargetReturned:
    """One that was set aside answers again."""

    target: str
    after_s: float


@dataclass(frozen=True, slots=True)
class CountGap:
    """What an engine reported of a prompt is far from what was counted before: `side` is 'above' (more than counted) or
    'below' (it may have cut the prompt), `by` who counted: engine, tokenizer, bound or ratio. Tokens; `counted` 0 when
    nobody did."""

    call_id: str
    target: str
    counted: int
    reported: int
    by: str
    side: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that never became a call. `code` is one of core.errors."""

    status: int
    code: str
    dialect: str


@dataclass(frozen=True, slots=True)
class CallParked:
    """A call waits for a target within its boundary. `urgency` is user, agent or background."""

    urgency: str
    ticketed: bool


@dataclass(frozen=True, slots=True)
class ParkedEnded:
    """It waits no more: done, failed, expired, cancelled or unreadable."""

    state: str
    waited_s: float


@dataclass(frozen=True, slots=True)
class BatchLineEnded:
    """A line of a batch: completed, failed, expired or cancelled."""

    outcome: str


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """A batch: completed, failed, expired or cancelled, with so many lines that were answered and that were not."""

    state: str
    completed: int
    failed: int
    took_s: float


@dataclass(frozen=True, slots=True)
class BudgetSoftReached:
    """The soft limit of a cap, for the first time in its period: what is free goes first from now on. `scope` is house,
    profile, key or provider, `period` day, week or month; micro-dollars."""

    scope: str
    name: str
    period: str
    limit: int
    spent: int


@dataclass(frozen=True, slots=True)
class BudgetOverrun:
    """At the pace up to now, `projected` will have been spent when the period ends: more than 20 % above the cap."""

    scope: str
    name: str
    period: str
    limit: int
    spent: int
    projected: int


@dataclass(frozen=True, slots=True)
class CostAboveHeld:
    """A provider says that a call has cost more than it could have: its price is not what is configured."""

    provider: str
    target: str
    held: int
    cost: int


@dataclass(frozen=True, slots=True)
class Reloaded:
    changes: int


Listener = Callable[[Any], None]


class Events:
    """Collects events as they happen and tells the listeners a moment later, in slices, off the path of any call."""

    def __init__(
        self,
        listeners: tuple[Listener, ...] = (),
        after_slice: tuple[Callable[[], None], ...] = (),
        by_type: Mapping[type, tuple[Listener, ...]] | None = None,
    ) -> None:
        """`listeners` hear everything, those `by_type` only events of just that type."""
        self.recent: deque[object] = deque(maxlen=KEPT)
        self._to_all = listeners
        self._listeners = {kind: listeners + more for kind, more in (by_type or {}).items()}
        self._after_slice = after_slice
        self._pending: deque[object] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: set[asyncio.Queue[object]] = set()

    def emit(self, event: object) -> None:
        self._pending.append(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def flush(self) -> None:
        """Tell the listeners everything now: before a scrape, a status page, the end."""
        while self._pending:
            self._pass_on(len(self._pending))
        self._settle()

    def _settle(self) -> None:
        """One that fails must not end the telling of events for all."""
        for settle in self._after_slice:
            try:
                settle()
            except Exception:
                log.exception("%r failed after a slice of events", settle)

    def _flush(self) -> None:
        self._pass_on(min(SLICE, len(self._pending)))
        self._settle()
        more = bool(self._pending)
        self._timer = asyncio.get_running_loop().call_later(0 if more else FLUSH_S, self._flush) if more else None

    def _pass_on(self, count: int) -> None:
        """So many of those that are pending: all in one function, as there is one for every call."""
        take, keep, listeners, to_all = self._pending.popleft, self.recent.append, self._listeners.get, self._to_all
        for _ in range(count):
            event = take()
            keep(event)
            for listener in listeners(type(event), to_all):
                try:
                    listener(event)
                except Exception:  # one that fails must not keep the others, or the next events, from being told
                    log.exception("a listener failed on %s", type(event).__name__)
            for watcher in self._watchers:
                if not watcher.full():
                    watcher.put_nowait(event)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[asyncio.Queue[object]]:
        """A queue of events from now on; a watcher that does not keep up misses some."""
        queue: asyncio.Queue[object] = asyncio.Queue(KEPT)
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)
