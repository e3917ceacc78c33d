"""A call to its target: open returns with the first byte, so that until then another target may try."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import orjson

from ringfence.core.catalog import Ability, Endpoint, Target, Timeouts
from ringfence.core.errors import (
    BoundaryRefused,
    ContextLengthExceeded,
    Crowded,
    EngineFailed,
    EngineTimedOut,
    Failure,
    TargetFailed,
    TargetUnavailable,
    UnreadableAnswer,
)
from ringfence.core.ports import Ask, Engine, Fetched, Translator, Wire
from ringfence.core.usage import Usage
from ringfence.egress.permit import Permit
from ringfence.egress.pool import Line, Pool
from ringfence.gateway.answer import read as read_answer
from ringfence.gateway.answer import renamed
from ringfence.gateway.arriving import BEGINS_EVENTS, BEGINS_LINES, Reading
from ringfence.gateway.call import Call
from ringfence.gateway.carried import for_engine
from ringfence.gateway.cloud import Cloud
from ringfence.gateway.cloud import failure as cloud_failure
from ringfence.gateway.cloud import request as cloud_request
from ringfence.gateway.reply import Answer, Stream, believed
from ringfence.gateway.retry_after import seconds_of
from ringfence.gateway.salts import SALT_BYTES, Salts
from ringfence.gateway.sse import most_events
from ringfence.gateway.step import in_task

MAX_HEADS = 1000
COUNT_S = 3.0
"""For an engine to count: llama.cpp takes 1 to 2.5 s for a million tokens. Later than that the bound will do."""
COUNTED_BYTES_A_TOKEN, USUAL_WINDOW = 16, 65_536
"""Text has 2 to 6 bytes a token. Where it would need more than 16 to fit, its number is not worth the engine's time:
llama.cpp goes on counting when nobody waits any more."""
NOTHING: frozenset[str] = frozenset()
NO_STREAM: frozenset[int] = frozenset()
ASKED_IN = {
    Ability.CHAT: "messages", Ability.COMPLETIONS: "prompt", Ability.EMBEDDINGS: "input", Ability.RERANK: "documents",
}  # fmt: skip
"""The field of a request that is too long, where the engine says so."""
BUSY = frozenset((429, 503, 529))
"""Statuses with which a target may say when to come again."""
ANSWERED_IN = frozenset(("choices", "data", "results"))
"""One of these fields holds what was asked for."""


class Relay:
    """Sends one request to one endpoint."""

    def __init__(self, pool: Pool, timeouts: Timeouts, engines: dict[str, Engine]) -> None:
        self.pool = pool
        self.timeouts = timeouts
        self.engines = engines
        self.clouds: dict[str, Cloud] = {}
        """By the name of the provider."""
        self.salts = Salts()
        self.correct: Callable[[Target, int], object] = lambda _target, _window: None
        """Told where an engine, in refusing a request, names another window than is known."""
        self.crowded: Callable[[Target], object] = lambda _target: None
        """Told where an engine's requests do not fit its context together."""
        self.slow: Callable[[Target], object] = lambda _target: None
        """Told where a stream begins late."""
        self._heads: dict[tuple[bytes, str, str, bool], bytes] = {}
        self._swaps: dict[tuple[str, str], tuple[bytes, bytes]] = {}

    async def count(
        self, call: Call, target: Target, endpoint: Endpoint, body: dict[str, Any], permit: Permit
    ) -> int | None:
        """Tokens of the prompt in `body`, as the engine itself counts them; None where it does not, or where the prompt
        is far too long. It is asked where the call will go and under the permit of the call, so that nothing is told to
        anyone else."""
        size_bytes = call.text_bytes if body is call.body else 0
        if target.provider or size_bytes > COUNTED_BYTES_A_TOKEN * (target.window or USUAL_WINDOW):
            return None
        if call.asked is not None:
            body = for_engine(body, target.engine)
        ask = partial(self._ask, endpoint, permit)
        return await in_task(_counted(self.engines[target.engine], ask, call.dialect.ability, body), id)

    async def _ask(self, endpoint: Endpoint, permit: Permit, path: str, body: dict[str, Any]) -> Fetched:
        return await self.pool.ask(endpoint, permit, path, body, COUNT_S)

    def cuts(self, target: Target) -> bool:
        """Whether what serves the target may cut a prompt that is too long, without a word."""
        return not target.provider and (target.may_cut or self.engines[target.engine].may_cut)

    def forbidden(self, target: Target) -> frozenset[str]:
        """Body fields that would make what serves the target reach elsewhere."""
        return NOTHING if target.provider else self.engines[target.engine].forbidden_fields

    def cloud_of(self, target: Target) -> Cloud:
        """Who serves it. Raises TargetFailed where that provider is not configured any more."""
        cloud = self.clouds.get(target.provider)
        if cloud is None:
            raise TargetFailed(target.name, "elsewhere", TargetUnavailable(
                f"The provider of '{target.model}' is not configured any more."
            ))  # fmt: skip
        return cloud

    async def open(
        self, call: Call, target: Target, endpoint: Endpoint, body: dict[str, Any], permit: Permit
    ) -> Answer | Stream:
        """Returns with the first byte. TargetFailed: another may try. Failure: the request itself is at fault. What is
        for the engine alone is added to `body`, which was made for this target."""
        timeouts, stream = target.timeouts or self.timeouts, call.stream
        first_byte_s = timeouts.first_byte_s if stream else timeouts.answer_s
        cloud = self.cloud_of(target) if target.provider else None
        wire: Wire | None = None
        output: int | None = body.get("max_tokens")
        salt_bytes = 0
        if cloud is None:
            engine, path = self.engines[target.engine], call.dialect.engine_path
            if engine.wires and (wire := engine.wires.get(call.dialect.ability)) is not None:
                path, body = wire.path, wire.request(body)
            if engine.salt_field:
                body[engine.salt_field] = self.salts.of(call.key.id)
                salt_bytes = SALT_BYTES + len(engine.salt_field)
            keep = not stream or engine.keeps_alive_after_stream
            asked = (endpoint.head, endpoint.prefix, path, keep)
            start = self._heads.get(asked) or self._head(*asked)
            data = orjson.dumps(body)
            head = b"%b%d\r\n\r\n" % (start, len(data))
        else:
            keep, output = True, output or cloud.max_tokens
            head, data = cloud_request(cloud, call, target, endpoint, body, permit)
        translator = wire if cloud is None else cloud.adapter
        call.sent_bytes = len(data) - salt_bytes  # it is no part of the prompt
        begins = NO_STREAM if not stream else BEGINS_EVENTS if wire is None else BEGINS_LINES
        asked_at = monotonic() if timeouts.slow_s is not None else 0.0
        line = self.pool.take(endpoint)
        while True:
            if line is None:
                line = await self.dial(target, endpoint)
            reading = Reading(line, begins, timeouts.answer_s)
            line.ask(reading, permit, head, data, first_byte_s, timeouts.between_bytes_s, keep)
            try:
                reason = await reading
            except asyncio.CancelledError:  # the client went away: stop the engine's work now
                line.cancel()
                raise
            # An idle connection may turn out to be dead: once more, on a new one. What is paid for may have been passed
            # on before that, and money is held for it once.
            if reason != "stale" or cloud is not None:
                break
            line = None
        if reason is not None and not (reason == "lost" and reading.parts):  # an answer may end with its connection
            raise TargetFailed(target.name, "lost" if reason == "stale" else reason, failure_for(reason, target))
        status = line.status()
        if status == 200 and not reading.is_events:
            return self._whole(call, target, reading, reason, translator, cloud)
        if not reading.is_events:
            later_s = seconds_of(line.header(b"retry-after")) if status in BUSY else None
            failure = self.failure_of(call, target, line, status, parsed(reading.parts), cloud)
            raise raised(target, failure, later_s=later_s)
        if timeouts.slow_s is not None and reading.first_at - asked_at > timeouts.slow_s:
            self.slow(target)
        return self._begun(call, target, reading, translator, cloud, output)

    def _begun(
        self, call: Call, target: Target, reading: Reading, translator: Translator | None, cloud: Cloud | None,
        output: int | None,
    ) -> Stream:  # fmt: skip
        """A stream that has begun, be it with an error."""
        line = reading.line
        fails = partial(self.failure_of, call, target, line, 500, cloud=cloud)
        translation = translator.stream(include_usage=True) if translator is not None else None
        events = Stream(call, target.model, reading, fails, most_events(output, call.body), translation)
        if (failure := events.begin()) is not None:
            line.cancel()
            if call.hold and events.has_told:  # it worked before it failed, and may want to be paid for that
                raise TargetFailed(target.name, "lost", failure)
            is_unread = events.failed is None or isinstance(failure, UnreadableAnswer)
            raise raised(target, failure, "malformed" if is_unread else "status")
        return events

    def failure_of(
        self, call: Call, target: Target, line: Line, status: int, error: Any, cloud: Cloud | None
    ) -> Failure:  # fmt: skip
        """What an error answer comes to; `error` may be one of ours already."""
        if isinstance(error, Failure):
            return self._noted(call, target, error)
        if cloud is not None:
            return self._noted(call, target, cloud_failure(cloud, target, line, status, error))
        failure = self.engines[target.engine].failure(status, error)
        return self._noted(call, target, failure)

    def _noted(self, call: Call, target: Target, failure: Failure) -> Failure:
        """What it tells of the engine is passed on."""
        if isinstance(failure, ContextLengthExceeded):
            if not target.provider and failure.told_window not in (None, target.window):
                self.correct(target, failure.told_window)
            return failure.of(call.said_in or ASKED_IN.get(call.dialect.ability, "input"), target.window)
        if isinstance(failure, Crowded):
            self.crowded(target)
        return failure

    async def dial(self, target: Target, endpoint: Endpoint) -> Line:
        try:
            line = await in_task(self.pool.dial(endpoint), Line.cancel)
            if line.transport.is_closing():  # it died as soon as it was made: nobody would tell us
                raise ConnectionResetError
        except (OSError, TimeoutError):
            raise TargetFailed(target.name, "connect", failure_for("connect", target)) from None
        return line

    def _whole(
        self, call: Call, target: Target, reading: Reading, reason: str | None, translator: Translator | None,
        cloud: Cloud | None,
    ) -> Answer:  # fmt: skip
        parts = reading.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        read = None if call.dialect.rewrites or translator is not None else read_answer(data)
        if read is not None:
            name, usage = read
            shown = renamed(data, *(self._swaps.get((name, target.model)) or self._swap(name, target.model)))
            if shown is not None:
                return Answer(shown, usage, reading.first_at)
        fields: dict[str, Any] = parsed([data])
        if type(fields) is not dict:
            raise TargetFailed(target.name, reason or "malformed", failure_for(reason or "malformed", target))
        if translator is not None:
            try:
                fields = translator.answer(fields)
            except UnreadableAnswer as failure:
                raise raised(target, failure, reason or "malformed") from None
            except Failure as failure:  # it may turn out to be an error
                raise raised(target, self._noted(call, target, failure)) from None
        if ANSWERED_IN.isdisjoint(fields):
            if fields.get("error"):  # some say 200 all the same
                raise raised(target, self.failure_of(call, target, reading.line, 500, fields, cloud))
            raise TargetFailed(target.name, "malformed", failure_for("malformed", target))
        usage = Usage.read(fields.get("usage"))
        if usage is None or not believed(call, usage):
            usage = _estimate(call, parts)
            fields["usage"] = {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
            }
        fields["model"] = target.model
        call.dialect.finish(call.body, fields)
        return Answer(orjson.dumps(fields), usage, reading.first_at)

    def _swap(self, name: str, model: str) -> tuple[bytes, bytes]:
        """The model's name as its engine writes it into an answer, and as callers know it."""
        if len(self._swaps) > MAX_HEADS:
            self._swaps.clear()
        swap = self._swaps[name, model] = (b'"model":%b' % orjson.dumps(name), b'"model":%b' % orjson.dumps(model))
        return swap

    def _head(self, endpoint_head: bytes, prefix: str, path: str, keep: bool) -> bytes:
        """Nothing of the client's own headers goes up: what an engine may do is not for callers to say."""
        if len(self._heads) > MAX_HEADS:  # endpoints change with every restart of an engine
            self._heads.clear()
        head = self._heads[endpoint_head, prefix, path, keep] = b"".join((
            b"POST ", f"{prefix}{path}".encode("ascii"), b" HTTP/1.1\r\n", endpoint_head,
            b"" if keep else b"connection: close\r\n",
            b"content-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: ",
        ))  # fmt: skip
        return head


async def _counted(engine: Engine, ask: Ask, ability: Ability, body: dict[str, Any]) -> int | None:
    try:
        return await engine.count(ask, ability, body)
    except BoundaryRefused:
        raise
    except Exception:  # adapters come from outside packages too, and engines answer anything
        return None


def raised(target: Target, failure: Failure, reason: str = "status", later_s: float | None = None) -> Exception:
    """How a call hears of it: with TargetFailed the next target may try."""
    failure.retry_after_s = failure.retry_after_s if later_s is None else later_s
    if failure.status >= 500 or failure.status == 429:
        return TargetFailed(target.name, "crowded" if isinstance(failure, Crowded) else reason, failure, later_s)
    return failure


def _estimate(call: Call, parts: list[bytes]) -> Usage:
    """For answers without a reported usage: four bytes are about a token."""
    output = sum(map(len, parts)) // 4 if call.dialect.generates else 0
    return Usage(call.body_bytes // 4, output, estimated=True)


def failure_for(reason: str, target: Target) -> Failure:
    name = target.model
    if reason in ("first_byte_timeout", "stalled"):
        return EngineTimedOut(f"'{name}' did not answer in time.", retry_after_s=5)
    if reason == "connect":
        return EngineFailed(f"The engine of '{name}' cannot be reached.", retry_after_s=2)
    if reason == "malformed":
        return EngineFailed(f"The engine of '{name}' sent something that cannot be read.")
    return EngineFailed(f"The engine of '{name}' broke off before it answered.", retry_after_s=2)


def parsed(parts: list[bytes]) -> Any:
    try:
        return orjson.loads(parts[0] if len(parts) == 1 else b"".join(parts))
    except orjson.JSONDecodeError:
        return None
