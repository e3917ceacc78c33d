"""From a target to the caller for what is neither chat nor text: a sound or a picture goes on as it comes.

As with `relay`: until the first byte another target may try. What is told in one piece is whole before it is sent on;
a sound that breaks off ends with its connection, for there is no event that could say so.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from ringfence.core.catalog import Endpoint, Target
from ringfence.core.errors import EngineFailed, EngineTimedOut, TargetFailed
from ringfence.core.usage import Usage
from ringfence.egress.permit import Permit
from ringfence.gateway.arriving import Reading
from ringfence.gateway.call import Call
from ringfence.gateway.form import write_form
from ringfence.gateway.relay import BUSY, Relay, failure_for, parsed, raised
from ringfence.gateway.reply import BROKE_OFF, Finishing
from ringfence.gateway.request import Request
from ringfence.gateway.retry_after import seconds_of

JSON, EVENTS = b"application/json", b"text/event-stream"
MOST_HEAD = 200
"""Bytes of what an engine says that it sends."""
LOOKED_BYTES = 1024 * 1024
"""A longer answer in JSON is not read to see whether it is whole: that would hold others up."""
LATE = frozenset(("stalled", "first_byte_timeout"))


class Passing:
    """In the place of the relay, for calls of these dialects."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def forbidden(self, target: Target) -> frozenset[str]:
        return self._relay.forbidden(target)

    async def open(
        self, call: Call, target: Target, endpoint: Endpoint, body: dict[str, Any], permit: Permit
    ) -> Passage:
        """As `Relay.open`."""
        relay, passed = self._relay, call.dialect.passed
        assert passed is not None
        timeouts, streams = target.timeouts or relay.timeouts, passed.streams or call.stream
        kind, data = write_form(body) if passed.is_form else (JSON, orjson.dumps(body))
        keep = not streams or relay.engines[target.engine].keeps_alive_after_stream
        head = _head(endpoint, call.dialect.engine_path, kind, len(data), keep=keep)
        call.sent_bytes = len(data)
        first_byte_s = timeouts.first_byte_s if streams else timeouts.answer_s
        line = relay.pool.take(endpoint)
        while True:
            if line is None:
                line = await relay.dial(target, endpoint)
            line.keeps_head = True
            reading = Reading(line, streams, True, timeouts.answer_s)
            line.ask(reading, permit, head, data, first_byte_s, timeouts.between_bytes_s, keep)
            try:
                reason = await reading
            except asyncio.CancelledError:  # the client went away: stop the engine's work now
                line.cancel()
                raise
            finally:
                line.keeps_head = False
            if reason != "stale":
                break
            line = None
        if reason is not None:
            raise raised_for(target, reason)
        if (status := line.status()) != 200:
            later_s = seconds_of(line.header(b"retry-after")) if status in BUSY else None
            failure = relay.failure_of(call, target, line, status, parsed(reading.parts or [b""]), None)
            raise raised(target, failure, later_s=later_s)
        passage = Passage(call, reading, _kind(line.header(b"content-type")))
        if not reading.is_events:
            self._look_at(passage, call, target)
        return passage

    def _look_at(self, passage: Passage, call: Call, target: Target) -> None:
        """An answer in one piece: what is broken goes no further, and what an engine tells of its use is noted."""
        data = passage.whole = b"".join(passage.reading.parts)
        if call.dialect.passed is not None and call.dialect.passed.streams and not data:
            raise raised_for(target, "malformed")
        if not passage.kind.startswith(JSON) or len(data) > LOOKED_BYTES:
            return
        fields: dict[str, Any] = parsed([data])
        if type(fields) is not dict:
            raise raised_for(target, "malformed")
        if fields.get("error"):  # some say 200 all the same
            failure = self._relay.failure_of(call, target, passage.reading.line, 500, fields, None)
            raise raised(target, failure)
        passage.usage = _usage(fields.get("usage"))


class Passage:
    """An answer that goes to its caller as it came."""

    __slots__ = ("_call", "_out", "held", "kind", "reading", "usage", "whole")

    def __init__(self, call: Call, reading: Reading, kind: bytes) -> None:
        self._call = call
        self._out: Request
        self.reading = reading
        self.kind = kind
        self.whole: bytes | None = None
        """All of it, where it came in one piece."""
        self.usage: Usage | None = None
        self.held: Finishing | None = None

    def send(self, out: Request, head: bytes) -> None:
        lines = b"%bcontent-type: %b\r\n" % (head, self.kind)
        if self.whole is not None:
            self._give_back("ok")
            out.answer(200, lines, self.whole)
            return
        self._out = out
        if out.is_gone:
            self._leave()
            return
        out.on_gone = self._leave
        out.on_pause, out.on_resume = self.reading.line.pause, self.reading.line.resume
        out.begin(200, lines)
        self.reading.pass_on(self)

    def on_piece(self, data: bytes) -> None:
        self._out.put(data)

    def on_end(self) -> None:
        if self._give_back("ok"):
            self._out.close()

    def on_lost(self, reason: str) -> None:
        if not self._give_back(reason):
            return
        if self.kind.startswith(EVENTS):
            late = "The engine sent nothing more for too long; the answer is not complete."
            failure = EngineTimedOut(late) if reason in LATE else EngineFailed(BROKE_OFF)
            self._out.break_off(failure, self._call.id)
        else:
            self._out.abort()

    def _give_back(self, outcome: str, status: int = 200) -> bool:
        """False where it was done before."""
        held, self.held = self.held, None
        if held is not None:
            held.finish(status, outcome, self.usage, self.reading.first_at)
        return held is not None

    def _leave(self) -> None:
        """The client went away: the engine must stop working for it at once."""
        self.reading.line.cancel()
        self._give_back("client_gone", 499)


def raised_for(target: Target, reason: str) -> Exception:
    """Of an answer that did not come."""
    return TargetFailed(target.name, reason, failure_for(reason, target))


def _head(endpoint: Endpoint, path: str, kind: bytes, size: int, *, keep: bool) -> bytes:
    """Nothing of the client's own headers goes up."""
    return b"".join((
        b"POST ", f"{endpoint.prefix}{path}".encode("ascii"), b" HTTP/1.1\r\n", endpoint.head,
        b"" if keep else b"connection: close\r\n", b"content-type: ", kind, b"\r\naccept: */*\r\n",
        b"content-length: %d\r\n\r\n" % size,
    ))  # fmt: skip


def _kind(told: bytes | None) -> bytes:
    """What the engine says that it is; what it does not say is not guessed."""
    return told[:MOST_HEAD] if told else b"application/octet-stream"


def _usage(told: Any) -> Usage | None:
    """Where it is told in tokens; seconds and pictures are none."""
    fields: dict[str, Any] = told
    if type(fields) is not dict:
        return None
    given, made = fields.get("input_tokens"), fields.get("output_tokens", 0)
    return Usage(given, made) if type(given) is int and type(made) is int else Usage.read(told)
