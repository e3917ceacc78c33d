"""Server-sent events of an engine on their way to a caller: relayed as bytes, and only those that matter are parsed.

The caller gets the model's name as this gateway gives it, the usage event only when asked for, and whole events only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from ringfence.core.usage import Usage

MAX_EVENT_BYTES = 16 * 1024 * 1024
SPACELESS = re.compile(rb"(?m)^data:(?! )")
DONE = b"data: [DONE]\n\n"
NOTHING = b"data: null"
"""With several prompts, llama.cpp says it after each answer; clients take every event for an object."""


class MalformedStream(Exception):
    """What the engine sends is not a stream of events."""


class EventStream:
    """Feed pieces as they arrive, get back what the caller may see. Holds at most one unfinished event."""

    __slots__ = (
        "_hides_usage",
        "_is_known",
        "_is_spaceless",
        "_model",
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

    def __init__(self, model: str, hides_usage: bool, retell: Callable[[dict[str, Any]], bytes] | None = None) -> None:
        """`retell` makes an event of ours of one that says that the engine failed."""
        self._model = model
        self._retell = retell
        self._hides_usage = hides_usage
        self._started = self._is_spaceless = self._is_known = False
        self._swap: tuple[bytes, bytes] | None = None
        self._tail = b""
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
        self.events += data.count(b"data: {")
        if (
            data.find(b'"usage":') >= 0 or data.find(b"data: [DONE]") >= 0 or data.find(b'data: {"error"') >= 0
            or data.find(NOTHING) >= 0
        ):  # fmt: skip
            data = self._sift(data)
        if self._swap is not None:
            old, new = self._swap
            data = data.replace(old, new)
        return data

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
        for line in data.split(b"\n"):
            if not line.startswith(b"data:") or line in (b"data: [DONE]", NOTHING):
                continue
            self._started = True
            self._is_spaceless = not line.startswith(b"data: ")
            self._is_known = not self._is_spaceless
            event = _parse(line[5:])
            name = event.get("model")
            if isinstance(name, str) and name != self._model:
                gap = b" " if b'"model": ' in line else b""
                old, new = orjson.dumps(name), orjson.dumps(self._model)
                self._swap = (b'"model":%b%b' % (gap, old), b'"model":%b%b' % (gap, new))
            return

    def _sift(self, data: bytes) -> bytes:
        """Parse the events of this piece one by one; drop or trim those that carry a usage nobody asked for."""
        kept: list[bytes] = []
        for event in data.split(b"\n\n"):
            if not event or event == NOTHING:
                continue
            if event == b"data: [DONE]":
                self.is_done = True
                if self.usage is None and not self._hides_usage:
                    continue  # the usage that the caller asked for is still owed: the end comes after it
                self.is_ended = True
            elif event.startswith(b"data: {") and (b'"usage":' in event or event.startswith(b'data: {"error"')):
                trimmed = self._read(event)
                if trimmed is not None:
                    kept.append(trimmed)
                continue
            kept.append(event)
        return b"\n\n".join(kept) + b"\n\n" if kept else b""

    def _read(self, event: bytes) -> bytes | None:
        parsed = _parse(event[5:])
        if parsed.get("error"):
            self.error = parsed["error"]
            return event if self._retell is None else self._retell(parsed).removesuffix(b"\n\n")
        usage = Usage.read(parsed.get("usage"))
        if usage is not None:
            self.usage = usage
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


def usage_event(model: str, usage: Usage, call_id: str, created_s: int, kind: str) -> bytes:
    """A usage event for a caller who asked for one, when the engine sent none."""
    return b"data: " + orjson.dumps({
        "id": call_id, "object": kind, "created": created_s, "model": model, "choices": [],
        "usage": {
            "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
    }) + b"\n\n"  # fmt: skip
