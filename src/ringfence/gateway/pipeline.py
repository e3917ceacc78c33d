"""The request path. Read `complete` downwards: who asks, where it may go, what is held, who answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, time
from typing import Any

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Endpoint, Target
from ringfence.core.errors import (
    BadRequest,
    ContextLengthExceeded,
    Failure,
    NothingNow,
    TargetFailed,
    TargetUnavailable,
)
from ringfence.core.identity import Key
from ringfence.core.isolation import NO_WALL, Isolation
from ringfence.core.ports import Emit, Leased
from ringfence.core.route import Chain, Decision, Ending, House, Kept, Overlong, Profile, Signals
from ringfence.core.usage import Usage
from ringfence.egress.permit import Permit, issue
from ringfence.gateway.admission import Admission, Lane
from ringfence.gateway.call import Call
from ringfence.gateway.depth import MOST_DEEP, is_deep
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.fitting import USUAL_TOKENS_A_BYTE, prepared, refit, refuse_steering, surely, weigh
from ringfence.gateway.ids import CallIds
from ringfence.gateway.limits import Hold, RateLimits
from ringfence.gateway.meters import Meters, media_bytes
from ringfence.gateway.ports import Parks, Placing, Reader
from ringfence.gateway.relay import Answer, Relay, Stream
from ringfence.gateway.reply_head import reply_head
from ringfence.gateway.reported import Reported
from ringfence.gateway.request import Request
from ringfence.gateway.shrink import Fitted
from ringfence.gateway.step import Run, in_task
from ringfence.gateway.tools import tool_names
from ringfence.gateway.window import clamp, output_asked
from ringfence.routing.chain import roomiest_first, walk
from ringfence.routing.health import Health
from ringfence.routing.rules import PARK_RETRY_S, RULES, Rule, decide
from ringfence.routing.standing import standing, tools_reach, walled
from ringfence.signals.sensitivity import Sensitivity
from ringfence.telemetry.events import Kind, Refused, Retried, answered

log = logging.getLogger("ringfence.pipeline")
BYTES_A_TOKEN = 4
"""About; with the output asked for, that is how many tokens a call can use."""
BIG_BODY_BYTES = 256 * 1024
SLICE_BYTES = 4 * 1024 * 1024
LONG_TEXT_BYTES = 16 * 1024
"""Longer ones are read in steps, with turns for others in between: a step takes about as long as this much."""
MAX_JSON_ITEMS = 1_000_000
MAX_KINDS = 4096
PARKED_LEASE_S = 1.0
AWAY = frozenset(("connect", "loading"))
FULL = frozenset((429, 503))
"""Reasons and statuses that say nothing of the request: the engine is not there, or busy."""
TURNS_BETWEEN = 4
"""A call takes several turns of the loop until its first byte: it is not to wait for a step at each of them."""

Told = tuple[str, str, str, str, str, int, str, bool]
"""Key id, dialect, model, target, rule, status, outcome, stream."""


@dataclass(slots=True)
class Settings:
    """What a reload replaces; everything else of the pipeline lives on."""

    catalog: Catalog
    house: House
    retries: int = 2
    lease_wait_s: float = 30.0
    rules: tuple[Rule, ...] = RULES
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    reader: Reader | None = None
    isolation: Isolation = NO_WALL
    decisions: dict[Asked, Decision] = field(default_factory=dict["Asked", Decision])
    heads: dict[tuple[str, str, str], bytes] = field(default_factory=dict[tuple[str, str, str], bytes])
    """Header lines of answers, by target, rule and window."""

    def profile_of(self, call: Call) -> Profile:
        """Under which profile a call is made; Forbidden when one that it rests on is not configured, or is not to be
        served as things are."""
        profile = standing(self.house, call.key.profile, call.agent, call.named, call.key.agent)
        return walled(profile, self.isolation)


Asked = tuple[str, str, str, str, str, Ability, Boundary, str]
"""Model, the key's profile and agent, agent, named profile, ability, how far the text may travel at most, and why."""


class Pipeline:
    """Takes requests that the site has screened, and answers them."""

    def __init__(
        self,
        settings: Settings,
        *,
        limits: RateLimits,
        admission: Admission,
        placement: Placing,
        relay: Relay,
        health: Health,
        emit: Emit,
        ids: CallIds,
    ) -> None:
        self.settings = settings
        self.limits = limits
        self.admission = admission
        self.placement = placement
        self.relay = relay
        self.health = health
        self.emit = emit
        self.ids = ids
        self.running: dict[str, Call] = {}
        self.reported = Reported(emit)
        self.meters = Meters(monotonic)
        self.parking: Parks | None = None
        relay.crowded = admission.crowded
        self._kinds: dict[Told, Kind] = {}
        self._reading = asyncio.Lock()

    # -- the path -----------------------------------------------------------------------------------------------

    async def complete(self, call: Call) -> tuple[Answer | Stream, bytes]:
        """Answer a call, or raise the Failure that its caller is told. The bytes are header lines to send along."""
        decision = call.decision = self.decided(call) or await self.decided_in_turns(call)
        call.output = output_asked(call.body) if call.dialect.generates else None
        held = Held(self, call)
        call.media_bytes = media_bytes(call.body)
        self.limits.hold(call.key, self.needed(call, decision) if call.key.tokens_per_minute is not None else 0, held)
        relay = self.relay
        settings = self.settings  # that chose the targets: a reload may come before the answer
        failure: Failure | None = None
        broke: Failure | None = None
        try:
            for target in walk(chain_of(call, decision), decision.allowed, self.health.is_usable, settings.retries):
                refuse_steering(call, relay.forbidden(target))
                share, parts = self.admission.shared(target, call.body)
                fitted = surely(call, share, self.meters, refuses=refuses(call))
                held.weight = weight = parts * ((share.window or 0) if fitted is None else fitted.weight)
                try:
                    held.place = self.admission.take(target, weight) or await self.admission.place(target, weight)
                    lease = held.lease = self.placement.take(target) or await self.leased(call, target)
                    permits = partial(self.permit, call, decision.allowed, settings, lease.endpoint)
                    if fitted is None:
                        fitted = await self.weighed(call, share, lease.endpoint, permits)
                        held.lighten(parts * fitted.weight)
                    body = prepared(call, target, fitted)
                    try:
                        reply = await relay.open(call, target, lease.endpoint, body, permits())
                    except ContextLengthExceeded as refused:
                        reply, fitted = await self.asked_again(call, share, lease.endpoint, permits, fitted, refused)
                except TargetFailed as failed:  # nothing has been sent: the next may try
                    failure = failed.failure
                    broke = failure if failed.reason not in AWAY and failure.status not in FULL else broke
                    held.let_go()
                    self.gave_up(call, target, failed.reason)
                else:
                    self.health.succeed(target)
                    held.target = target
                    reply.held = held
                    return reply, reply_head(settings.heads, call.id, target, decision.told, fitted, held.allowance)
        except BaseException:
            held.release(None)
            raise
        if decision.chain.ending is Ending.PARK:  # whatever failed: it is not given up
            held.withdraw()
            nothing = NothingNow(f"No target of '{decision.model}' can serve this now.", retry_after_s=PARK_RETRY_S)
            nothing.broke = broke
            raise nothing
        held.release(None)
        raise failure or TargetUnavailable(
            f"No target of '{decision.model}' can serve this now.", retry_after_s=PARK_RETRY_S
        )

    def decided(self, call: Call) -> Decision | None:
        """Which chain, and why. What the text says is only looked at where it could leave this machine; None where it
        is too long to be read at one go."""
        decision = self._decide(call, call.at_most)
        if decision.allowed is Boundary.HOST:
            return decision
        if call.body_bytes > LONG_TEXT_BYTES or self.settings.reader is not None:
            return None
        kept = next(kept for kept in tightest(call, self.settings) if kept is not None)
        return self._decide(call, *kept)

    async def decided_in_turns(self, call: Call) -> Decision:
        """The same for a long text; by settings that may be newer than those it was first looked at with."""
        while True:
            settings = self.settings
            kept = await self.tightest_in_turns(call, settings)
            if settings is self.settings:  # otherwise a kind may have been added, and the text is read again
                return self._decide(call, *kept)

    async def tightest_in_turns(self, call: Call, settings: Settings) -> Kept:
        """`tightest`, and whoever else is served on this loop has turns before every step. Of all texts that are read
        in this way one step is made at a time."""
        kept: Kept | None = None
        steps = tightest(call, settings)
        while kept is None:
            async with self._reading:
                for _ in range(TURNS_BETWEEN):
                    await asyncio.sleep(0)
                kept = next(steps)
        if settings.reader is not None and kept.reach is not Boundary.HOST:
            reach = await in_task(settings.reader.read(call.body), id)  # `id`: nothing to give back
            if reach < kept.reach:
                return Kept(reach, "what Presidio found, or could not read")
        return kept

    def _decide(self, call: Call, at_most: Boundary, why: str = "") -> Decision:
        """As long as no rule looks further than the model's name, each decision is made once.

        It allows no more than its chain needs: with targets on this machine alone there is nothing to read a text for,
        and neither a retry nor an engine that has moved can take it further.
        """
        settings = self.settings
        key = call.key
        asked = (call.model, key.profile, key.agent, call.agent, call.named, call.dialect.ability, at_most, why)
        decision = settings.decisions.get(asked)
        if decision is None:
            signals = read_signals(call, Kept(at_most, why))
            decision = decide(settings.rules, settings.catalog, call.model, signals, settings.profile_of(call))
            decision.allowed = min(decision.allowed, max(target.boundary for target in decision.chain.targets))
            settings.decisions[asked] = decision
        return decision

    def needed(self, call: Call, decision: Decision) -> int:
        """About how many tokens it will use, in and out; of output, too, never more than there is room for."""
        output = clamp(call.output, decision.chain.targets[0].window)[0] if call.output is not None else None
        return self.prompt_tokens(call, decision) + (output or 0)

    def prompt_tokens(self, call: Call, decision: Decision) -> int:
        """About how many it will use: as its engine reported of others, and never more than go into its window."""
        first = decision.chain.targets[0]
        estimate = self.reported.ratios.estimate(first.name, call.text_bytes) or call.text_bytes // BYTES_A_TOKEN
        return min(estimate, first.window or estimate)

    async def leased(self, call: Call, target: Target) -> Leased:
        """A lease as soon as the instance is ready, within the time that the settings give it. What can be parked waits
        there instead, where its caller is told of it."""
        parks = self.parking is not None and call.decision is not None and call.decision.chain.ending is Ending.PARK
        wait_s = min(PARKED_LEASE_S, self.settings.lease_wait_s) if parks else self.settings.lease_wait_s
        return await in_task(self.placement.lease(target, wait_s), give_back)

    def permit(self, call: Call, allowed: Boundary, settings: Settings, endpoint: Endpoint) -> Permit:
        """For what is sent next. A reload since `settings` tightens what is under way, and widens nothing."""
        if self.settings is not settings:
            allowed = min(allowed, self.settings.profile_of(call).boundary)
        return issue(call.id, allowed, endpoint)

    async def weighed(self, call: Call, target: Target, endpoint: Endpoint, permits: Callable[[], Permit]) -> Fitted:
        """What may not fit, by the count of the engine that it goes to anyway. Raises ContextLengthExceeded."""

        def ask(body: dict[str, Any]) -> Coroutine[Any, Any, int | None]:
            return self.relay.count(call, target, endpoint, body, permits())

        size, cuts = call.text_bytes, self.relay.cuts(target)
        guess = (self.reported.ratios.estimate(target.name, size) or size * USUAL_TOKENS_A_BYTE) / size
        return await weigh(call, target, ask, guess, self.meters, refuses=refuses(call), is_cut=cuts)

    async def asked_again(
        self, call: Call, target: Target, endpoint: Endpoint, permits: Callable[[], Permit], sent: Fitted,
        refused: ContextLengthExceeded,
    ) -> tuple[Answer | Stream, Fitted]:  # fmt: skip
        """An engine that says that it is too long is believed, and gets less. Raises ContextLengthExceeded."""
        if refuses(call):
            raise refused
        for is_last in (False, True):
            sent = await refit(call, target, sent, refused, self.meters, is_last=is_last)
            body = prepared(call, target, sent)
            try:
                return await self.relay.open(call, target, endpoint, body, permits()), sent
            except ContextLengthExceeded as again:
                refused = again
        raise refused

    async def parked(self, request: Request, call: Call, nothing: NothingNow) -> tuple[Answer | Stream, bytes] | None:
        """It waits for a target within its boundary, where calls can be parked; else its caller is to come again."""
        if self.parking is None:
            raise nothing
        return await self.parking.wait(request, call)

    def gave_up(self, call: Call, target: Target, reason: str) -> None:
        """One target could not answer: remember it, and have its instance looked at."""
        if reason != "crowded":  # that says nothing of the target
            self.health.record(target, reason)
            self.placement.failed(target, reason)
        self.emit(Retried(call.id, target.name, reason))

    # -- around it ----------------------------------------------------------------------------------------------

    def serve(self, request: Request, dialect: Dialect) -> None:
        """Start answering; the run goes on from what it awaits, and ends with the request."""
        run = Run(self._serve(request, dialect))
        request.on_gone = run.cancel
        run.step()

    async def _serve(self, request: Request, dialect: Dialect) -> None:
        call: Call | None = None
        call_id = request.head.request_id
        if not call_id or call_id in self.running:  # callers may send the same id twice at once
            call_id = self.ids.next(request.started_at)
        try:
            if len(request.body) > BIG_BODY_BYTES:
                await check_size(request.body)
            call = read_call(request, dialect, call_id)
            self.running[call_id] = call
            try:
                reply, head = await self.complete(call)
            except NothingNow as nothing:
                answered = await self.parked(request, call, nothing)
                if answered is None:  # its caller has a ticket, and comes again
                    self.record(call, None, 202, "parked", None, 0.0)
                    return
                reply, head = answered
            reply.send(request, head)
        except Failure as failure:
            self._failed(request, call, dialect, call_id, failure)
        except asyncio.CancelledError:
            if call is not None:
                self.record(call, None, 499, "client_gone", None, 0.0)
            raise
        except Exception:  # a fault of ours must not take the connection down without a word
            self._failed(request, call, dialect, call_id, fault(call, call_id))

    def _failed(self, request: Request, call: Call | None, dialect: Dialect, call_id: str, failure: Failure) -> None:
        request.fail(failure, call_id)
        if call is not None:
            self.record(call, None, failure.status, failure.code or "error", None, 0.0)
        else:
            self.emit(Refused(failure.status, failure.code or "error", dialect.name))

    def record(
        self, call: Call, target: Target | None, status: int, outcome: str, usage: Usage | None, first_at: float
    ) -> None:
        """Write down, once, how a call ended."""
        if self.running.pop(call.id, None) is None:
            return
        now = monotonic()
        started_at, decision = call.started_at, call.decision
        model, rule = (decision.model, decision.rule) if decision is not None else (self._known(call.model), "")
        name = target.name if target is not None else ""
        first_byte_s = (first_at or now) - started_at
        told = (call.key.id, call.dialect.name, model, name, rule, status, outcome, call.stream)
        kind = self._kinds.get(told) or self._kind(call.key, told)
        fitting = call.fitting if target is not None else None
        self.emit(answered((call.id, time(), kind, first_byte_s, now - started_at, usage, fitting)))

    def _kind(self, key: Key, told: Told) -> Kind:
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        kind = self._kinds[told] = Kind(key, *told[1:])
        return kind

    def _known(self, name: str) -> str:
        """A model name fit for a label: callers can ask for anything, so unknown names are all one."""
        model = self.settings.catalog.names.get(name)
        return model.name if model is not None else "unknown"


class Held(Hold):
    """What a call holds while it runs: tokens, a place, a lease. Given back together, exactly once."""

    __slots__ = ("_call", "_pipeline", "lease", "place", "target", "weight")

    def __init__(self, pipeline: Pipeline, call: Call) -> None:
        self._pipeline = pipeline
        self._call = call
        self.allowance = None
        self.tokens = 0
        self.place: Lane | None = None
        self.weight = 0
        """Tokens, in and out, of the call in its place; at most so many."""
        self.lease: Leased | None = None
        self.target: Target | None = None

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        """The reply has ended: settle, give back, write down."""
        self.let_go()
        self.settle(usage)
        if usage is not None and self.target is not None and outcome == "ok":
            call = self._call
            size = 0 if call.media_bytes else call.text_bytes  # what images weigh teaches nothing about texts
            self._pipeline.reported.take((call.id, self.target.name, size, call.counted, usage))
        self._pipeline.record(self._call, self.target, status, outcome, usage, first_at)

    def release(self, usage: Usage | None) -> None:
        """Give everything back. `usage` None: nothing was generated."""
        self.let_go()
        self.settle(usage)

    def lighten(self, weight: int) -> None:
        """The call was weighed."""
        if self.place is not None and weight < self.weight:
            self.place.lighten(self.weight - weight)
            self.weight = weight

    def let_go(self) -> None:
        """Give back what belongs to one target: last taken, first given back."""
        lease, place = self.lease, self.place
        if lease is not None:
            self.lease = None
            lease.release()
        if place is not None:
            self.place = None
            place.leave(self.weight)


def fault(call: Call | None, call_id: str) -> Failure:
    """What is said of an exception that nobody foresaw. What is nested too deep can be read and not be written again;
    it is looked for here, so that others need not pay for it."""
    if call is not None and is_deep(call.body):
        return BadRequest(f"The body is nested deeper than {MOST_DEEP} levels.", code="nested_too_deep")
    log.exception("call %s failed inside the gateway", call_id)
    return Failure("The gateway failed on this request; its log says why.")


async def check_size(raw: bytes | bytearray) -> None:
    """BadRequest for a body that would be too many objects. Others have turns while it is looked through."""
    values = 0
    for start in range(0, len(raw), SLICE_BYTES):
        values += raw.count(b",", start, start + SLICE_BYTES)
        if values > MAX_JSON_ITEMS:
            raise BadRequest(f"The body has more than {MAX_JSON_ITEMS} JSON values.", code="too_many_values")
        await asyncio.sleep(0)


def read_call(request: Request, dialect: Dialect, call_id: str) -> Call:
    """Parse and check the body; BadRequest names what is wrong with it."""
    raw = request.body
    try:
        body: dict[str, Any] = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error.msg} at byte {error.pos}.", code="invalid_json") from None
    if type(body) is not dict:
        raise BadRequest("The body must be a JSON object.", code="invalid_json")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("'model' must name a model; GET /v1/models lists them.", param="model", code="invalid_type")
    dialect.check(body)
    request.body = b""
    return Call(
        call_id, request.identity, dialect, model, body, len(raw), body.get("stream") is True, request.started_at,
        request.head.agent, request.head.profile, request.head.labels,
    )  # fmt: skip


def read_signals(call: Call, kept: Kept) -> Signals:
    """What the request looks like."""
    has_tools = bool(call.body.get("tools"))
    return Signals(call.dialect.ability, call.body_bytes, call.stream, has_tools, kept.reach, kept.why)


def tightest(call: Call, settings: Settings) -> Iterator[Kept | None]:
    """How far what a request holds may travel: by the tools that it offers, by its labels, and by what it says. It is
    found in steps: None after each, and how far in the end."""
    tools = tools_reach(settings.house, tool_names(call.body))
    if call.at_most < tools.reach:
        tools = Kept(call.at_most, "what was found when it was parked")
    if tools.reach is Boundary.HOST:
        yield tools
        return
    labels = tuple(label.strip() for label in call.labels.split(",")) if call.labels else ()
    for reading in settings.sensitivity.steps(call.body, labels):
        if reading is None:
            yield None
        elif reading.tightest < tools.reach:
            yield Kept(reading.tightest, ", ".join(sorted(reading.kinds)))
        else:
            yield tools


def refuses(call: Call) -> bool:
    """Whether it is to be refused rather than shortened."""
    return call.decision is not None and call.decision.overlong is Overlong.REFUSE


def chain_of(call: Call, decision: Decision) -> Chain:
    """The targets in order: those first whose windows have room for the call, where the profile says so."""
    if decision.overlong is Overlong.ROUTE:
        return roomiest_first(decision.chain, call.body_bytes // BYTES_A_TOKEN + (call.output or 0))
    return decision.chain


def give_back(lease: Leased) -> None:
    lease.release()
