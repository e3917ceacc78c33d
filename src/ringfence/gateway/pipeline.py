"""The request path. Read `complete` downwards: who asks, where it may go, what is held, who answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, time
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Endpoint, Target
from ringfence.core.errors import (
    BadRequest,
    ContextLengthExceeded,
    EngineFailed,
    Failure,
    NothingNow,
    TargetFailed,
    TargetUnavailable,
)
from ringfence.core.identity import Key
from ringfence.core.isolation import NO_WALL, Isolation
from ringfence.core.ports import Emit, Leased
from ringfence.core.route import Chain, Decision, Ending, House, Kept, Overlong, Profile
from ringfence.core.usage import Usage
from ringfence.egress.permit import Permit, issue
from ringfence.gateway.admission import Admission
from ringfence.gateway.call import Call
from ringfence.gateway.depth import MOST_DEEP, is_deep
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.fitting import USUAL_TOKENS_A_BYTE, prepared, refit, refuse_steering, surely, weigh
from ringfence.gateway.held import Held
from ringfence.gateway.ids import CallIds
from ringfence.gateway.limits import RateLimits
from ringfence.gateway.loading import told_meanwhile
from ringfence.gateway.meters import Meters, media_bytes
from ringfence.gateway.ports import Parks, Placing, Reader
from ringfence.gateway.read_call import BIG_BODY_BYTES, check_size, read_call, read_signals
from ringfence.gateway.relay import Answer, Relay, Stream
from ringfence.gateway.reply_head import reply_head
from ringfence.gateway.reported import Reported
from ringfence.gateway.request import Request
from ringfence.gateway.shrink import Fitted
from ringfence.gateway.step import Run, in_task
from ringfence.gateway.tools import tool_names
from ringfence.gateway.window import hard_cap, output_asked
from ringfence.routing.chain import roomiest_first, walk
from ringfence.routing.health import Health
from ringfence.routing.rules import PARK_RETRY_S, RULES, Rule, decide
from ringfence.routing.standing import standing, tools_reach, walled
from ringfence.signals.sensitivity import Sensitivity
from ringfence.telemetry.events import Kind, Refused, Retried, answered

log = logging.getLogger("ringfence.pipeline")
BYTES_A_TOKEN = 4
"""About; with the output asked for, that is how many tokens a call can use."""
LONG_TEXT_BYTES = 16 * 1024
"""Longer ones are read in steps, with turns for others in between: a step takes about as long as this much."""
MAX_KINDS = 4096
MAX_DECISIONS = 4096
PARKED_LEASE_S = 1.0
AWAY = frozenset(("connect", "loading", "elsewhere"))
SAY_NOTHING = frozenset(("crowded", "loading", "elsewhere"))
"""Reasons that are none of the target's."""
FULL = frozenset((429, 503))
"""Reasons and statuses that say nothing of the request: the engine is not there, or busy."""
REFUSE, ROUTE = Overlong.REFUSE, Overlong.ROUTE
"""Looked up once: members of an enumeration are slow to find."""
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

    def reads_as(self, other: Settings) -> bool:
        """Whether the same text may travel as far by these as by the others."""
        same_house = (self.house.tools, self.house.profiles) == (other.house.tools, other.house.profiles)
        return same_house and self.reader is other.reader and self.sensitivity.settings == other.sensitivity.settings

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
        if not call.is_bare:
            call.media_bytes = media_bytes(call.body)
        needed = self.needed(call, decision) if call.key.tokens_per_minute is not None else 0
        self.limits.hold(call.key, needed, held)
        refuses = decision.overlong is REFUSE
        relay = self.relay
        settings = self.settings  # that chose the targets: a reload may come before the answer
        failure: Failure | None = None
        broke: Failure | None = None
        absent: tuple[str, ...] = ()
        try:
            for target in walk(chain_of(call, decision), decision.allowed, self.health.is_usable, settings.retries):
                if target.name in absent:
                    continue
                refuse_steering(call, relay.forbidden(target))
                share, parts = self.admission.shared(target, call.body)
                fitted = surely(call, share, self.meters, refuses=refuses)
                held.weight = weight = parts * ((share.window or 0) if fitted is None else fitted.weight)
                try:
                    lease = held.lease = self.placement.take(target)
                    held.place = self.admission.take(target, weight) if lease is not None else None
                    if lease is None or held.place is None:
                        lease = await self.placed(call, target, held)
                    if fitted is None:
                        fitted = await self.weighed(call, share, lease.endpoint, settings)
                        held.lighten(parts * fitted.weight)
                    body = prepared(call, target, fitted)
                    try:
                        permit = self.permit(call, settings, lease.endpoint)
                        reply = await relay.open(call, target, lease.endpoint, body, permit)
                    except ContextLengthExceeded as refused:
                        reply, fitted = await self.asked_again(call, share, lease.endpoint, settings, fitted, refused)
                except TargetFailed as failed:  # nothing has been sent: the next may try
                    failure = failed.failure
                    broke = failure if failed.reason not in AWAY and failure.status not in FULL else broke
                    absent += (target.name,) if failed.reason == "loading" else ()  # it was waited for
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
        raise self.nothing(decision, held, failure, broke)

    def nothing(self, decision: Decision, held: Held, failure: Failure | None, broke: Failure | None) -> Failure:
        """What its caller is told when no target answered: `failure` is that of the last one, `broke` that of the last
        one that was there. What is to be parked counts as if it had not been asked yet."""
        text = f"No target of '{decision.model}' can serve this now."
        if decision.chain.ending is Ending.PARK:  # whatever failed: it is not given up
            held.withdraw()
            nothing = NothingNow(text, retry_after_s=PARK_RETRY_S)
            nothing.broke = broke
            return nothing
        held.release(None)
        return failure or TargetUnavailable(text, retry_after_s=PARK_RETRY_S)

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
            if len(settings.decisions) >= MAX_DECISIONS:  # names that callers say are part of what is asked
                settings.decisions.clear()
            settings.decisions[asked] = decision
        return decision

    def needed(self, call: Call, decision: Decision) -> int:
        """About how many tokens it will use, in and out; of output, too, never more than there is room for."""
        tokens, output = self.prompt_tokens(call, decision), call.output
        if output is None:
            return tokens
        window = decision.chain.targets[0].window
        if window is not None and 2 * output > window:  # less is below any cap
            output = min(output, hard_cap(window))
        return tokens + output

    def prompt_tokens(self, call: Call, decision: Decision) -> int:
        """About how many it will use: as its engine reported of others, and never more than go into its window."""
        first, size = decision.chain.targets[0], (call.sent_bytes or call.body_bytes) - call.media_bytes
        estimate = self.reported.ratios.estimate(first.name, size) or (size // BYTES_A_TOKEN if size > 0 else 0)
        window = first.window
        return estimate if not window or estimate <= window else window

    async def placed(self, call: Call, target: Target, held: Held) -> Leased:
        """The model first and then a place: who waits for a load takes nobody's place, and who waits for a place does
        not keep the model from making room for another. Raises TargetFailed."""
        while True:
            lease = held.lease = held.lease or self.placement.take(target) or await self.leased(call, target)
            held.place = self.admission.take(target, held.weight)
            if held.place is not None:
                return lease
            held.lease = lease.release()
            held.place = await self.admission.place(target, held.weight)
            lease = held.lease = self.placement.take(target)
            if lease is not None:
                return lease
            held.let_go()  # the model has left meanwhile

    async def leased(self, call: Call, target: Target) -> Leased:
        """A lease as soon as the instance is ready, within the time that the settings give it; at once or not at all
        where another target can serve. What can be parked waits there instead, where its caller is told of it."""
        if self.is_elsewhere(call, target):
            self.placement.missed(target)
            raise TargetFailed(target.name, "elsewhere", TargetUnavailable("The model is not loaded."))
        parks = self.parking is not None and call.decision is not None and call.decision.chain.ending is Ending.PARK
        wait_s = min(PARKED_LEASE_S, self.settings.lease_wait_s) if parks else self.settings.lease_wait_s
        lease = self.placement.lease(target, wait_s)
        if call.stream and call.request is not None and not parks:
            lease = told_meanwhile(call.request, call.id, lease, partial(self.placement.estimate_s, target))
        return await in_task(lease, give_back)

    def is_elsewhere(self, call: Call, target: Target) -> bool:
        """Whether another target of the chain, within the boundary, is there to serve the call."""
        decision = call.decision
        return decision is not None and any(
            other.name != target.name
            and other.name not in call.failed_at
            and other.boundary <= decision.allowed
            and self.health.is_usable(other)
            and self.placement.is_here(other)
            for other in decision.chain.targets
        )

    def permit(self, call: Call, settings: Settings, endpoint: Endpoint) -> Permit:
        """For what is sent next. A reload since `settings` tightens what is under way, and widens nothing."""
        assert call.decision is not None
        allowed = call.decision.allowed
        if self.settings is not settings:
            allowed = min(allowed, self.settings.profile_of(call).boundary)
            if endpoint.boundary is not Boundary.HOST and allowed is not Boundary.HOST:
                allowed = min(allowed, self.tightest_now(call, settings))
        return issue(call.id, allowed, endpoint)

    def tightest_now(self, call: Call, settings: Settings) -> Boundary:
        """How far what a call holds may travel by the settings in force, where those that it was decided by may have
        read it otherwise. What cannot be read at one go stays here then."""
        now = self.settings
        if now.reads_as(settings):
            return Boundary.CLOUD
        if call.body_bytes > LONG_TEXT_BYTES or now.reader is not None:
            return Boundary.HOST
        return next(kept for kept in tightest(call, now) if kept is not None).reach

    async def weighed(self, call: Call, target: Target, endpoint: Endpoint, settings: Settings) -> Fitted:
        """What may not fit, by the count of the engine that it goes to anyway. Raises ContextLengthExceeded."""

        def ask(body: dict[str, Any]) -> Coroutine[Any, Any, int | None]:
            return self.relay.count(call, target, endpoint, body, self.permit(call, settings, endpoint))

        size, cuts = call.text_bytes, self.relay.cuts(target)
        guess = (self.reported.ratios.estimate(target.name, size) or size * USUAL_TOKENS_A_BYTE) / size
        return await weigh(call, target, ask, guess, self.meters, refuses=refuses(call), is_cut=cuts)

    async def asked_again(
        self, call: Call, target: Target, endpoint: Endpoint, settings: Settings, sent: Fitted,
        refused: ContextLengthExceeded,
    ) -> tuple[Answer | Stream, Fitted]:  # fmt: skip
        """An engine that says that it is too long is believed, and gets less. Raises ContextLengthExceeded."""
        if refuses(call):
            raise refused
        for is_last in (False, True):
            sent = await refit(call, target, sent, refused, self.meters, is_last=is_last)
            body = prepared(call, target, sent)
            try:
                return await self.relay.open(call, target, endpoint, body, self.permit(call, settings, endpoint)), sent
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
        if reason not in SAY_NOTHING:
            call.failed_at += (target.name,)
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
            call.request = request
            self.running[call_id] = call
            try:
                reply, head = await self.complete(call)
            except NothingNow as nothing:
                answered = await self.parked(request, call, nothing)
                if answered is None:  # its caller has a ticket, and comes again
                    self.record(call, None, 202, "parked", None, 0.0)
                    return
                reply, head = answered
            if request.is_answered and type(reply) is Answer:  # its head says that events come
                reply.held.finish(200, "malformed", reply.usage, 0.0)
                raise EngineFailed("The engine was asked for a stream, and answered in one piece.")
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


def fault(call: Call | None, call_id: str) -> Failure:
    """What is said of an exception that nobody foresaw. What is nested too deep can be read and not be written again;
    it is looked for here, so that others need not pay for it."""
    if call is not None and is_deep(call.body):
        return BadRequest(f"The body is nested deeper than {MOST_DEEP} levels.", code="nested_too_deep")
    log.exception("call %s failed inside the gateway", call_id)
    return Failure("The gateway failed on this request; its log says why.")


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
    return call.decision is not None and call.decision.overlong is REFUSE


def chain_of(call: Call, decision: Decision) -> Chain:
    """The targets in order: those first whose windows have room for the call, where the profile says so."""
    if decision.overlong is ROUTE:
        return roomiest_first(decision.chain, call.body_bytes // BYTES_A_TOKEN + (call.output or 0))
    return decision.chain


def give_back(lease: Leased) -> None:
    lease.release()
