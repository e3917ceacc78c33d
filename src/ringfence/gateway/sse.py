"""Server-sent events of an engine on their way to a caller: relayed as bytes, and each is checked to be JSON.

The caller gets the model's name as this gateway gives it, the usage event only when asked for, and whole events only.
What is no event, and a stream that goes on far beyond what was asked for, is MalformedStream.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from ringfence.core.usage import Usage
from ringfence.gateway.admission import answers

MAX_EVENT_BYTES = 16 * 1024 * 1024
MOST_EVENTS = 1_000_000
"""Of a stream whose output nobody limited."""
EVENTS_A_TOKEN, MORE_EVENTS = 4, 1000
"""An event is about a token. A stream of more than four times what was asked for, and a thousand, has no end."""
ENDLESS = "far more than it was asked for"
MOST_REMARKS = 10_000
"""Comments and other things that are passed over. Engines and clouds send one in seconds, to keep a line open."""
SPACELESS = re.compile(rb"(?m)^data:(?! )")
FINISHED = re.compile(rb'"finish_reason":\s*"')
"""Inside a text the quotation marks would be escaped."""
DONE = b"data: [DONE]\n\n"
NO_OBJECT = (b"null", b"[DONE]")
"""With several prompts, llama.cpp says null after each answer; clients take every event for an object."""
PASSED_OVER = (b":", b"event", b"id", b"retry")
"""How lines begin that have no data, and may stand in a stream."""


class MalformedStream(Exception):
    """What the engine sends is not a stream of events."""


class _Event(msgspec.Struct, gc=False):
    """The fields that matter. The others are checked to be JSON, and no objects are made of them."""

    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(_Event).decode
UNSET = msgspec.UNSET
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class EventStream:
    """Feed pieces as they arrive, get back what the caller may see. Holds at most one unfinished event."""

    __slots__ = (
        "_finished",
        "_hides_usage",
        "_is_finished",
        "_is_known",
        "_is_spaceless",
        "_last",
        "_model",
        "_most",
        "_remarks",
        "_retell",
        "_started",
        "_swap",
        "_tail",
        "error",
        "events",
        "is_done",
        "is_ended",
        "usage",
    )

    def __init__(
        self,
        model: str,
        hides_usage: bool,
        retell: Callable[[dict[str, Any]], bytes] | None = None,
        most: int = MOST_EVENTS,
        finished: re.Pattern[bytes] = FINISHED,
    ) -> None:
        """`retell` makes an event of ours of one that says that the engine failed; `most` events are taken, and the
        last one has something like `finished`."""
        self._model = model
        self._retell = retell
        self._hides_usage = hides_usage
        self._started = self._is_spaceless = self._is_known = self._is_finished = False
        self._swap: tuple[bytes, bytes] | None = None
        self._tail = self._last = b""
        self._remarks = 0
        self._most = most
        self._finished = finished
        self.events = 0
        self.usage: Usage | None = None
        self.is_done = False  # the engine said that it is
        self.is_ended = False  # and so was the caller told
        self.error: Any = None

    def feed(self, data: bytes) -> bytes:
        """Whole events ready to be sent, possibly none. MalformedStream for an endless or unreadable event."""
        if self._tail:
            data = self._tail + data
            self._tail = b""
        # Mostly a piece is one whole event, or a few, of which nothing matters but that it is JSON.
        if not self._is_known or data[:7] != b"data: {" or data[-3:] != b"}\n\n" or not self._is_plain(data):
            data = self._taken_apart(data)
        if self._swap is not None:
            old, new = self._swap
            data = data.replace(old, new)
        return data

    def _is_plain(self, data: bytes) -> bool:
        """Whether these are events, one or several, which can go as they are."""
        # What searches for one byte is many times as fast as what searches for two.
        find, start, last, count = data.find, 6, len(data) - 2, self.events
        try:
            while True:
                end = find(b"\n", start)
                event = _decode(data[start:end])
                if event.usage is not UNSET or event.error is not UNSET:
                    return False
                count += 1
                if end == last:
                    break
                start = end + 8
                if data[end:start] != b"\n\ndata: ":
                    return False
            if not data.isascii():
                data.decode()  # texts that are skipped are not looked at
        except UNREADABLE:
            return False
        self._last = data
        self.events = count
        if count > self._most:
            raise MalformedStream(ENDLESS)
        return True

    def _taken_apart(self, data: bytes) -> bytes:
        """Pieces that end within an event, the first of a stream, and those with something in them that matters."""
        # `find`, not `in`: on bytes, CPython's `in` first tries its operand as a number, and makes and drops an error.
        if data.find(b"\r") >= 0:
            data = data.replace(b"\r\n", b"\n")
        if not data.endswith(b"\n\n"):
            end = data.rfind(b"\n\n") + 2
            if end < 2:
                self._hold(data)
                return b""
            self._hold(data[end:])
            data = data[:end]
        if not self._is_known:
            if not self._started:
                self._look_at_first(data)
            if self._is_spaceless:
                data = SPACELESS.sub(b"data: ", data)
        return self._sift(data)

    @property
    def is_whole(self) -> bool:
        """Whether an engine that has closed its stream in order had come to the end of its answer."""
        if self._tail:
            return self.is_done or self._tail.strip() == DONE.strip()
        return self.is_done or self._is_finished or self._finished.search(self._last) is not None

    @property
    def is_midway(self) -> bool:
        """Whether it is within an event."""
        return bool(self._tail.strip())

    def ending(self) -> bytes:
        """What is still owed to the caller when the engine ended in order."""
        if self.is_ended or self.error is not None:
            return b""
        self.is_ended = True
        return DONE

    def _hold(self, rest: bytes) -> None:
        if len(rest) > MAX_EVENT_BYTES:
            raise MalformedStream("an event larger than 16 MiB")
        self._tail = rest

    def _look_at_first(self, data: bytes) -> None:
        """Learn how this engine writes the model's name, to put ours in its place from then on."""
        for block in data.split(b"\n\n"):
            lines = [line for line in block.split(b"\n") if line.startswith(b"data:")]
            text = b"\n".join([line[5:] for line in lines]).strip()
            if not lines or text in NO_OBJECT:
                continue
            self._started = True
            self._is_spaceless = not lines[0].startswith(b"data: ")
            self._is_known = not self._is_spaceless
            name = _parse(text).get("model")
            if isinstance(name, str) and name != self._model:
                gap = b" " if b'"model": ' in text else b""
                old, new = orjson.dumps(name), orjson.dumps(self._model)
                self._swap = (b'"model":%b%b' % (gap, old), b'"model":%b%b' % (gap, new))
            return

    def _sift(self, data: bytes) -> bytes:
        """Take the events of this piece one by one; drop or trim those that carry a usage nobody asked for."""
        kept: list[bytes] = []
        if data.isspace():
            self._remark()
        for block in data.split(b"\n\n"):
            event = block.lstrip(b"\n")
            if self.is_done or self.error is not None:
                self._is_known = False  # what comes after the end is nobody's, also of the next pieces
                break
            if not event:
                continue
            if event == b"data: [DONE]":
                self.is_done, self._is_known = True, False
                if self.usage is None and not self._hides_usage:
                    continue  # the usage that the caller asked for is still owed: the end comes after it
                self.is_ended = True
                shown: bytes | None = event
            else:
                shown = self._checked(event, event[6:]) if event.startswith(b"data: {") else self._odd(event)
            if shown is not None:
                kept.append(shown)
        self._is_finished = self._is_finished or self._finished.search(data) is not None
        return b"\n\n".join(kept) + b"\n\n" if kept else b""

    def _checked(self, event: bytes, text: bytes) -> bytes | None:
        """An event whose data is `text`, an object."""
        try:
            if not text.isascii():
                text.decode()
            found = _decode(text)
        except UNREADABLE:
            if event.find(b"\ndata:") >= 0 and text == event[6:]:
                return self._odd(event)  # its data stands in several lines
            raise MalformedStream("an event that is not JSON") from None
        self.events += 1
        if self.events > self._most:
            raise MalformedStream(ENDLESS)
        return event if found.usage is UNSET and found.error is UNSET else self._read(event, text)

    def _odd(self, event: bytes) -> bytes | None:
        """An event that has other lines than one of data, or other data than an object."""
        lines = event.split(b"\n")
        parts = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        text = b"\n".join(parts).strip()
        if text.startswith(b"{"):
            return self._checked(event, text)
        if text == b"[DONE]":
            self.is_done, self._is_known = True, False
            return None  # what is owed comes at the end
        if text and text != b"null":
            raise MalformedStream("an event that is not a JSON object")
        if not text and event.startswith(b"error:"):
            return self._read(event, b'{"error":%b}' % event[6:])
        if not text and not any(line.startswith(PASSED_OVER) for line in lines):
            raise MalformedStream("something that is no event")
        self._remark()
        return None if text else event

    def _remark(self) -> None:
        self._remarks += 1
        if self._remarks > MOST_REMARKS:
            raise MalformedStream("nothing but comments")

    def _read(self, event: bytes, text: bytes) -> bytes | None:
        parsed = _parse(text)
        if parsed.get("error"):
            self.error, self._is_known = parsed["error"], False
            return event if self._retell is None else self._retell(parsed).removesuffix(b"\n\n") or None
        usage = Usage.read(parsed.get("usage"))
        if usage is not None and (self.usage is None or usage.total_tokens >= self.usage.total_tokens):
            self.usage = usage  # it is told of all so far: less than before cannot be
        if not self._hides_usage or "usage" not in parsed:
            return event
        if usage is not None and not parsed.get("choices"):
            return None
        del parsed["usage"]
        if "model" in parsed:  # written anew, it may not look as the swap expects
            parsed["model"] = self._model
        return b"data: " + orjson.dumps(parsed)


def _parse(text: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise MalformedStream("an event that is not JSON") from None
    if not isinstance(parsed, dict):
        raise MalformedStream("an event that is not a JSON object")
    return parsed  # type: ignore[no-any-return]


def most_events(output: int | None, asked: dict[str, Any]) -> int:
    """Of a stream for which an engine was asked for `output` tokens: each of several answers may have so many."""
    if output is None:
        return MOST_EVENTS
    return EVENTS_A_TOKEN * output * answers(asked) + MORE_EVENTS


def usage_event(model: str, usage: Usage, call_id: str, created_s: int, kind: str) -> bytes:
    """A usage event for a caller who asked for one, when the engine sent none."""
    return b"data: " + orjson.dumps({
        "id": call_id, "object": kind, "created": created_s, "model": model, "choices": [],
        "usage": {
            "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
    }) + b"\n\n"  # fmt: skip
