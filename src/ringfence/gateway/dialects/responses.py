"""POST /v1/responses: OpenAI's Responses API, asked as a chat and told back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from ringfence.core.errors import Failure
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import chat
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.head import Head
from ringfence.gateway.responses_request import asked, reach_of
from ringfence.gateway.responses_stream import ResponseVoice
from ringfence.gateway.route import Foreign, Heard

if TYPE_CHECKING:
    from ringfence.gateway.request import Request


NAMES = {
    "messages": "input", "max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format", "reasoning_effort": "reasoning.effort",
}  # fmt: skip
"""Fields of a chat, as they are called here."""
FIRST = re.compile(r"[a-z_]+")


class Keeps(Protocol):
    """Where responses are kept."""

    async def fetch(self, request: Request) -> None:
        """Put the response that is followed into the request. Raises Failure."""
        ...

    def will_keep(self, call: Call, voice: ResponseVoice) -> None:
        """Have what the call comes to kept, where its caller wants that and its profile allows it."""
        ...

    async def takes(self, request: Request, call: Call) -> bool:
        """Whether the call is made in the background. Raises Failure."""
        ...


class Responses(Foreign):
    name = "responses"
    paths = ("/v1/responses", "/responses")
    goes_as = chat.DIALECT

    def __init__(self, kept: Keeps | None = None) -> None:
        """Without `kept` nothing is kept, and nothing can be followed."""
        self.kept = kept

    def keeping(self, kept: Keeps) -> Responses:
        """The same with somewhere to keep them."""
        return Responses(kept)

    async def fetch(self, request: Request) -> None:
        if self.kept is not None:
            await self.kept.fetch(request)

    def heard(self, body: Body, head: Head) -> Heard:
        told = asked(body, keeps=self.kept is not None)
        voice = ResponseVoice(told, body["model"] if isinstance(body.get("model"), str) else "")
        return Heard(told.chat, voice, said_in="input")

    def made(self, call: Call) -> None:
        # what it builds on must not travel further now than it was allowed to
        call.at_most = min(call.at_most, reach_of(call.asked or {}))
        if self.kept is not None and isinstance(call.voice, ResponseVoice):
            self.kept.will_keep(call, call.voice)

    def told(self, failure: Failure, head: Head, call_id: str) -> tuple[int, bytes, bytes]:
        return super().told(told_here(failure), head, call_id)

    async def takes(self, request: Request, call: Call) -> bool:
        return self.kept is not None and await self.kept.takes(request, call)


def told_here(failure: Failure) -> Failure:
    """By the names of this dialect, whatever became of its fields on the way."""
    if failure.param is not None and (found := FIRST.match(failure.param)) and found[0] in NAMES:
        named = NAMES[found[0]]
        failure.message = failure.message.replace(f"'{failure.param}'", f"'{named}'")
        failure.param = named
    return failure


DIALECT = Responses()
