"""Those who ask: by their keys' profiles, in waves, some with text that must not travel, some who do not wait long.

Their calls take the gateway's own path (`Pipeline.complete`); only what lies beyond `Relay.open` is simulated.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Failure
from ringfence.core.identity import Key
from ringfence.core.route import Urgency
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.chat import DIALECT
from ringfence.gateway.pipeline import Pipeline
from ringfence.gateway.step import Run
from ringfence.simulation.checks import Checks
from ringfence.simulation.loop import VirtualLoop
from ringfence.simulation.record import Record
from ringfence.simulation.setting import Setting

TOPIC_S = 900.0
"""For about so long most of them want the same two models."""
LEAVES = 0.08
"""The share that does not wait for the end."""
URGENCIES, URGENT = tuple(Urgency), (6, 3, 3)
"""How many of each class there are."""
TELLING = 0.05
"""The share whose text holds what must not leave this machine."""
USAGE = Usage(40, 60)
PLAIN: list[dict[str, str]] = [{"role": "user", "content": "How long is the coast of New Zealand?"}]
SECRET: list[dict[str, str]] = [{"role": "user", "content": "Write to ada.lovelace@example.org about the coast."}]


@dataclass(frozen=True, slots=True)
class Caller:
    """A key, and how far its profile lets text travel."""

    key: Key
    reach: Boundary
    weight: float


class Callers:
    """`rate` is requests a second, on average."""

    def __init__(
        self, pipeline: Pipeline, callers: tuple[Caller, ...], setting: Setting, far: tuple[str, ...],
        loop: VirtualLoop, chance: Random, checks: Checks, record: Record, urgency: Random,
    ) -> None:  # fmt: skip
        self.rate = 0.0
        self.asked = 0
        self.runs: dict[str, Run] = {}
        self._pipeline = pipeline
        self._callers = callers
        self._weights = [caller.weight for caller in callers]
        self._names = [model.name for model in setting.models] + ["auto", *far]
        self._usual = [model.weight for model in setting.models] + [2.0] + [0.3] * len(far)
        self._now = self._usual
        self._loop = loop
        self._chance = chance
        self._urgency = urgency
        self._checks = checks
        self._record = record
        self._next: asyncio.TimerHandle | None = None

    def begin(self, rate: float) -> None:
        self.rate = rate
        self._turn_to()
        self._later()

    def end(self) -> None:
        """Nobody comes any more; who is here stays until answered."""
        self.rate = 0.0
        if self._next is not None:
            self._next.cancel()

    def crowd(self, size: int) -> None:
        """So many at once, all for one model."""
        name = self._chance.choice(self._names)
        for _ in range(size):
            self._ask(name)

    def _turn_to(self) -> None:
        """Others than before are in demand."""
        self._now = list(self._usual)
        for place in self._chance.sample(range(len(self._names)), 2):
            self._now[place] *= 8.0
        self._loop.call_later(self._chance.uniform(0.3, 1.7) * TOPIC_S, self._turn_to)

    def _later(self) -> None:
        self._next = self._loop.call_later(self._chance.expovariate(self.rate), self._come)

    def _come(self) -> None:
        if self.rate:
            self._ask(self._chance.choices(self._names, self._now)[0])
            self._later()

    def _ask(self, name: str) -> None:
        chance = self._chance
        caller = chance.choices(self._callers, self._weights)[0]
        tells = chance.random() < TELLING
        self.asked += 1
        body: dict[str, Any] = {"messages": SECRET if tells else PLAIN, "max_tokens": 200, "stream": True}
        call = Call(f"c{self.asked}", caller.key, DIALECT, name, body, 120, True, self._loop.time(), spoken="chat")
        call.urgency = self._urgency.choices(URGENCIES, URGENT)[0]
        self._checks.asked(call, Boundary.HOST if tells else caller.reach)
        run = self.runs[call.id] = Run(self._serve(call))
        if chance.random() < LEAVES:
            self._loop.call_later(chance.expovariate(1 / 8.0), run.cancel)
        run.step()

    async def _serve(self, call: Call) -> None:
        """As `Pipeline._serve`, with a caller who takes whatever comes."""
        pipeline = self._pipeline
        pipeline.running[call.id] = call
        outcome = "cut off"
        try:
            reply: Any
            reply, _head = await pipeline.complete(call)
            try:
                outcome = await reply.answering.rest or "ok"
                reply.held.finish(200, outcome, USAGE, self._loop.time())
            except BaseException:
                reply.answering.cancel()
                reply.held.finish(499, "client_gone", USAGE, self._loop.time())
                raise
        except Failure as failure:
            outcome = f"{failure.status} {failure.code}"
            pipeline.record(call, None, failure.status, failure.code or "error", None, 0.0)
            if not failure.message or failure.status == 500:
                self._record.broken("who is refused is told why", f"{call.id} {outcome}")
        except asyncio.CancelledError:
            outcome = "left"
            pipeline.record(call, None, 499, "client_gone", None, 0.0)
            raise
        except Exception as error:
            outcome = f"fault {error!r}"
            self._record.broken("nothing escapes", f"{call.id} {error!r}")
        finally:
            del self.runs[call.id]
            self._checks.answered(call, outcome)
