"""Anthropic's events as chat completion chunks, one by one as they arrive. Pieces may be cut anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Any

import orjson

from ringfence.core.errors import EngineFailed, Failure, UnreadableAnswer
from ringfence.core.lines import MAX_EVENT_BYTES, Lines
from ringfence.providers.anthropic_answer import finish_of, usage_of

DONE = b"data: [DONE]\n\n"


class _Unreadable(Exception):
    """The provider sends what is no event of its dialect; the message says what."""


@dataclass(slots=True)
class _OpenCall:
    """A call of a tool whose arguments are arriving. `whole` is what its start brought, used when nothing follows."""

    number: int
    whole: Any
    has_arguments: bool = False


class MessageStream:
    """One answer. `usage` is what was reported so far; `failure` is why it broke."""

    def __init__(self, include_usage: bool, failure: Callable[[int, Any], Failure]) -> None:
        self.failure: Failure | None = None
        self.usage: dict[str, Any] = {}
        self.is_done = False
        self._include_usage = include_usage
        self._failure_of = failure
        self._lines = Lines()
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._out: list[bytes] = []
        self._frame = b""
        self._end = b""
        self._open: dict[int, _OpenCall] = {}
        self._calls = 0
        self._finish: str | None = None
        self._sequence: Any = None

    @property
    def reported(self) -> dict[str, Any] | None:
        """The prompt is told of at the start, what is said shortly before the end."""
        return usage_of(self.usage) if self.usage else None

    def feed(self, data: bytes) -> bytes:
        """Chunks ready to be sent, possibly none."""
        if self.is_done or self.failure is not None:
            return b""
        try:
            for line in self._lines.feed(data):
                self._take(line)
                if self.is_done or self.failure is not None:
                    break
            if self._lines.size + self._data_bytes > MAX_EVENT_BYTES:
                raise _Unreadable("an event larger than 16 MiB")
        except _Unreadable as problem:
            self._break(UnreadableAnswer(f"The provider sent {problem} in the middle of a stream."))
        out, self._out = b"".join(self._out), []
        return out

    def end(self) -> bytes:
        """An answer that was not brought to its end is not whole, however the connection closed."""
        if self.is_done or self.failure is not None:
            return b""
        self._break(EngineFailed("The provider broke off; the answer is not complete."))
        out, self._out = b"".join(self._out), []
        return out

    # -- events ---------------------------------------------------------------------------------------------------

    def _take(self, line: bytes) -> None:
        """The name of an event stands in its data too, so only those lines are read."""
        if line.startswith(b"data:"):
            self._data.append(line[5:])
            self._data_bytes += len(line)
            return
        if line or not self._data:
            return
        text = b"\n".join(self._data)
        self._data, self._data_bytes = [], 0
        try:
            event = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _Unreadable("an event that is not JSON") from None
        if not isinstance(event, dict):
            raise _Unreadable("an event that is not an object")
        self._event(event)

    def _event(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                self._start(_object(event, "message"))
            case "content_block_start":
                self._block_start(_place(event), _object(event, "content_block"))
            case "content_block_delta":
                self._block_delta(_place(event), _object(event, "delta"))
            case "content_block_stop":
                self._block_stop(_place(event))
            case "message_delta":
                self._report(event.get("usage"))
                self._finished(_object(event, "delta"))
            case "message_stop":
                self._stop()
            case "error":
                self._break(self._failure_of(500, event))
            case _:  # ping, and what may be added: it is to be passed over
                return

    def _start(self, message: dict[str, Any]) -> None:
        if self._frame:
            return
        self._report(message.get("usage"))
        self._begin(str(message.get("id", "")), str(message.get("model", "")))

    def _begin(self, answer: str, model: str) -> None:
        """The part that all chunks of an answer share is written once."""
        shared = {"id": answer, "object": "chat.completion.chunk", "created": int(time()), "model": model}
        self._frame = b"data: " + orjson.dumps(shared)[:-1]
        self._say({"role": "assistant", "content": ""})

    def _block_start(self, place: int, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if kind == "text":
            self._text("content", block.get("text"))
        elif kind == "thinking":
            self._text("reasoning_content", block.get("thinking"))
        elif kind == "redacted_thinking":
            self._say({"thinking_blocks": [block]})
        elif kind == "tool_use":
            name, number = block.get("name"), self._calls
            if not isinstance(name, str):
                raise _Unreadable("a call without a name")
            self._calls += 1
            self._open[place] = _OpenCall(number, block.get("input"))
            function = {"name": name, "arguments": ""}
            call = {"index": number, "id": str(block.get("id", "")), "type": "function", "function": function}
            self._say({"tool_calls": [call]})

    def _block_delta(self, place: int, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            self._text("content", delta.get("text"))
        elif kind == "thinking_delta":
            self._text("reasoning_content", delta.get("thinking"))
        elif kind == "signature_delta" and delta.get("signature"):
            self._say({"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": delta["signature"]}]})
        elif kind == "input_json_delta":
            call, piece = self._open.get(place), delta.get("partial_json")
            if call is None or not isinstance(piece, str):
                raise _Unreadable("arguments without a call")
            if piece:
                call.has_arguments = True
                self._arguments(call, piece)

    def _block_stop(self, place: int) -> None:
        call = self._open.pop(place, None)
        if call is not None and not call.has_arguments:  # a tool without arguments is called with an empty object
            self._arguments(call, orjson.dumps(call.whole or {}).decode())

    def _finished(self, delta: dict[str, Any]) -> None:
        if delta.get("stop_reason") is None or self._finish is not None:
            return
        self._finish = finish_of(delta["stop_reason"])
        self._sequence = delta.get("stop_sequence")
        details = delta.get("stop_details")
        if isinstance(details, dict) and isinstance(details.get("explanation"), str):
            self._say({"refusal": details["explanation"]})

    def _stop(self) -> None:
        """Calls that were left open are brought to their end, for nothing of them may be missing."""
        for place in sorted(self._open):
            self._block_stop(place)
        self._say({}, self._finish or "stop")
        if self._include_usage:
            usage = orjson.dumps(usage_of(self.usage))
            self._out.append(b'%b,"choices":[],"usage":%b}\n\n' % (self._frame, usage))
        self._out.append(DONE)
        self.is_done = True

    def _break(self, failure: Failure) -> None:
        self.failure = failure
        self._out.append(b"data: " + orjson.dumps(failure.envelope()) + b"\n\n")

    # -- chunks ---------------------------------------------------------------------------------------------------

    def _report(self, usage: Any) -> None:
        """Counts are cumulative: a later one takes the place of an earlier, an absent one leaves it."""
        if isinstance(usage, dict):
            self.usage |= {name: value for name, value in usage.items() if value is not None}

    def _text(self, field: str, text: Any) -> None:
        if isinstance(text, str) and text:
            self._say({field: text})

    def _arguments(self, call: _OpenCall, piece: str) -> None:
        self._say({"tool_calls": [{"index": call.number, "function": {"arguments": piece}}]})

    def _say(self, delta: dict[str, Any], finish: str | None = None) -> None:
        if not self._frame:
            self._begin("", "")
        end = b"null" if finish is None else b'"%b"' % finish.encode()
        if finish is not None and isinstance(self._sequence, str):
            end += b',"stop_reason":' + orjson.dumps(self._sequence)
        self._out.append(
            b'%b,"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}\n\n'
            % (self._frame, orjson.dumps(delta), end)
        )


def _object(event: dict[str, Any], name: str) -> dict[str, Any]:
    found = event.get(name)
    if not isinstance(found, dict):
        raise _Unreadable(f"an event without its '{name}'")
    return found


def _place(event: dict[str, Any]) -> int:
    place = event.get("index")
    if type(place) is not int:
        raise _Unreadable("a block without its index")
    return place
