"""A call to its target for what is neither chat nor text: a sound or a picture goes on as it comes.

As with `relay`: until the first byte another target may try. What is told in one piece is whole before it is sent on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

import orjson

from ringfence.core.catalog import Endpoint, Target
from ringfence.core.errors import Failure, TargetFailed
from ringfence.core.usage import Usage
from ringfence.egress.permit import Permit
from ringfence.egress.pool import Line
from ringfence.gateway.arriving import BEGINS_EVENTS, BEGINS_LINES, BEGINS_SOUND, Reading
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.dialect import Passed, Shape
from ringfence.gateway.form import write_form
from ringfence.gateway.passage import EVENTS, Events, Passage, Sound, Texts, Whole
from ringfence.gateway.passed_shape import bare, begins_events, is_answer, is_prose
from ringfence.gateway.relay import BUSY, NO_STREAM, Relay, failure_for, parsed, raised
from ringfence.gateway.retry_after import seconds_of

JSON = b"application/json"
HEADLESS = frozenset(("pcm", "raw"))
"""Of `response_format`: a sound that may begin with any byte."""
MOST_HEAD = 200
"""Bytes of what an engine says that it sends."""
LOOKED_BYTES = 1024 * 1024
"""Of a longer answer in JSON its first and its last byte are looked at: to read it all would hold others up."""


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
        timeouts, begins = target.timeouts or relay.timeouts, _begins(passed, call.body)
        kind, data = write_form(body) if passed.is_form else (JSON, orjson.dumps(body))
        keep = not begins or relay.engines[target.engine].keeps_alive_after_stream
        head = _head(endpoint, call.dialect.engine_path, kind, len(data), keep=keep)
        call.sent_bytes = len(data)
        first_byte_s = timeouts.first_byte_s if begins else timeouts.answer_s
        line = relay.pool.take(endpoint)
        while True:
            if line is None:
                line = await relay.dial(target, endpoint)
            line.keeps_head = True
            reading = Reading(line, begins, timeouts.answer_s)
            line.ask(reading, permit, head, data, first_byte_s, timeouts.between_bytes_s, keep)
            reason = await _arrived(line, reading)
            if reason != "stale":
                break
            line = None
        if begins is BEGINS_EVENTS and reading.is_events and not begins_events(reading.parts[0]):
            gathering = Reading(line, NO_STREAM, timeouts.answer_s)  # it knows nothing of events
            reading.pass_on(gathering)
            reading, reason = gathering, await _arrived(line, gathering)
        return self._taken(call, target, reading, reason)

    def _taken(self, call: Call, target: Target, reading: Reading, reason: str | None) -> Passage:
        """What has arrived; until now nothing is sent."""
        line, passed = reading.line, call.dialect.passed
        assert passed is not None
        if reason is not None and not (reason == "lost" and reading.parts):
            raise _raised_for(target, reason)
        if (status := line.status()) != 200:
            later_s = seconds_of(line.header(b"retry-after")) if status in BUSY else None
            failure = self._failure(call, target, reading, status, parsed(reading.parts or [b""]))
            raise raised(target, failure, later_s=later_s)
        told = _kind(line.header(b"content-type"))
        if not reading.is_events:
            return self._whole(call, target, reading, passed, told, is_cut=reason is not None)
        if passed.events(call.body):
            return self._begun(call, target, reading, passed)
        if is_prose(told, reading.parts[0]):
            line.cancel()
            raise _raised_for(target, "malformed")
        return Sound(call, reading, told)

    def _failure(self, call: Call, target: Target, reading: Reading, status: int, error: Any) -> Failure:
        return self._relay.failure_of(call, target, reading.line, status, error, None)

    def _begun(self, call: Call, target: Target, reading: Reading, passed: Passed) -> Texts | Events:
        """What is wrong with its first piece, another target may mend."""
        if passed.shape(call.body) is Shape.TEXT:
            return Texts(call, reading, EVENTS)
        events = Events(call, target.model, reading, partial(self._failure, call, target, reading, 500))
        if not events.begin():
            reading.line.cancel()
            raise _raised_for(target, "malformed") if events.failed is None else raised(target, events.failed)
        return events

    def _whole(
        self, call: Call, target: Target, reading: Reading, passed: Passed, told: bytes, *, is_cut: bool
    ) -> Whole:
        """What is broken goes no further, and what an engine tells of its use is noted. `is_cut`: its connection ended,
        and only what says itself where it ends may be whole."""
        data, shape = b"".join(reading.parts), passed.shape(call.body)
        text = bare(data)
        is_long = len(data) > LOOKED_BYTES
        fields: Any = parsed([text]) if text[:1] in (b"{", b"[") and not is_long else None
        said = cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}
        if said.get("error"):  # some say 200 all the same
            raise raised(target, self._failure(call, target, reading, 500, said))
        if is_cut and shape is not Shape.JSON:
            raise _raised_for(target, "lost")
        if not is_answer(passed, shape, told, text, fields, is_long=is_long, lines=passed.events(call.body)):
            raise _raised_for(target, "lost" if is_cut else "malformed")
        kind = JSON if said or (shape is Shape.JSON and is_long) else told
        return Whole(kind, data, Usage.read(said.get("usage")), reading.first_at)


async def _arrived(line: Line, reading: Reading) -> str | None:
    try:
        return await reading
    except asyncio.CancelledError:  # the client went away: stop the engine's work now
        line.cancel()
        raise
    finally:
        line.keeps_head = False


def _begins(passed: Passed, body: dict[str, Any]) -> frozenset[int]:
    if passed.events(body):
        return BEGINS_EVENTS
    if passed.shape(body) is not Shape.SOUND:
        return NO_STREAM
    return BEGINS_LINES if body.get("response_format") in HEADLESS else BEGINS_SOUND


def _raised_for(target: Target, reason: str) -> Exception:
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
