"""Whether an engine that runs is well: looks at its health, and a token where its answers are doubted.

| seen | new requests | ended |
|---|---|---|
| a look without a good answer | none, until a look is good | after `health_misses` in a row |
| the same, and its processor time goes on | the same | after `busy_misses`: a machine that is only busy is waited for |
| answers that callers could not use, several in a row | go on | - |
| then a token that comes out wrong, or not at all | none, until one is good | after `bad_tokens` in a row |

A look that took longer than it could is one of ours that came too late, and says nothing of the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ringfence.core.catalog import Ability
from ringfence.core.ports import Ask, Fetch, Offer
from ringfence.placement.bell import Bell
from ringfence.placement.lifecycle import Pace, State

HEALTH_PATH = "/health"
LATE_S = 0.5
LATE_LOOKS = 5
"""In a row; later ones count."""
WORKING_SHARE = 0.01
"""Of one processor: one that is stopped or locked up has none, one that is only slow gets more than this."""


class Works(Protocol):
    """The process of an engine."""

    @property
    def cpu_s(self) -> float | None:
        """Processor seconds of it and all that it started; None where that cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Wrong:
    """What a look found. `is_silent`: nothing came in time, which may also be for want of processors."""

    reason: str
    is_silent: bool = False


SILENT = Wrong("it does not answer", is_silent=True)


@dataclass(slots=True)
class Watch:
    """One life of one engine. `held` and `cleared` are told that it is to be given no new request, and that it is
    again."""

    pace: Pace
    process: Works
    fetch: Fetch
    ask: Ask | None
    offers: Callable[[], tuple[Offer, ...]]
    state: Callable[[], State]
    is_asleep: Callable[[Fetch], Any] | None
    held: Callable[[str], None]
    cleared: Callable[[], None]
    is_suspect: bool = False
    is_doubted: bool = False
    look: Bell = field(default_factory=Bell)
    _usual: Any = None
    _misses: int = 0
    _late: int = 0
    _bad: int = 0
    _since: tuple[float, float] = (0.0, 0.0)

    def suspect(self) -> None:
        """Look now, and more often until it is clear."""
        self.is_suspect = True
        self.look.ring()

    def doubt(self) -> None:
        """Several of its answers could not be used: have it make a token."""
        self.is_doubted = True
        self.look.ring()

    async def until_broken(self) -> str | None:
        """Why it is to be taken down; None when it was asleep and is to wake up."""
        began = self._now()
        while True:
            await self._rest(began)
            began, state = self._now(), self.state()
            if state is State.STARTING:
                return None
            if state is State.STOPPING:  # it is falling asleep, which has a limit of its own
                continue
            wrong = await self._asleep() if state is State.SLEEPING else await self._healthy()
            if wrong is not None:
                if (wrong.is_silent and self._is_late(began)) or state is not self.state():
                    continue
                if self._missed(wrong):
                    return wrong.reason if not wrong.is_silent else f"it did not answer {self._misses} looks in a row"
                continue
            self._misses = self._late = 0
            self.is_suspect = False
            if self.is_doubted and state is State.READY and (wrong := await self._made_a_token()) is not None:
                self._bad += 1
                self.held(wrong.reason)
                if self._bad >= self.pace.bad_tokens:
                    return wrong.reason
                continue
            self._bad, self.is_doubted = 0, False
            self.cleared()

    async def _rest(self, began: float) -> None:
        """Until the next look: at once on a suspicion; after a miss not before its time, however many suspect it."""
        is_missing = self._misses > 0 or self._bad > 0
        state = self.state()
        until = began + (self.pace.suspect_every_s if is_missing or self.is_suspect else self.pace.health_every_s)
        while (left_s := until - self._now()) > 0 or not is_missing:
            await self.look.wait(max(left_s, 0.0))
            self.look.still()
            if not is_missing or state is not self.state():
                return

    def _is_late(self, began: float) -> bool:
        if self._now() - began <= self.pace.health_timeout_s + LATE_S or self._late >= LATE_LOOKS:
            return False
        self._late += 1
        return True

    def _missed(self, wrong: Wrong) -> bool:
        """True when it is enough."""
        self._misses += 1
        now, cpu_s = self._now(), self.process.cpu_s or 0.0
        if self._misses == 1:
            self._since = now, cpu_s
        works = cpu_s - self._since[1] > WORKING_SHARE * (now - self._since[0])
        limit = self.pace.busy_misses if wrong.is_silent and works else self.pace.health_misses
        if self._misses < limit:
            self.held(wrong.reason)
        return self._misses >= limit

    async def _healthy(self) -> Wrong | None:
        """Its health page answers, and in the form that it had at first."""
        try:
            async with asyncio.timeout(self.pace.health_timeout_s):
                told = await self.fetch(HEALTH_PATH)
        except Exception:  # what is handed in may raise anything; TimeoutError is the usual
            return SILENT
        if told.status == 0:
            return Wrong("its connections break")
        if told.status != 200:
            return Wrong(f"its health page answers {told.status}")
        if self._usual is None:
            self._usual = _form(told.body)
        return None if _form(told.body) == self._usual else Wrong("its health page is not what it was")

    async def _asleep(self) -> Wrong | None:
        """It says so: otherwise it may hold its memory again."""
        told: Any = None
        with contextlib.suppress(Exception):  # as above, and an adapter's
            async with asyncio.timeout(self.pace.health_timeout_s):
                told = await self.is_asleep(self.fetch) if self.is_asleep is not None else None
        if told is None:
            return SILENT
        return None if told else Wrong("it is awake, and was told to sleep")

    async def _made_a_token(self) -> Wrong | None:
        offer = next(iter(self.offers()), None)
        if self.ask is None or offer is None:
            return None
        began, cpu_s = self._now(), self.process.cpu_s or 0.0
        wrong = await one_token(self.ask, offer, self.pace.token_timeout_s)
        if wrong is not None and wrong.is_silent:
            works = (self.process.cpu_s or 0.0) - cpu_s > WORKING_SHARE * (self._now() - began)
            return None if works else Wrong("it makes no token")
        return wrong

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def one_token(ask: Ask, offer: Offer, timeout_s: float) -> Wrong | None:
    """Has it make one, of no text of anybody's. A refusal in good form is an answer: it works. So is "busy"."""
    if Ability.COMPLETIONS in offer.abilities:
        path, listed, asked = "/v1/completions", "choices", {"prompt": "a", "max_tokens": 1}
    elif Ability.CHAT in offer.abilities:
        message = {"role": "user", "content": "a"}
        path, listed, asked = "/v1/chat/completions", "choices", {"messages": [message], "max_tokens": 1}
    elif Ability.RERANK in offer.abilities:
        path, listed, asked = "/v1/rerank", "results", {"query": "a", "documents": ["a"]}
    else:
        path, listed, asked = "/v1/embeddings", "data", {"input": "a"}
    try:
        async with asyncio.timeout(timeout_s):
            told = await ask(path, {"model": offer.engine_model, **asked})
    except Exception:  # as above
        return SILENT
    body: dict[str, Any] | None = told.body if isinstance(told.body, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if told.status == 0:
        return Wrong("what it sends cannot be read")
    if told.status in (429, 503):
        return None
    if told.status >= 500:
        return Wrong(f"it answers {told.status} where it is asked for a token")
    is_made = body is not None and (told.status != 200 or bool(body.get(listed)))
    return None if is_made else Wrong("what it answers is no answer")


def _form(body: Any) -> Any:
    """What of a health page stays the same: an engine may put figures and times into it."""
    if not isinstance(body, dict):
        return type(body).__name__
    fields: dict[Any, Any] = body  # pyright: ignore[reportUnknownVariableType]
    return sorted(map(str, fields)), fields.get("status")
