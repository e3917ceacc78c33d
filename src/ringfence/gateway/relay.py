"""From a target to the caller: open returns with the first byte, so that until then another target may try.

After the first byte nothing is retried: a stream that breaks ends with an error event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic, time
from typing import Any

import orjson

from ringfence.core.catalog import Endpoint, Target
from ringfence.core.errors import EngineFailed, EngineTimedOut, Failure, TargetFailed
from ringfence.core.ports import Engine
from ringfence.core.usage import Usage
from ringfence.egress.permit import Permit
from ringfence.egress.pool import Line, Pool
from ringfence.gateway.call import Call
from ringfence.gateway.request import JSON_HEAD, Request
from ringfence.gateway.sse import EventStream, MalformedStream, error_event, usage_event
from ringfence.gateway.step import Waiter, in_task

MAX_ANSWER_BYTES = 64 * 1024 * 1024
EVENT_HEAD = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `answer_s` bounds an answer that is not streamed: its first byte comes with its last."""

    first_byte_s: float = 120.0
    between_bytes_s: float = 60.0
    answer_s: float = 600.0


Finish = Callable[[int, str, Usage | None, float], None]
"""Called once per reply: status, outcome, usage, monotonic time of the first byte (0: none)."""


class Reading(Waiter["str | None"]):
    """What arrives from the engine. Awaited until the first byte of a stream or the whole of an answer is there (None),
    or nothing will come (the reason). Gathered until a sink is attached, then passed on."""

    __slots__ = ("_ended", "_lost", "_size", "first_at", "is_events", "line", "parts", "sink", "status")

    def __init__(self, line: Line) -> None:
        self._run = None
        self.is_done = False
        self.line = line
        self.parts: list[bytes] = []
        self.sink: Stream | None = None
        self.status = self._size = 0
        self.is_events = self._ended = False
        self._lost: str | None = None
        self.first_at = 0.0

    def on_head(self, status: int, content_type: bytes) -> None:
        self.status = status
        if status == 200 and content_type.startswith(b"text/event-stream"):
            self.is_events = True

    def on_piece(self, data: bytes) -> None:
        if self.sink is not None:
            self.sink.on_piece(data)
            return
        parts = self.parts
        if not parts:
            self.first_at = monotonic()
        parts.append(data)
        if self.is_events:
            self.wake(None)
            return
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES:
            self.line.cancel()
            self.wake("malformed")

    def on_end(self) -> None:
        if self.sink is not None:
            self.sink.on_end()
        else:
            self._ended = True
            self.wake(None)

    def on_lost(self, reason: str) -> None:
        if self.sink is not None:
            self.sink.on_lost(reason)
        else:
            self._lost = reason
            self.wake(reason)

    def attach(self, sink: Stream) -> None:
        """Pass everything on from here, what was gathered first."""
        parts, self.parts, self.sink = self.parts, [], sink
        sink.on_piece(b"".join(parts))
        if self._ended:
            sink.on_end()
        elif self._lost is not None:
            sink.on_lost(self._lost)


class Answer:
    """A whole JSON answer."""

    __slots__ = ("_finish", "_first_at", "body", "head", "status", "usage")

    def __init__(
        self, status: int, head: bytes, body: bytes, usage: Usage | None, first_at: float, finish: Finish
    ) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.usage = usage
        self._first_at = first_at
        self._finish = finish

    def send(self, out: Request, head: bytes) -> None:
        self._finish(self.status, "ok", self.usage, self._first_at)
        out.answer(self.status, head + self.head, self.body)


class Stream:
    """An answer that is relayed event by event, at the pace of the slower side."""

    __slots__ = ("_call", "_events", "_finish", "_out", "_reading")

    def __init__(self, call: Call, model: str, reading: Reading, finish: Finish) -> None:
        self._call = call
        self._reading = reading
        self._events = EventStream(model, hides_usage=not call.wants_usage)
        self._finish: Finish | None = finish

    def send(self, out: Request, head: bytes) -> None:
        self._out = out
        if out.is_gone:
            self._leave()
            return
        out.on_gone = self._leave
        out.on_pause = self._reading.line.pause
        out.on_resume = self._reading.line.resume
        out.begin(200, head + EVENT_HEAD)
        self._reading.attach(self)

    def on_piece(self, data: bytes) -> None:
        if self._finish is None:
            return
        try:
            shown = self._events.feed(data)
        except MalformedStream as problem:
            self._reading.line.cancel()
            self._break("malformed", EngineFailed(f"The engine sent {problem} in the middle of a stream."))
            return
        if shown:
            self._out.write(shown)

    def on_end(self) -> None:
        events = self._events
        usage = events.usage or self._estimate()
        if self._call.wants_usage and events.usage is None and not events.is_ended and events.error is None:
            kind = "chat.completion.chunk" if self._call.dialect.name == "chat" else "text_completion"
            self._out.write(usage_event(self._call.model, usage, self._call.id, int(time()), kind))
        self._out.write(events.ending())
        self._close("engine_error" if events.error else "ok", usage)

    def on_lost(self, reason: str) -> None:
        if self._events.is_done:  # the stream was whole; only its connection ended badly
            self.on_end()
        elif reason in ("stalled", "first_byte_timeout"):
            self._break(
                reason, EngineTimedOut("The engine sent nothing more for too long; the answer is not complete.")
            )
        else:
            self._break(reason, EngineFailed("The engine broke off; the answer is not complete."))

    def _break(self, outcome: str, failure: Failure) -> None:
        self._out.write(error_event(failure.envelope()))
        self._close(outcome, self._events.usage or self._estimate())

    def _close(self, outcome: str, usage: Usage) -> None:
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(200, outcome, usage, self._reading.first_at)
            self._out.finish()

    def _leave(self) -> None:
        """The client went away: the engine must stop working for it at once."""
        self._reading.line.cancel()
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(499, "client_gone", self._events.usage or self._estimate(), self._reading.first_at)

    def _estimate(self) -> Usage:
        """For streams without a reported usage: an event is about a token, four bytes of prompt are about one."""
        return Usage(self._call.body_bytes // 4, self._events.events, estimated=True)


class Relay:
    """Sends one request to one endpoint."""

    def __init__(self, pool: Pool, timeouts: Timeouts, engines: dict[str, Engine]) -> None:
        self.pool = pool
        self.timeouts = timeouts
        self.engines = engines

    async def open(
        self, call: Call, target: Target, endpoint: Endpoint, body: dict[str, Any], permit: Permit, finish: Finish
    ) -> Answer | Stream:
        """Returns with the first byte. TargetFailed: another may try. Failure: the request itself is at fault."""
        engine = self.engines[target.engine]
        timeouts = self.timeouts
        first_byte_s = timeouts.first_byte_s if call.stream else timeouts.answer_s
        keep = engine.keeps_alive_after_stream or not call.stream
        data = orjson.dumps(body)
        head = b"%b%d\r\n\r\n" % (_head(endpoint.head, endpoint.prefix + call.dialect.engine_path, keep), len(data))
        line = self.pool.take(endpoint)
        while True:
            if line is None:
                line = await self._dial(target, endpoint)
            reading = Reading(line)
            line.ask(reading, permit, head, data, first_byte_s, timeouts.between_bytes_s, keep)
            try:
                reason = await reading
            except asyncio.CancelledError:  # the client went away: stop the engine's work now
                line.cancel()
                raise
            if reason != "stale":  # an idle connection that turned out to be dead: once more, on a new one
                break
            line = None
        if reason is not None:
            raise TargetFailed(target.name, reason, _failure_for(reason, target))
        status, error = reading.status, _json(reading.parts) if reading.status != 200 else None
        if reading.is_events:
            error = _error_in(reading.parts)
            if error is None:
                return Stream(call, target.model, reading, finish)
            reading.line.cancel()
            status = 500
        elif status == 200:
            return self._whole(call, target, reading, finish)
        failure = engine.failure(status, error)
        if failure.status >= 500 or failure.status == 429:
            raise TargetFailed(target.name, "status", failure)
        raise failure

    async def _dial(self, target: Target, endpoint: Endpoint) -> Line:
        try:
            return await in_task(self.pool.dial(endpoint), Line.cancel)
        except (OSError, TimeoutError):
            raise TargetFailed(target.name, "connect", _failure_for("connect", target)) from None

    def _whole(self, call: Call, target: Target, reading: Reading, finish: Finish) -> Answer:
        answer = _json(reading.parts)
        if not isinstance(answer, dict):
            raise TargetFailed(
                target.name, "malformed", EngineFailed(f"'{target.model}' gave an answer that is not JSON.")
            )
        usage = Usage.read(answer.get("usage"))  # type: ignore[arg-type]
        if usage is None:
            usage = Usage(call.body_bytes // 4, sum(map(len, reading.parts)) // 4, estimated=True)
            answer["usage"] = {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens if call.dialect.generates else 0,
                "total_tokens": usage.total_tokens,
            }
        answer["model"] = target.model
        call.dialect.finish(call.body, answer)  # type: ignore[arg-type]
        return Answer(200, JSON_HEAD, orjson.dumps(answer), usage, reading.first_at, finish)


@lru_cache(1024)
def _head(endpoint_head: bytes, path: str, keep: bool) -> bytes:
    """Nothing of the client's own headers goes up: what an engine may do is not for callers to say."""
    return b"POST %b HTTP/1.1\r\n%b%bcontent-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: " % (
        path.encode("ascii"), endpoint_head, b"" if keep else b"connection: close\r\n"
    )  # fmt: skip


def _failure_for(reason: str, target: Target) -> Failure:
    name = target.model
    if reason in ("first_byte_timeout", "stalled"):
        return EngineTimedOut(f"'{name}' did not answer in time.", retry_after_s=5)
    if reason == "connect":
        return EngineFailed(f"The engine of '{name}' cannot be reached.", retry_after_s=2)
    if reason == "malformed":
        return EngineFailed(f"The engine of '{name}' sent something that is not HTTP.")
    return EngineFailed(f"The engine of '{name}' broke off before it answered.", retry_after_s=2)


def _error_in(parts: list[bytes]) -> Any:
    """The error with which some engines open a stream that they answered with 200; None when it begins well."""
    first = parts[0] if parts else b""
    if not first.startswith((b'data: {"error"', b'data:{"error"', b"error:", b"event: error")):
        return None
    begin = first.find(b"{")
    return _json([first[begin:].split(b"\n", 1)[0]]) if begin >= 0 else {}


def _json(parts: list[bytes]) -> Any:
    try:
        return orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError:
        return None
