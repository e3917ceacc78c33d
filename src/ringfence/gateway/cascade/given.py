"""An answer that was heard whole, and is given to a caller: in one piece, or as the events of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Any, cast

import orjson

from ringfence.core.errors import EngineFailed
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.reply import Finishing
from ringfence.gateway.request import Request
from ringfence.gateway.thinking.telling import Telling
from ringfence.gateway.voice import whole


@dataclass(slots=True)
class Heard:
    """A whole answer."""

    fields: Body = field(default_factory=dict[str, Any], repr=False)
    usage: Usage = field(default_factory=Usage)
    first_at: float = 0.0

    def take(self, fields: Body) -> None:
        self.fields, self.first_at = fields, monotonic()

    def add(self, usage: Usage) -> None:
        self.usage = usage


class Given:
    """An answer that will do: whole, or told as the events of a stream."""

    def __init__(self, call: Call, heard: Heard, held: Finishing) -> None:
        self.usage = heard.usage
        self.held: Finishing = held
        self._call = call
        self._heard = heard

    def send(self, out: Request, head: bytes) -> None:
        heard, call = self._heard, self._call
        if not call.stream:
            try:
                data = orjson.dumps(heard.fields)
                body = data if out.voice is None else whole(out.voice, data)
            except EngineFailed:
                self.held.finish(200, "malformed", None, heard.first_at)
                raise
            self.held.finish(200, "ok", None, heard.first_at)
            out.answer(200, head + JSON_HEAD, body)
            return
        if out.is_gone:
            self.held.finish(499, "client_gone", None, heard.first_at)
            return
        out.begin_events(head)
        telling = Telling(out)
        choice = cast(Body, heard.fields["choices"][0])
        telling.say(heard.fields, _delta(cast(Body, choice.get("message") or {})))
        options: Any = call.body.get("stream_options") or {}
        usage: Any = heard.fields.get("usage")
        telling.end(choice.get("finish_reason") or "stop", usage if options.get("include_usage") else None)
        self.held.finish(200, "ok", None, heard.first_at)
        out.finish()


def _delta(message: Body) -> Body:
    """A whole message as the one delta that says all of it."""
    delta = {name: value for name, value in message.items() if name != "role" and value}
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": place, **call} for place, call in enumerate(cast("list[Body]", calls))]
    return delta
