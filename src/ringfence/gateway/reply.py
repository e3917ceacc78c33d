"""What comes of a target for a caller: one whole answer, or a stream that is relayed event by event.

After its first byte nothing is retried: a stream that breaks ends with an error event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from time import time
from typing import Any, Protocol, cast

from ringfence.core.errors import EngineFailed, EngineTimedOut, Failure
from ringfence.core.ports import Translation
from ringfence.core.usage import Usage
from ringfence.gateway.arriving import Reading
from ringfence.gateway.call import Call
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.request import CHUNK, Request
from ringfence.gateway.sse import EventStream, MalformedStream, usage_event
from ringfence.gateway.voice import UNTOLD, events, whole

log = logging.getLogger("ringfence.relay")
BYTES_A_TOKEN = 4
"""About, where nobody has counted."""
NO_WORDS = ("role", "audio")
"""Of a piece of an answer: who speaks, and sound, which has far more bytes than tokens."""
BROKE_OFF = "The engine broke off; the answer is not complete."


class Finishing(Protocol):
    """What a reply gives back when it has ended."""

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        """Called once per reply; `first_at` is the monotonic time of the first byte, 0 when there was none."""
        ...


class Answer:
    """A whole JSON answer."""

    __slots__ = ("_first_at", "body", "held", "usage")

    def __init__(self, body: bytes, usage: Usage, first_at: float) -> None:
        self.body = body
        self.usage = usage
        self._first_at = first_at
        self.held: Finishing  # given back when the answer has been sent

    def send(self, out: Request, head: bytes) -> None:
        try:
            body = self.body if out.voice is None else whole(out.voice, self.body)
        except EngineFailed:
            self.held.finish(200, "malformed", self.usage, self._first_at)
            raise
        self.held.finish(200, "ok", self.usage, self._first_at)
        out.answer(200, head + JSON_HEAD, body)


class Stream:
    """An answer that is relayed event by event, at the pace of the slower side."""

    __slots__ = (
        "_begun",
        "_call",
        "_events",
        "_fails",
        "_feed",
        "_is_chunked",
        "_out",
        "_reading",
        "_said_bytes",
        "_translation",
        "_wants_usage",
        "_write",
        "failed",
        "held",
    )

    def __init__(
        self, call: Call, model: str, reading: Reading, fails: Callable[[Any], Failure], most: int,
        translation: Translation | None = None,
    ) -> None:  # fmt: skip
        """`fails` reads an engine's own error; `most` events are taken."""
        options: dict[str, Any] = call.body.get("stream_options") or {}
        self._call = call
        self._reading = reading
        self._wants_usage = options.get("include_usage") is True
        self._fails = fails
        self._events = EventStream(model, not self._wants_usage, self._retold, most)
        self._begun: bytes | None = None
        self.failed: Failure | None = None
        self._said_bytes = 0
        self._translation = translation
        self._feed = self._events.feed if translation is None else self._translated
        if call.hold:
            self._feed = self._weighed
        self.held: Finishing | None = None  # given back when the stream has ended

    def begin(self) -> Failure | None:
        """Look at what came first, while nothing is sent: what is wrong with that, another target may mend."""
        reading, events = self._reading, self._events
        data, reading.parts = b"".join(reading.parts), []
        try:
            begun = self._feed(data)
        except MalformedStream as problem:
            return EngineFailed(f"The engine sent {problem}.")
        if events.is_done and not events.events:
            return EngineFailed("The engine sent an empty stream.")
        self._begun = begun
        return self.failed

    @property
    def has_told(self) -> bool:
        """Whether anything of an answer came before it failed as it began."""
        return self._events.usage is not None or says_something(self._begun or b"")

    def send(self, out: Request, head: bytes) -> None:
        self._out = out
        if out.is_gone:
            self._leave()
            return
        out.on_gone = self._leave
        out.on_pause = self._reading.line.pause
        out.on_resume = self._reading.line.resume
        out.begin_events(head)
        is_plain = out.voice is None
        self._write, self._is_chunked = (out.connection.write if is_plain else out.write), is_plain and out.is_chunked
        try:
            if self._begun:
                out.write(self._begun)
        except Exception:
            self.untold()
        else:
            self._reading.pass_on(self)

    def on_piece(self, data: bytes) -> None:
        try:
            shown = self._feed(data)
        except MalformedStream as problem:
            self._reading.line.cancel()
            if self._events.is_done:  # what comes after the end is nobody's
                self.on_end()
                return
            self._break("malformed", EngineFailed(f"The engine sent {problem} in the middle of a stream."))
            return
        if shown:  # as `Request.write` would, without another call for each event
            try:
                self._write(CHUNK % (len(shown), shown) if self._is_chunked else shown)
            except Exception:
                self.untold()

    def on_end(self) -> None:
        if self.held is None:
            return
        try:
            self._ended()
        except Exception:
            self.untold()

    def _ended(self) -> None:
        events = self._events
        if self._translation is not None and (last := self._translation.end()):
            self._out.write(events.feed(last))
        if events.error is None and not events.is_whole:  # closed in order, and yet not at its end
            self._break("lost", EngineFailed(BROKE_OFF))
            return
        usage = self._used()
        if self._wants_usage and events.usage is None and not events.is_ended and events.error is None:
            kind = "chat.completion.chunk" if self._call.dialect.name == "chat" else "text_completion"
            self._out.write(usage_event(self._call.model, usage, self._call.id, int(time()), kind))
        self._out.write(events.ending())
        self._close("engine_error" if events.error else "ok", usage)

    def _retold(self, error: Any) -> bytes:
        """What the engine says of its failure, in our words."""
        told = self._translation.failure if self._translation is not None else None
        self.failed = self._fails(error if told is None else told)
        return b"" if self._begun is None else self._out.told_midway(self.failed, self._call.id)

    def _translated(self, data: bytes) -> bytes:
        """From the events of another dialect to those that every caller knows."""
        assert self._translation is not None
        return self._events.feed(self._translation.feed(data))

    def _weighed(self, data: bytes) -> bytes:
        """Of what is paid for, it is known at any time about how much was said: its caller may leave before that is
        reported."""
        shown = self._events.feed(data) if self._translation is None else self._translated(data)
        self._said_bytes += said_bytes(shown)
        return shown

    def on_lost(self, reason: str) -> None:
        if self.held is None:
            return
        if self._events.is_done or self._events.error is not None:  # it was whole, or its caller knows already
            self.on_end()
        elif reason in ("stalled", "first_byte_timeout"):
            self._break(
                reason, EngineTimedOut("The engine sent nothing more for too long; the answer is not complete.")
            )
        else:
            self._break(reason, EngineFailed(BROKE_OFF))

    def _break(self, outcome: str, failure: Failure) -> None:
        if self._give_back(outcome, self._used()):
            self._out.break_off(failure, self._call.id)

    def untold(self) -> None:
        """The voice can make nothing of what came. Engines answer anything, and what the call holds is given back."""
        log.exception("what an engine sent for call %s has no shape of an answer", self._call.id)
        if (line := self._reading.line).receiver in (self, self._reading):  # else it may be somebody else's by now
            line.cancel()
        if self.held is None:  # it was at its end
            self._out.abort()
        self._break("malformed", EngineFailed(UNTOLD))

    def _close(self, outcome: str, usage: Usage) -> None:
        if self._give_back(outcome, usage):
            self._out.finish()

    def _give_back(self, outcome: str, usage: Usage) -> bool:
        """False where it was done before."""
        held, self.held = self.held, None
        if held is not None:
            held.finish(200, outcome, usage, self._reading.first_at)
        return held is not None

    def _leave(self) -> None:
        """The client went away: the engine must stop working for it at once."""
        self._reading.line.cancel()
        held, self.held = self.held, None
        if held is not None:
            held.finish(499, "client_gone", self._used_by_now(), self._reading.first_at)

    def _used(self) -> Usage:
        usage = self._events.usage
        return usage if usage is not None and believed(self._call, usage) else self._estimate()

    def _used_by_now(self) -> Usage:
        """Of a stream that is left: a report from before its end does not know of what was said since, nor of thoughts,
        which are told of at the end, if at all."""
        usage, said = self._used(), self._said()
        if not self._call.hold or self._events.is_whole:
            return usage
        unseen = self._call.most_output if self._call.may_think else 0
        if usage.completion_tokens >= max(said, unseen):
            return usage
        return usage._replace(completion_tokens=max(usage.completion_tokens, said, unseen), estimated=True)

    def _estimate(self) -> Usage:
        """For streams without a reported usage. What was reported of the prompt alone holds of that."""
        told, said = self._events.usage, self._said()
        if told is None and self._translation is not None:
            told = Usage.read(self._translation.reported)
        if told is None or told.prompt_tokens <= 0:
            return Usage(self._call.body_bytes // BYTES_A_TOKEN, said, estimated=True)
        return told._replace(completion_tokens=max(said, told.completion_tokens), estimated=True)

    def _said(self) -> int:
        """Tokens: an event is about one, and those of what is paid for may hold several."""
        return max(self._events.events, self._said_bytes // BYTES_A_TOKEN)


def says_something(data: bytes) -> bool:
    """Whether there is anything of an answer in these events, beside who speaks."""
    return any(value for name, value in _pieces(data) if name != "role")


def said_bytes(data: bytes) -> int:
    """Of all texts in these events: words, thoughts, and arguments for tools."""
    try:
        left = [value for name, value in _pieces(data) if name not in NO_WORDS]
    except ValueError:  # what is relayed need not be as strict as what is read
        return len(data)
    found = 0
    while left:
        one = left.pop()
        if isinstance(one, str):
            found += len(one.encode())
        elif isinstance(one, dict):
            left += cast("dict[str, Any]", one).values()
        elif isinstance(one, list):
            left += cast("list[Any]", one)
    return found


def _pieces(data: bytes) -> Iterator[tuple[str, Any]]:
    """What these events bring of an answer, by the names of the fields."""
    for event in events(data):
        choices: Any = event.get("choices") if event is not None else None
        for choice in cast("list[Any]", choices) if isinstance(choices, list) else ():
            fields = cast("dict[str, Any]", choice) if isinstance(choice, dict) else {}
            delta = fields.get("delta")
            yield "text", fields.get("text")
            yield from cast("dict[str, Any]", delta).items() if isinstance(delta, dict) else ()


def believed(call: Call, usage: Usage) -> bool:
    """Of what is paid for, a report that cannot be is none: some say 0 where they did not count."""
    return not call.hold or usage.can_be(generates=call.dialect.generates)
