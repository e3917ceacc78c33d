"""Ollama's streams, a JSON object on each line, as OpenAI's chunks. Pieces may be cut anywhere.

The last line says `done`. A stream that ends without it is not whole, and one with a line `{"error": ...}` has failed:
both end with an error event, never as if the answer were complete.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from time import time
from typing import Any

import orjson

from ringfence.core.errors import EngineFailed, Failure
from ringfence.core.lines import MAX_EVENT_BYTES, Lines
from ringfence.engines import ollama_answer as answer

Body = dict[str, Any]
DONE = b"data: [DONE]\n\n"


class LineStream(ABC):
    """One answer. What is said on a line is for the kinds of answers to tell."""

    kind = ""
    called = ""
    reported: Body | None = None
    """Nothing is told before the end."""

    def __init__(self, include_usage: bool, failure: Callable[[int, Any], Failure]) -> None:
        self.failure: Failure | None = None
        self.is_done = False
        self._include_usage = include_usage
        self._failure_of = failure
        self._lines = Lines()
        self._out: list[bytes] = []
        self._frame = b""

    def feed(self, data: bytes) -> bytes:
        """Chunks ready to be sent, possibly none."""
        if self.is_done or self.failure is not None:
            return b""
        try:
            for line in self._lines.feed(data):
                self._take(line)
                if self.is_done:
                    break
            if self._lines.size > MAX_EVENT_BYTES:
                raise EngineFailed("The engine sent a line larger than 16 MiB in the middle of a stream.")
        except Failure as failure:
            self._break(failure)
        return self._told()

    def end(self) -> bytes:
        """The last line may have no end of line; without one that says `done` the answer is not whole."""
        out = self.feed(b"\n")
        if not self.is_done and self.failure is None:
            self._break(EngineFailed("The engine broke off; the answer is not complete."))
        return out + self._told()

    def _told(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise EngineFailed("The engine sent a line that is not JSON in the middle of a stream.") from None
        if not isinstance(told, dict):
            raise EngineFailed("The engine sent a line that is not an object in the middle of a stream.")
        if told.get("error"):
            raise self._failure_of(500, told)
        if not self._frame:
            self._begin(told)
        is_last = told.get("done") is True
        self.say(told, is_last)
        if is_last:
            usage = answer.usage_of(told) if self._include_usage else None
            if usage is not None:
                self._out.append(b'%b,"choices":[],"usage":%b}\n\n' % (self._frame, orjson.dumps(usage)))
            self._out.append(DONE)
            self.is_done = True

    def _begin(self, told: Body) -> None:
        """The part that all chunks of an answer share is written once."""
        shared = {
            "id": answer.new_id(self.kind), "object": self.called, "created": int(time()),
            "model": str(told.get("model", "")), "system_fingerprint": "fp_ollama",
        }  # fmt: skip
        self._frame = b"data: " + orjson.dumps(shared)[:-1]

    def _break(self, failure: Failure) -> None:
        self.failure = failure
        self._out.append(b"data: " + orjson.dumps(failure.envelope()) + b"\n\n")

    def chunk(self, choice: Body) -> None:
        """Hand out one chunk with one choice."""
        self._out.append(b'%b,"choices":[%b]}\n\n' % (self._frame, orjson.dumps(choice)))

    @abstractmethod
    def say(self, told: Body, is_last: bool) -> None:
        """The chunks of one line."""


class ChatStream(LineStream):
    """Of /api/chat. Thoughts and what is said after them are chunks of their own, for clients that look at one field;
    a call of a tool comes whole."""

    kind = "chatcmpl"
    called = "chat.completion.chunk"

    def __init__(self, include_usage: bool, failure: Callable[[int, Any], Failure]) -> None:
        super().__init__(include_usage, failure)
        self._calls = 0
        self._has_begun = False

    def say(self, told: Body, is_last: bool) -> None:
        message = told.get("message")
        if not isinstance(message, dict):
            if not is_last:
                raise EngineFailed("The engine sent a line without a message in the middle of a stream.")
            message = {}
        text, thoughts = answer.text_of(message, "content"), answer.text_of(message, "thinking")
        calls = answer.calls_of(message, self._calls)
        self._calls += len(calls)
        odds = answer.token_odds(told)
        if thoughts and (text or calls):
            self._say({"content": "", "reasoning": thoughts}, odds, None)
            odds, thoughts = None, ""
        delta: Body = {"content": text}
        if thoughts:
            delta["reasoning"] = thoughts
        if calls:
            delta["tool_calls"] = calls
        finish = None
        if is_last:
            finish = "tool_calls" if self._calls else answer.finish_of(told.get("done_reason"))
        self._say(delta, odds, finish)

    def _say(self, delta: Body, odds: Body | None, finish: str | None) -> None:
        if not self._has_begun:
            self._has_begun = True
            delta = {"role": "assistant", **delta}
        self.chunk({"index": 0, "delta": delta, "logprobs": odds, "finish_reason": finish})


class CompletionStream(LineStream):
    """Of /api/generate."""

    kind = "cmpl"
    called = "text_completion"

    def __init__(self, include_usage: bool, failure: Callable[[int, Any], Failure]) -> None:
        super().__init__(include_usage, failure)
        self._offset = 0

    def say(self, told: Body, is_last: bool) -> None:
        text = told.get("response", "" if is_last else None)
        if not isinstance(text, str):
            raise EngineFailed("The engine sent a line without a response in the middle of a stream.")
        odds = answer.text_odds(told, self._offset)
        self._offset += len(text)
        finish = answer.finish_of(told.get("done_reason")) if is_last else None
        self.chunk({"index": 0, "text": text, "logprobs": odds, "finish_reason": finish})
