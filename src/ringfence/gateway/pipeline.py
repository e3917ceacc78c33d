"""The request path. Read `complete` downwards: who asks, where it may go, what is held, who answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from operator import attrgetter
from time import monotonic, time
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint, Target
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
from ringfence.core.ports import Emit
from ringfence.core.route import Chain, Decision, Ending, Overlong, Urgency
from ringfence.core.usage import Usage
from ringfence.egress.permit import Permit, issue
from ringfence.gateway.admission import Admission
from ringfence.gateway.answers import Answers
from ringfence.gateway.call import Call
from ringfence.gateway.cascade.cascade import Cascade
from ringfence.gateway.deciding import Deciding, Settings
from ringfence.gateway.depth import is_deep, too_deep
from ringfence.gateway.dialects.dialect import Dialect
from ringfence.gateway.fitting import USUAL_TOKENS_A_BYTE, prepared, refit, refuse_steering, surely, weigh
from ringfence.gateway.held import Held
from ringfence.gateway.ids import CallIds
from ringfence.gateway.limits import RateLimits
from ringfence.gateway.meters import Meters, media_bytes
from ringfence.gateway.money import Charge, Purse
from ringfence.gateway.not_before import NOT_BEFORE, moment_of
from ringfence.gateway.passing import Passing
from ringfence.gateway.places import GivingWay, Places
from ringfence.gateway.ports import Parks, Placing
from ringfence.gateway.quotas import Quotas
from ringfence.gateway.read_call import BIG_BODY_BYTES, made_ready, read_call
from ringfence.gateway.recording import Reply
from ringfence.gateway.relay import Relay
from ringfence.gateway.reply import Answer, Stream
from ringfence.gateway.reply_head import reply_head
from ringfence.gateway.reported import Reported
from ringfence.gateway.request import Request
from ringfence.gateway.route import Foreign
from ringfence.gateway.shrink import Fitted
from ringfence.gateway.step import Run
from ringfence.gateway.thinking.thinking import AnyReply, Thinking
from ringfence.gateway.trying import BYTES_A_TOKEN, chain_of, once_more
from ringfence.gateway.window import hard_cap, output_asked, set_output
from ringfence.gateway.worst import Most, worst
from ringfence.providers.fields import output_tokens
from ringfence.routing.chain import walk
from ringfence.routing.health import Health
from ringfence.routing.rules import PARK_RETRY_S
from ringfence.telemetry.events import Kind, Refused, Retried, answered

log = logging.getLogger("ringfence.pipeline")
MAX_KINDS = 4096
AWAY = frozenset(("connect", "loading", "elsewhere", "set_aside", "over_budget", "unpriced", "no_ledger"))
SAY_NOTHING = frozenset(("crowded", "loading", "elsewhere", "set_aside", "over_budget", "unpriced", "no_ledger"))
"""Reasons that are none of the target's."""
NOT_AGAIN = frozenset(("loading", "over_budget", "unpriced"))
"""It was waited for, or there is no money for it: no second try of the same call."""
FULL = frozenset((429, 503))
"""Reasons and statuses that say nothing of the request: the engine is not there, or busy."""
REFUSE, BACKGROUND = Overlong.REFUSE, Urgency.BACKGROUND
"""Looked up once: members of an enumeration are slow to find."""
PROVIDER = attrgetter("provider")
NOTHING_YET: tuple[Failure | None, Failure | None, tuple[str, ...]] = (None, None, ())
"""Of what failed in a walk: the last, the last that was there, and who is not loaded."""
Told = tuple[str, str, str, str, str, int, str, bool, str, str, str]
"""Key id, dialect, model, target, rule, status, outcome, stream, profile, agent, provider."""


class Pipeline(Deciding):
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
        super().__init__(settings)
        self.limits = limits
        self.admission = admission
        self.placement = placement
        self.relay = relay
        self.passing = Passing(relay)
        self.health = health
        self.emit = emit
        self.ids = ids
        self.running: dict[str, Call] = {}
        self.reported = Reported(emit)
        self.money = Purse(time)
        self.money.alarms.tell, self.budget_left = emit, self.money.left
        self.wall: Callable[[], float] = time
        self.quotas = Quotas(time)
        self.meters = Meters(monotonic)
        self.parking: Parks | None = None
        self.comes_first: Callable[[Call], None] | None = None
        """Told of each call that is not in the background, while batches are worked on."""
        self.places = Places(self)
        self.thinking = Thinking(self)
        self.cascade = Cascade(self)
        self.answers = Answers(self)
        relay.crowded = admission.crowded
        self._kinds: dict[Told, Kind] = {}

    def begin(self, call: Call) -> Coroutine[Any, Any, tuple[AnyReply, bytes]]:
        """`complete`, with thoughts in between for a call that may think, and from model to model for one whose chain
        escalates."""
        if call.model == self.settings.thinks:
            return self.thinking.complete(call)
        return self.cascade.begin(call) if self.settings.escalations else self.complete(call)

    # -- the path -----------------------------------------------------------------------------------------------

    async def complete(self, call: Call, settled: Decision | None = None) -> tuple[Reply, bytes]:
        """Answer a call, or raise the Failure that its caller is told. The bytes are header lines to send along.
        `settled`: it was decided just now, and no kept answer will do."""
        decision = call.decision = settled or self.decided(call) or await self.decided_in_turns(call)
        call.urgency = max(call.urgency, decision.priority)
        if decision.caching is not None and settled is None and call.dialect.passed is None:
            return await self.answers.give(call, decision, decision.caching)
        call.output = output_asked(call.body) if call.dialect.generates else None
        held = Held(self, call)
        if not call.is_bare:
            call.media_bytes = media_bytes(call.body)
        self.limits.hold(call.key, 0 if call.key.tokens_per_minute is None else self.needed(call, decision), held)
        settings = self.settings  # that chose the targets: a reload may come before the answer
        relay = (
            self.relay
            if self.comes_first is None and call.urgency is not BACKGROUND and call.dialect.passed is None
            else self.way_of(call, held)
        )
        failure, broke, absent = NOTHING_YET
        try:
            chain = self.quotas.open_to(call.urgency, self.chain_of(call, decision))
            for target in walk(chain, decision.allowed, self.health, settings.retries):
                if failure is not None and (target.name in absent or not await once_more(call, target, self.health)):
                    continue
                refuse_steering(call, relay.forbidden(target))
                share, parts, fitted = self.measured(call, target, decision, held)
                try:
                    lease = held.lease = self.placement.take(target)
                    held.place = self.admission.take(target, held.weight, call.urgency) if lease is not None else None
                    if lease is None or held.place is None:
                        lease = await self.places.placed(call, target, held)
                        self.places.check(call, target)
                    if fitted is None:
                        fitted = await self.weighed(call, share, lease.endpoint, settings)
                        held.lighten(parts * fitted.weight)
                    body = prepared(call, target, fitted)
                    if target.provider:  # durable before a byte of it leaves
                        held.charge = await self.money.hold(call, target, *self.most(call, target, body))
                    try:
                        permit = self.permit(call, settings, lease.endpoint)
                        reply = await relay.open(call, target, lease.endpoint, body, permit)
                    except ContextLengthExceeded as refused:
                        at = (held.lease or lease).endpoint
                        reply, fitted = await self.asked_again(call, share, at, settings, fitted, refused)
                except TargetFailed as failed:  # nothing has been sent: the next may try
                    failure = self.quotas.told(target, failed.failure)
                    broke = failure if failed.reason not in AWAY and failure.status not in FULL else broke
                    absent += (target.name,) if failed.reason in NOT_AGAIN else ()
                    self.gave_up(call, target, failed)
                    held.move_on(failed)  # after that: who takes the place next is to know
                else:
                    self.health.succeed(target)
                    held.target = target
                    reply.held = held
                    return reply, reply_head(settings.heads, call.id, target, decision.told, fitted, held)
        except BaseException as ended:
            held.release(None, ended)
            raise
        raise self.nothing(decision, held, failure, broke)

    def chain_of(self, call: Call, decision: Decision) -> Chain:
        """The targets in order, as windows, budgets and loads have it."""
        return chain_of(call, decision, self.admission, self.placement, self.money)

    def way_of(self, call: Call, held: Held) -> Relay | GivingWay | Passing:
        """In the background it gives way to others; they are told of to whoever else is to make room for them. Sounds
        and pictures are passed on, and keep the place that they have."""
        is_passed = call.dialect.passed is not None
        if call.urgency is BACKGROUND and not is_passed:
            return GivingWay(self.places, held, self.settings)
        if self.comes_first is not None and call.urgency is not BACKGROUND:
            self.comes_first(call)
        return self.passing if is_passed else self.relay

    def measured(self, call: Call, target: Target, decision: Decision, held: Held) -> tuple[Target, int, Fitted | None]:
        """The target as one answer finds it, how many share it, and the call if it surely fits; and what it weighs
        there."""
        share, parts = self.admission.shared(target, call.body)
        fitted = surely(call, share, self.meters, refuses=decision.overlong is REFUSE)
        if target.kv_tokens is None:
            held.weight = parts * ((share.window or 0) if fitted is None else fitted.weight)
        else:
            held.weight = self.places.kept_tokens(call, decision, fitted)
        return share, parts, fitted

    def nothing(self, decision: Decision, held: Held, failure: Failure | None, broke: Failure | None) -> Failure:
        """What its caller is told when no target answered: `failure` is that of the last one, `broke` that of the last
        one that was there. What is to be parked counts as if it had not been asked yet."""
        text = f"No target of '{decision.model}' can serve this now."
        is_final = failure is not None and failure.should_retry is False  # no money, and nothing that costs none
        if decision.chain.ending is Ending.PARK and not (is_final and all(map(PROVIDER, decision.chain.targets))):
            held.withdraw()
            nothing = NothingNow(text, retry_after_s=PARK_RETRY_S)
            nothing.broke = broke
            return nothing
        held.release(None)
        return failure or TargetUnavailable(text, retry_after_s=self.health.soonest_s(decision.chain.targets))

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

    def permit(self, call: Call, settings: Settings, endpoint: Endpoint) -> Permit:
        """For what is sent next. A reload since `settings` tightens what is under way, and widens nothing."""
        assert call.decision is not None
        allowed = call.decision.allowed
        if self.settings is not settings:
            allowed = min(allowed, self.settings.profile_of(call).boundary)
            if endpoint.boundary is not Boundary.HOST and allowed is not Boundary.HOST:
                allowed = min(allowed, self.tightest_now(call, settings))
        return issue(call.id, allowed, endpoint)

    def most(self, call: Call, target: Target, body: dict[str, Any]) -> Most:
        """Tokens that a rented call can use, in and out. No more output is asked for than that, whatever a reload says
        meanwhile, and however much shorter its prompt becomes."""
        most_output = self.relay.cloud_of(target).max_tokens
        if call.dialect.generates:
            set_output(body, output_tokens(body, most_output))
        most = worst(call, target, body, most_output)
        call.most_output = most.output_tokens
        return most

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
            if target.provider and call.dialect.generates:  # money is held for no more
                set_output(body, output_tokens(body, call.most_output))
            try:
                return await self.relay.open(call, target, endpoint, body, self.permit(call, settings, endpoint)), sent
            except ContextLengthExceeded as again:
                refused = again
        raise refused

    async def put_off(self, request: Request, call: Call) -> None:
        """Raises NothingNow for one that is to be parked until then, and BadRequest where it cannot be."""
        name = NOT_BEFORE.decode()
        if moment_of(request.head.not_before.decode("latin-1"), name) <= self.wall():
            return
        if call.model != self.settings.thinks and call.dialect.passed is None:
            decision = call.decision = self.decided(call) or await self.decided_in_turns(call)
            if self.parking is not None and decision.chain.ending is Ending.PARK:
                raise NothingNow("It is put off.", retry_after_s=PARK_RETRY_S)
        raise BadRequest(
            f"'{name}' is for what can be parked: under a profile with 'ending: park', and not for thoughts, sounds or "
            "pictures. A batch can be put off under any profile.",
            param=name, code="not_parkable",
        )  # fmt: skip

    async def parked(self, request: Request, call: Call, nothing: NothingNow) -> tuple[AnyReply, bytes] | None:
        """It waits for a target within its boundary, where calls can be parked; else its caller is to come again."""
        if call.dialect.passed is not None:
            raise TargetUnavailable(
                f"Nothing within its boundary serves '{call.model}' now, and sounds and pictures are not kept until "
                "something does; come again.",
                retry_after_s=PARK_RETRY_S,
            )
        if self.parking is None:
            raise nothing
        return await self.parking.wait(request, call)

    def gave_up(self, call: Call, target: Target, failed: TargetFailed) -> None:
        """One target could not answer: remember it, and have its instance looked at."""
        reason = failed.reason
        if reason not in SAY_NOTHING:
            if not call.failed_at:
                call.retry_until_s = self.health.now() + self.settings.retry_within_s
            is_again = target.name in call.failed_at  # one call is one failure: it may be the call that breaks it
            call.failed_at += (target.name,)
            if not is_again or failed.later_s is not None:
                self.health.record(target, reason, failed.later_s)
            self.placement.failed(target, reason)
        self.emit(Retried(call.id, target.name, reason))

    # -- around it ----------------------------------------------------------------------------------------------

    def serve(self, request: Request, dialect: Dialect | Foreign) -> None:
        """Start answering; the run goes on from what it awaits, and ends with the request."""
        run = Run(self._serve(request, dialect))
        request.on_gone = run.cancel
        run.step()

    async def _serve(self, request: Request, dialect: Dialect | Foreign) -> None:
        call: Call | None = None
        call_id = request.head.request_id
        if not call_id or call_id in self.running:  # callers may send the same id twice at once
            call_id = self.ids.next(request.started_at)
        try:
            if len(request.body) > BIG_BODY_BYTES or isinstance(dialect, Foreign) or dialect.passed is not None:
                await made_ready(request, dialect)
            call = read_call(request, dialect, call_id)
            call.request = request
            if call.asked is not None:
                call.model = self.settings.called(call.model)
            self.running[call_id] = call
            if isinstance(dialect, Foreign) and await dialect.takes(request, call):
                return
            try:
                if request.head.not_before:
                    await self.put_off(request, call)
                reply, head = await self.begin(call)
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

    def _failed(
        self, request: Request, call: Call | None, dialect: Dialect | Foreign, call_id: str, failure: Failure
    ) -> None:
        request.fail(failure, call_id)
        if call is not None:
            self.record(call, None, failure.status, failure.code or "error", None, 0.0)
        else:
            self.emit(Refused(failure.status, failure.code or "error", dialect.name))

    def record(
        self, call: Call, target: Target | None, status: int, outcome: str, usage: Usage | None, first_at: float
    ) -> None:
        """Write down, once, how a call ended; what was paid for has its row whatever was told of it before."""
        if self.running.pop(call.id, None) is None and call.paid is None:
            return
        paid, call.paid = call.paid, None
        now = monotonic()
        started_at, decision = call.started_at, call.decision
        model, rule = (decision.model, decision.rule) if decision is not None else (self._known(call.model), "")
        name = target.name if target is not None else ""
        first_byte_s = (first_at or now) - started_at
        profile = decision.profile if decision is not None else call.key.profile
        provider = target.provider if target is not None else ""
        told = (
            call.key.id, call.spoken, model, name, rule, status, outcome, call.stream, profile, call.agent, provider,
        )  # fmt: skip
        kind = self._kinds.get(told) or self._kind(call.key, told)
        fitting = call.fitting if target is not None else None
        self.emit(answered((call.id, time(), kind, first_byte_s, now - started_at, usage, fitting, paid)))

    def unanswered(self, call: Call, charge: Charge) -> None:
        """It went to a provider, and nobody knows what that cost."""
        self.money.lose(call, charge, monotonic() - call.started_at)

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
        return too_deep()
    log.exception("call %s failed inside the gateway", call_id)
    return Failure("The gateway failed on this request; its log says why.")


def refuses(call: Call) -> bool:
    """Whether it is to be refused rather than shortened."""
    return call.dialect.passed is not None or (call.decision is not None and call.decision.overlong is REFUSE)
