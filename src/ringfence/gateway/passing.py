"""A call to its target for what is neither chat nor text: a sound or a picture goes on as it comes.

As with `relay`: until the first byte another target may try. What is told in one piece is whole before it is sent on.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any, cast

import orjson

from ringfence.core.catalog import Endpoint, Target
from ringfence.core.errors import Failure, TargetFailed
from ringfence.core.usage import Usage
from ringfence.egress.permit import Permit
from ringfence.gateway.arriving import BEGINS_EVENTS, BEGINS_SOUND, Reading
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.dialect import Passed, Shape
from ringfence.gateway.form import write_form
from ringfence.gateway.passage import Events, Passage, Sound, Whole
from ringfence.gateway.relay import BUSY, NO_STREAM, Relay, failure_for, parsed, raised
from ringfence.gateway.retry_after import seconds_of

JSON = b"application/json"
MOST_HEAD = 200
"""Bytes of what an engine says that it sends."""
LOOKED_BYTES = 1024 * 1024
"""Of a longer answer in JSON its first and its last byte are looked at: to read it all would hold others up."""
PAGE = re.compile(rb"\s*<(?:!doctype|html)\b", re.IGNORECASE)


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
        timeouts, events = target.timeouts or relay.timeouts, passed.events(call.body)
        is_sound = passed.shape(call.body) is Shape.SOUND
        begins = BEGINS_EVENTS if events else BEGINS_SOUND if is_sound else NO_STREAM
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
            raise _raised_for(target, reason)
        if (status := line.status()) != 200:
            later_s = seconds_of(line.header(b"retry-after")) if status in BUSY else None
            failure = self._failure(call, target, reading, status, parsed(reading.parts or [b""]))
            raise raised(target, failure, later_s=later_s)
        told = _kind(line.header(b"content-type"))
        if not reading.is_events:
            return self._whole(call, target, reading, passed, told)
        return self._begun(call, target, reading) if events else Sound(call, reading, told)

    def _failure(self, call: Call, target: Target, reading: Reading, status: int, error: Any) -> Failure:
        return self._relay.failure_of(call, target, reading.line, status, error, None)

    def _begun(self, call: Call, target: Target, reading: Reading) -> Events:
        """What is wrong with its first piece, another target may mend."""
        events = Events(call, target.model, reading, partial(self._failure, call, target, reading, 500))
        if not events.begin():
            reading.line.cancel()
            raise _raised_for(target, "malformed") if events.failed is None else raised(target, events.failed)
        return events

    def _whole(self, call: Call, target: Target, reading: Reading, passed: Passed, told: bytes) -> Whole:
        """What is broken goes no further, and what an engine tells of its use is noted."""
        data, shape = b"".join(reading.parts), passed.shape(call.body)
        fields: Any = parsed([data]) if len(data) <= LOOKED_BYTES and data[:1] == b"{" else None
        said = cast("dict[str, Any]", fields) if type(fields) is dict else {}
        if said.get("error"):  # some say 200 all the same
            raise raised(target, self._failure(call, target, reading, 500, said))
        if not _is_answer(data, fields, shape, passed.field):
            raise _raised_for(target, "malformed")
        kind = JSON if shape is Shape.JSON else told
        return Whole(kind, data, Usage.read(said.get("usage")), reading.first_at)


def _is_answer(data: bytes, fields: Any, shape: Shape, field: str) -> bool:
    """Whether it is one, and all of it. A text may be empty, where nothing is said in a sound."""
    if shape is Shape.JSON and len(data) > LOOKED_BYTES:
        return data[:1] == b"{" and data.rstrip()[-1:] == b"}"
    if shape is Shape.JSON:
        held = cast("dict[str, Any]", fields).get(field) if type(fields) is dict else None
        return isinstance(held, str) or (isinstance(held, list) and bool(cast("list[Any]", held)))
    if PAGE.match(data):
        return False
    return _is_text(data) if shape is Shape.TEXT else bool(data) and type(fields) is not dict


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


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
