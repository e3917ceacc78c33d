"""Which calls may think, and the reply to one that does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.core.errors import EngineFailed, Failure
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.cascade.given import Given
from ringfence.gateway.recording import Reply
from ringfence.gateway.reply import Answer, Finishing
from ringfence.gateway.request import Request
from ringfence.gateway.step import Run
from ringfence.gateway.thinking.bounds import Spent
from ringfence.gateway.thinking.telling import Telling
from ringfence.gateway.thinking.tool import can_take, free_name
from ringfence.gateway.thinking.train import Train
from ringfence.gateway.thinking.turn import Turn
from ringfence.gateway.tools import tool_names
from ringfence.signals.reading import first_answer

if TYPE_CHECKING:
    from ringfence.gateway.pipeline import Pipeline

log = logging.getLogger("ringfence.thinking")


class Thinking:
    """`money` tells what may still be spent for a call, in millionths of a dollar, before each thought; None: nothing
    limits it. What a thought may cost is for whoever lets its own call through."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.money: Callable[[Call], int | None] = lambda _call: None

    def spares(self, call: Call) -> str:
        """Why a call for this name is answered without the tool; empty for one that gets it."""
        bounds = self._pipeline.settings.thinking
        if bounds is None or call.dialect.ability is not Ability.CHAT:
            return "not a chat"
        if not can_take(call.body) or free_name(tool_names(call.body)) is None:
            return "its caller says how it is to be answered"
        reading = first_answer(self._pipeline.stages, Ability.CHAT, call.body)
        if reading.effort <= bounds.above_effort:
            return f"effort {reading.effort} is not > {bounds.above_effort}"
        return "no thoughts are allowed" if not bounds.thoughts else ""

    async def complete(self, call: Call) -> tuple[AnyReply, bytes]:
        """As `Pipeline.complete`: a stream has its first byte by then, any other answer is whole."""
        pipeline, bounds = self._pipeline, self._pipeline.settings.thinking
        if bounds is None or self.spares(call):
            return await pipeline.complete(call)
        decision = call.decision = pipeline.decided(call) or await pipeline.decided_in_turns(call)
        call.urgency = max(call.urgency, decision.priority)
        at_most = await self.reach(call)
        name = free_name(tool_names(call.body)) or ""
        train = Train(pipeline, call, Spent(bounds, lambda: self.money(call)), at_most, name)
        begun, head = await train.begin()
        first_at = monotonic()
        head = head.replace(b"%b.1\r\n" % call.id.encode(), b"%b\r\n" % call.id.encode(), 1)
        head += b"x-ringfence-thinking: %b\r\n" % at_most.name.encode()
        ending = Ending(pipeline, call)
        if call.stream:
            return Thought(train, begun, ending, first_at), head
        turn = await train.answer(begun)
        answer = Answer(_whole(train, turn), train.spent.usage, first_at)
        answer.held = ending
        return answer, head

    async def reach(self, call: Call) -> Boundary:
        """How far anything of a call may go: as far as its own text."""
        pipeline = self._pipeline
        if not pipeline.could_leave(call):
            return Boundary.HOST
        settings = pipeline.settings
        kept = await pipeline.tightest_in_turns(call, settings)
        return min(settings.profile_of(call).boundary, kept.reach)


class Ending:
    """Writes down how the whole of it ended. What it used stands with the calls that used it."""

    def __init__(self, pipeline: Pipeline, call: Call) -> None:
        self._pipeline = pipeline
        self._call = call

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        self._pipeline.record(self._call, None, status, outcome, None, first_at)


class Thought:
    """A streamed answer of several turns. Its caller hears each as it comes, and the thoughts between as reasoning."""

    def __init__(self, train: Train, begun: Reply, ending: Finishing, first_at: float) -> None:
        self._train = train
        self._begun = begun
        self._first_at = first_at
        self._out: Request
        self.held: Finishing = ending

    def send(self, out: Request, head: bytes) -> None:
        self._out = self._train.out = out
        run = Run(self._tell())
        out.on_gone = run.cancel
        if not out.is_gone:
            out.begin_events(head)
        run.step()

    async def _tell(self) -> None:
        """To its end, whatever that is; ends with the request."""
        out, train, outcome = self._out, self._train, "ok"
        broke: Failure | None = None
        telling = train.telling = Telling(out)
        try:
            turn = await train.answer(self._begun)
            if not (turn.text or turn.calls_tools) and train.conclusion:
                telling.say({}, {"content": train.conclusion})
            options: dict[str, Any] = train.call.body.get("stream_options") or {}
            telling.end(turn.finish_reason or "stop", train.spent.told() if options.get("include_usage") else None)
        except asyncio.CancelledError:
            self.held.finish(499, "client_gone", None, self._first_at)
            raise
        except Failure as failure:
            outcome, broke = failure.code or "error", failure
        except Exception:  # a fault of ours must not leave a stream without an end
            log.exception("call %s failed inside the gateway", train.call.id)
            outcome, broke = "internal_error", EngineFailed("The gateway failed on this request; its log says why.")
        self.held.finish(200, outcome, None, self._first_at)
        if broke is None:
            out.finish()
        else:
            out.break_off(broke, train.call.id)


AnyReply = Reply | Thought | Given


def _whole(train: Train, turn: Turn) -> bytes:
    """The last answer, with what all of it took. One that says nothing says what was thought."""
    fields = train.whole
    choice = fields["choices"][0]
    if not (turn.text or turn.calls_tools) and train.conclusion:
        choice["message"]["content"] = train.conclusion
    choice["finish_reason"] = turn.finish_reason or "stop"
    fields["usage"] = train.spent.told()
    return orjson.dumps(fields)
