"""One request and all that is asked for its sake: turns of the model that answers, and thoughts in between."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Failure
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.recording import Reply
from ringfence.gateway.request import Request
from ringfence.gateway.thinking.bounds import LEAST_TOKENS, Spent
from ringfence.gateway.thinking.ear import Ear
from ringfence.gateway.thinking.telling import Telling
from ringfence.gateway.thinking.tool import ENOUGH, NO_QUESTION, asks, offered, question_in, result, unavailable
from ringfence.gateway.thinking.turn import Called, Turn
from ringfence.gateway.within import Within

if TYPE_CHECKING:
    from ringfence.gateway.pipeline import Pipeline

BYTES_A_TOKEN = 4
ANSWERS = 0
"""The level of the model that answers; thoughts are above it."""


class Train:
    """`at_most` is how far anything of it may go; `tool` is the name that the tool has in it."""

    def __init__(self, pipeline: Pipeline, call: Call, spent: Spent, at_most: Boundary, tool: str) -> None:
        self.call = call
        self.spent = spent
        self.telling: Telling | None = None
        """Where the answer is a stream, once it has begun."""
        self.whole: Body = {}
        """The last answer that came in one piece."""
        self.conclusion = ""
        """What was thought last."""
        self._tool = tool
        self._within = Within(pipeline, call, at_most, tool)

    @property
    def out(self) -> Request | None:
        """Where the whole of it is answered."""
        return self._within.out

    @out.setter
    def out(self, out: Request) -> None:
        self._within.out = out

    async def begin(self) -> tuple[Reply, bytes]:
        """The model that answers is asked for the first time: its first byte, as of any call."""
        body = self.call.body
        return await self._open(self.spent.bounds.model, offered(body, body["messages"], self._tool, is_last=False))

    async def answer(self, begun: Reply) -> Turn:
        """The turn that is the answer."""
        turn = await self._turns(self.spent.bounds.model, self.call.body, ANSWERS, begun)
        if turn.thoughts:  # it was told that there is no more of it
            turn.finish_reason = "stop"
        return turn

    async def _turns(self, model: str, body: Body, level: int, begun: Reply | None = None) -> Turn:
        """Until it calls our tool no more, or may not."""
        messages: list[Any] = list(body["messages"])
        may_think = level < self.spent.bounds.depth
        while True:
            is_last = begun is None and (not may_think or bool(self.spent.refuses()))
            if begun is None:
                asked = offered(body, messages, self._tool, is_last=is_last) if may_think else body
                begun, _ = await self._open(model, asked)
            turn = await self._heard(begun, level)
            begun = None
            if is_last or not turn.thoughts:
                return turn
            messages.append(turn.message())
            for called in turn.thoughts:
                messages.append(result(called.id, await self._thought(called, level)))

    async def _thought(self, called: Called, level: int) -> str:
        """What the tool says. Whatever goes wrong with it, the model that asked can still answer."""
        spent = self.spent
        if spent.refuses():
            return ENOUGH
        spent.thoughts += 1
        question = question_in(called.arguments)
        if not question:
            return NO_QUESTION
        room = max(LEAST_TOKENS, spent.tokens_left - len(question.encode()) // BYTES_A_TOKEN)
        if (telling := self.telling) is not None:
            telling.thinks(f"[Thought {spent.thoughts} of at most {spent.bounds.thoughts}]\n")
        try:
            turn = await self._turns(spent.bounds.reasoning, asks(question, room), level + 1)
        except Failure as failure:
            return unavailable(failure.code or "error")
        finally:
            if telling is not None:
                telling.thinks("\n")
        self.conclusion = turn.conclusion or self.conclusion
        return turn.conclusion or unavailable("nothing was said")

    async def _heard(self, reply: Reply, level: int) -> Turn:
        """What a model says in one turn; the caller of a stream hears it at once."""
        turn, telling = Turn(self._tool), self.telling

        def hears(event: Body) -> None:
            for choice in event.get("choices") or ():
                shown = turn.take(choice)
                if telling is not None and level == ANSWERS:
                    logprobs = choice.get("logprobs")
                    telling.say(event, shown, {"logprobs": logprobs} if logprobs else None)
                elif telling is not None:
                    telling.thinks(shown.get("reasoning_content") or shown.get("content") or "")

        def whole(fields: Body) -> None:
            choice = fields["choices"][0]
            choice["message"] = message = turn.take_whole(choice)
            self.whole = fields
            if telling is not None and level == ANSWERS:
                telling.say(fields, {name: value for name, value in message.items() if name != "role" and value})

        if telling is not None:
            telling.wait()
        try:
            await Ear(self.out, hears, whole).hear(reply, partial(self.spent.add, of_thought=level != ANSWERS))
        finally:
            if telling is not None:
                telling.stop()
        return turn

    async def _open(self, model: str, body: Body) -> tuple[Reply, bytes]:
        body = body | {"model": model}
        if self.call.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return await self._within.ask(model, body, stream=self.call.stream)
