"""POST /api/chat: Ollama's own chat."""

from __future__ import annotations

from typing import Any, cast

from ringfence.gateway.dialects import chat
from ringfence.gateway.dialects.dialect import Body, Dialect, wrong
from ringfence.gateway.dialects.ollama_asked import add_format, add_odds, add_options, add_thinking
from ringfence.gateway.dialects.ollama_messages import translated
from ringfence.gateway.dialects.ollama_told import InOllama, check_keep_alive, flag, steering
from ringfence.gateway.dialects.ollama_voice import CHAT, OllamaVoice
from ringfence.gateway.head import Head
from ringfence.gateway.route import Foreign, Heard

WITHOUT_STREAM: Body = {"stream": False}
LOADING: Body = {"messages": [{"role": "user", "content": "."}], "max_tokens": 1, **WITHOUT_STREAM}
"""What is asked of a model that is only to be loaded: the least that can be."""


class OllamaChat(InOllama, Foreign):
    name = "ollama_chat"
    paths = ("/api/chat",)
    goes_as: Dialect = chat.DIALECT

    def heard(self, body: Body, head: Head) -> Heard:
        """`truncate` and `shift` are taken as they are in the other dialects: what is too long is shortened or refused
        as the profile says, and never cut by an engine."""
        for name in ("truncate", "shift"):
            flag(body, name, True)
        messages = body.get("messages")
        if messages is not None and not isinstance(messages, list):
            raise wrong("messages", "a list")
        check_keep_alive(body, is_bare=not messages)
        if not messages:
            return Heard({"model": body["model"], **LOADING}, OllamaVoice(CHAT, body["model"], is_load=True))
        asked: Body = begun(body)
        asked["messages"] = translated(cast("list[Any]", messages))
        if body.get("tools"):
            asked["tools"] = body["tools"]
        add_options(asked, body)
        add_format(asked, body)
        add_thinking(asked, body)
        add_odds(asked, body)
        return Heard(asked, OllamaVoice(CHAT, body["model"]))


def begun(body: Body) -> Body:
    """The model, and how it is to be answered: as a stream, unless it says otherwise."""
    asked = {"model": body["model"], **steering(body)}
    if flag(body, "stream", True):
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return asked


DIALECT = OllamaChat()
