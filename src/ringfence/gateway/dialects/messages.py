"""POST /v1/messages: Anthropic's dialect, which Claude Code speaks. It is translated to chat completions and back."""

from __future__ import annotations

from ringfence.core.errors import Failure
from ringfence.gateway.dialects import chat
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.dialects.messages_fields import translated
from ringfence.gateway.dialects.messages_voice import MessagesVoice
from ringfence.gateway.head import Head
from ringfence.gateway.refusal import told_as_anthropic
from ringfence.gateway.route import Foreign, Heard


class Messages(Foreign):
    name = "messages"
    paths = ("/v1/messages", "/messages", "/anthropic/v1/messages")
    goes_as = chat.DIALECT

    def heard(self, body: Body, head: Head) -> Heard:
        return Heard(translated(body), MessagesVoice(shows_thinking=_wants_thinking(body), omits_text=_omits(body)))

    def told(self, failure: Failure, head: Head, call_id: str) -> tuple[int, bytes, bytes]:
        """In Anthropic's shape, whether its client says so in a header or not."""
        return told_as_anthropic(failure, head, call_id)


def _omits(body: Body) -> bool:
    """Whether thoughts are wanted for their signatures alone."""
    thinking: Body = body.get("thinking") or {}
    return thinking.get("display") == "omitted"


def _wants_thinking(body: Body) -> bool:
    thinking: Body = body.get("thinking") or {}  # of the right shape, as it was translated
    return thinking.get("type") in ("enabled", "adaptive")


DIALECT = Messages()
