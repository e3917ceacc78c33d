"""What the caller of a stream hears: what the model says, and that somebody thinks while it is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.request import Request
from ringfence.gateway.voice import DONE

COMMENT_EVERY_S = 10.0
COMMENT = b": thinking\n\n"
FRAME = ("id", "object", "created", "model", "system_fingerprint")


class Telling:
    """Events as of one answer, whoever says what is in them."""

    def __init__(self, out: Request) -> None:
        self._out = out
        self._frame: Body = {}
        self._has_begun = False
        self._timer: asyncio.TimerHandle | None = None

    def say(self, event: Body, delta: Body, rest: Mapping[str, Any] | None = None) -> None:
        """Part of the answer. `event` is what it came in; the frame of the first one is that of all."""
        if not self._frame:
            self._frame = {name: event[name] for name in FRAME if name in event}
        if not self._has_begun:
            self._has_begun = True
            delta = {"role": "assistant", "content": "", **delta}
        if delta or rest:
            choice = {"index": 0, "delta": delta, "finish_reason": None, **(rest or {})}
            self._write({"choices": [choice]})

    def thinks(self, text: str) -> None:
        """Part of a thought."""
        if text:
            self.say({}, {"reasoning_content": text})

    def end(self, finish_reason: str, usage: Mapping[str, object] | None) -> None:
        self._write({"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]})
        if usage is not None:
            self._write({"choices": [], "usage": usage})
        self._out.write(DONE + b"\n\n")

    def _write(self, fields: Body) -> None:
        self._out.write(b"data: %b\n\n" % orjson.dumps(self._frame | fields))

    def wait(self) -> None:
        """Somebody thinks: a comment now and then, until `stop`, tells that the connection lives."""
        self._timer = asyncio.get_running_loop().call_later(COMMENT_EVERY_S, self._still)

    def _still(self) -> None:
        self._out.write(COMMENT)
        self.wait()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
