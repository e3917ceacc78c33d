"""The request path. Read `complete` downwards: who asks, where it may go, what is held, who answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from time import monotonic, time
from typing import Any, Protocol

import orjson

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Target
from ringfence.core.errors import BadRequest, Failure, NothingNow, TargetFailed, TargetUnavailable
from ringfence.core.identity import Key
from ringfence.core.isolation import NO_WALL, Isolation
from ringfence.core.ports import Emit, Leased
from ringfence.core.route import Decision, Ending, House, Kept, Profile, Signals
from ringfence.core.usage import Usage
from ringfence.egress.permit import issue
from ringfence.gateway.admission import Admission, Lane
from ringfence.gateway.call import Call
from ringfence.gateway.dialects.dialect import Dialect, refuse_fields
from ringfence.gateway.ids import CallIds
from ringfence.gateway.limits import Allowance, Hold, RateLimits
from ringfence.gateway.relay import Answer, Relay, Stream
from ringfence.gateway.request import Request
from ringfence.gateway.step import Run, in_task
from ringfence.gateway.tools import tool_names
from ringfence.gateway.window import FIT, clamp, output_asked
from ringfence.routing.chain import walk
from ringfence.routing.health import Health
from ringfence.routing.rules import PARK_RETRY_S, RULES, Rule, decide
from ringfence.routing.standing import standing, tools_reach, walled
from ringfence.signals.sensitivity import Sensitivity
from ringfence.telemetry.events import Kind, Refused, Retried, answered

log = logging.getLogger("ringfence.pipeline")
BYTES_A_TOKEN = 4
"""About; with the output asked for, that is how many tokens a call can use."""
BIG_BODY_BYTES = 256 * 1024
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


class Placing(Protocol):
    """What the path needs of placement."""

    def take(self, target: Target) -> Leased | None:
        """A lease when the instance is ready now."""
        ...

    def lease(self, target: Target, timeout_s: float) -> Coroutine[Any, Any, Leased]:
        """A lease as soon as it is ready; TargetFailed (loading) when that takes too long."""
        ...

    def failed(self, target: Target, reason: str) -> None: ...


class Parks(Protocol):
    """Where calls wait that go no further."""

    async def wait(self, request: Request, call: Call) -> tuple[Answer | Stream, bytes] | None:
        """As `Pipeline.complete`, in time; None when the caller was given a ticket. Raises Failure."""
        ...


class Reader(Protocol):
    """A further reading of what could leave, too slow for the event loop."""

    async def read(self, body: dict[str, Any]) -> Boundary:
        """How far a request may travel. Never raises: what cannot be read may go nowhere."""
        ...


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
        self.parking: Parks | None = None
        self._kinds: dict[Told, Kind] = {}
        self._reading = asyncio.Lock()

    # -- the path -----------------------------------------------------------------------------------------------

    async def complete(self, call: Call) -> tuple[Answer | Stream, bytes]:
        """Answer a call, or raise the Failure that its caller is told. The bytes are header lines to send along."""
        decision = call.decision = self.decided(call) or await self.decided_in_turns(call)
        output = call.output = output_asked(call.body) if call.dialect.generates else None
        held = Held(self, call)
        self.limits.hold(call.key, call.body_bytes // BYTES_A_TOKEN + (output or 0), held)
        relay, allowed = self.relay, decision.allowed
        settings = self.settings  # that chose the targets: a reload may come before the answer
        failure: Failure | None = None
        broke: Failure | None = None
        try:
            for target in walk(decision.chain, allowed, self.health.is_usable, self.settings.retries):
                body, window = fit(call, target, relay.forbidden(target))
                try:
                    held.place = self.admission.take(target) or await self.admission.place(target)
                    lease = held.lease = self.placement.take(target) or await self.leased(call, target)
                    if self.settings is not settings:  # a reload: what is under way is tightened as well
                        allowed = min(allowed, self.settings.profile_of(call).boundary)
                    permit = issue(call.id, allowed, lease.endpoint)
                    reply = await relay.open(call, target, lease.endpoint, body, permit)
                except TargetFailed as failed:  # nothing has been sent: the next may try
                    failure = failed.failure
                    broke = failure if failed.reason not in AWAY and failure.status not in FULL else broke
                    held.let_go()
                    self.gave_up(call, target, failed.reason)
                else:
                    self.health.succeed(target)
                    held.target = target
                    reply.held = held
                    return reply, reply_head(settings.heads, call.id, target, decision.told, window, held.allowance)
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

    async def leased(self, call: Call, target: Target) -> Leased:
        """A lease as soon as the instance is ready, within the time that the settings give it. What can be parked waits
        there instead, where its caller is told of it."""
        parks = self.parking is not None and call.decision is not None and call.decision.chain.ending is Ending.PARK
        wait_s = min(PARKED_LEASE_S, self.settings.lease_wait_s) if parks else self.settings.lease_wait_s
        return await in_task(self.placement.lease(target, wait_s), give_back)

    async def parked(self, request: Request, call: Call, nothing: NothingNow) -> tuple[Answer | Stream, bytes] | None:
        """It waits for a target within its boundary, where calls can be parked; else its caller is to come again."""
        if self.parking is None:
            raise nothing
        return await self.parking.wait(request, call)

    def gave_up(self, call: Call, target: Target, reason: str) -> None:
        """One target could not answer: remember it, and have its instance looked at."""
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
            log.exception("call %s failed inside the gateway", call_id)
            self._failed(
                request, call, dialect, call_id, Failure("The gateway failed on this request; its log says why.")
            )

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
        self.emit(answered((call.id, time(), kind, first_byte_s, now - started_at, usage)))

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

    __slots__ = ("_call", "_pipeline", "lease", "place", "target")

    def __init__(self, pipeline: Pipeline, call: Call) -> None:
        self._pipeline = pipeline
        self._call = call
        self.allowance = None
        self.tokens = 0
        self.place: Lane | None = None
        self.lease: Leased | None = None
        self.target: Target | None = None

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        """The reply has ended: settle, give back, write down."""
        self.let_go()
        self.settle(usage)
        self._pipeline.record(self._call, self.target, status, outcome, usage, first_at)

    def release(self, usage: Usage | None) -> None:
        """Give everything back. `usage` None: nothing was generated."""
        self.let_go()
        self.settle(usage)

    def let_go(self) -> None:
        """Give back what belongs to one target: last taken, first given back."""
        lease, place = self.lease, self.place
        if lease is not None:
            self.lease = None
            lease.release()
        if place is not None:
            self.place = None
            place.leave()


def read_call(request: Request, dialect: Dialect, call_id: str) -> Call:
    """Parse and check the body; BadRequest names what is wrong with it."""
    raw = request.body
    if len(raw) > BIG_BODY_BYTES and raw.count(b",") > MAX_JSON_ITEMS:
        raise BadRequest(f"The body has more than {MAX_JSON_ITEMS} JSON values.", code="too_many_values")
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


def fit(call: Call, target: Target, forbidden: frozenset[str]) -> tuple[dict[str, Any], str]:
    """The body for this target: its name for the model, output within the window's cap, usage always asked for."""
    if not forbidden.isdisjoint(call.body):
        refuse_fields(call.body, forbidden, "it would make the engine reach beyond this request")
    dialect, body = call.dialect, call.body.copy()
    body["model"] = target.engine_model
    window = FIT
    if dialect.generates:
        output, window = clamp(call.output, target.window)
        if "max_completion_tokens" in body:  # every engine knows the older name
            del body["max_completion_tokens"]
        if output is not None:
            body["max_tokens"] = output
    if call.stream:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    dialect.prepare(body)
    return body, window


def give_back(lease: Leased) -> None:
    lease.release()


def reply_head(
    heads: dict[tuple[str, str, str], bytes],
    call_id: str,
    target: Target,
    rule: str,
    window: str,
    allowance: Allowance | None,
) -> bytes:
    """Header lines that say what was decided, and what the key may still use. `heads` are those of the settings."""
    decided = heads.get((target.name, rule, window))
    if decided is None:
        if len(heads) >= MAX_DECISION_HEADS:
            heads.clear()
        decided = heads[target.name, rule, window] = _decision_head(target, rule, window)
    limits = allowance.head() if allowance is not None else b""
    return b"x-request-id: %b%b%b" % (call_id.encode(), decided, limits)


MAX_DECISION_HEADS = 4096


def _decision_head(target: Target, rule: str, window: str) -> bytes:
    lines = {
        "target": target.name, "boundary": target.reach, "reason": rule, "model": target.engine_model,
        "configuration": target.configuration or "unknown", "window": window,
    }  # fmt: skip
    text = "".join(f"x-ringfence-{name}: {_shown(value)}\r\n" for name, value in lines.items())
    return f"\r\n{text}".encode("ascii", "replace")


def _shown(text: str) -> str:
    """Fit for a header line: engines name models as they like."""
    return "".join(char if char.isprintable() else "?" for char in text)
