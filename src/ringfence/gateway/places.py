"""From a target to a place at it, with its model loaded: what a call goes through when it cannot have both at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from ringfence.core.catalog import Endpoint, Target
from ringfence.core.errors import TargetFailed, TargetUnavailable
from ringfence.core.ports import Leased
from ringfence.core.route import Decision, Ending
from ringfence.egress.permit import Permit
from ringfence.gateway.admission import UNASKED_TOKENS, answers
from ringfence.gateway.call import Call
from ringfence.gateway.giving_way import Yielded, giving_way
from ringfence.gateway.held import Held
from ringfence.gateway.lane import Asking
from ringfence.gateway.loading import ToldMeanwhile, seconds
from ringfence.gateway.meters import Body
from ringfence.gateway.reply import Answer, Stream
from ringfence.gateway.shrink import Fitted
from ringfence.gateway.step import in_task

if TYPE_CHECKING:
    from ringfence.gateway.pipeline import Pipeline, Settings

PARKED_LEASE_S = 1.0


class Places:
    """Of the path of all calls."""

    def __init__(self, path: Pipeline) -> None:
        self.path = path

    def kept_tokens(self, call: Call, decision: Decision, fitted: Fitted | None) -> int:
        """About how many its engine has to keep for it: the prompt, and each answer as long as it may become."""
        output = call.output if fitted is None or call.output is None else fitted.output
        each = UNASKED_TOKENS if output is None else output
        return self.path.prompt_tokens(call, decision) + (answers(call.body) * each if call.dialect.generates else 0)

    async def placed(self, call: Call, target: Target, held: Held) -> Leased:
        """The model first and then a place: who waits for a load takes nobody's place, and who waits for a place does
        not keep the model from making room for another. Raises TargetFailed."""
        while True:
            lease = held.lease = held.lease or self.path.placement.take(target) or await self.leased(call, target)
            held.place = self.path.admission.take(target, held.weight, call.urgency)
            if held.place is not None:
                return lease
            held.lease = lease.release()
            asking = held.asking = held.asking or self.asking(call, held)
            placing = self.path.admission.place(target, held.weight, asking)
            with told(call, partial(self._queued, target, asking)):
                held.place = await placing
            lease = held.lease = self.path.placement.take(target)
            if lease is not None:
                return lease
            held.let_go()  # the model has left meanwhile

    def asking(self, call: Call, held: Held) -> Asking:
        decision = call.decision
        assert decision is not None
        cost = self.kept_tokens(call, decision, None)
        return Asking(call.urgency, call.key.id, decision.weight, cost, held.weight)

    def _queued(self, target: Target, asking: Asking) -> bytes:
        lane = self.path.admission.lanes[target.name]
        position = lane.position(asking)
        return b"queued position=%d estimate_s=%b" % (position, seconds(lane.estimate_s(position)))

    async def leased(self, call: Call, target: Target) -> Leased:
        """A lease as soon as the instance is ready, within the time that the settings give it; at once or not at all
        where another target can serve. What can be parked waits there instead, where its caller is told of it."""
        if not call.may_load:
            raise TargetFailed(target.name, "loading", TargetUnavailable("The model is not loaded."))
        if self.is_elsewhere(call, target):
            self.path.placement.missed(target, call.urgency)
            raise TargetFailed(target.name, "elsewhere", TargetUnavailable("The model is not loaded."))
        parks = (
            self.path.parking is not None and call.decision is not None and call.decision.chain.ending is Ending.PARK
        )
        wait_s = min(PARKED_LEASE_S, self.path.settings.lease_wait_s) if parks else self.path.settings.lease_wait_s
        lease = self.path.placement.lease(target, wait_s, call.urgency)
        with told(None if parks else call, lambda: loading(self.path.placement.estimate_s(target))):
            return await in_task(lease, give_back)

    def check(self, call: Call, target: Target) -> None:
        """One that had to wait does not go where others were failed meanwhile, unless there is nowhere else to go.
        Raises TargetFailed."""
        health = self.path.health
        if health.is_plain(target) or not health.is_set_aside(target):
            return
        if health.is_closed_off(target) or self.is_elsewhere(call, target):
            failure = TargetUnavailable("The engine of this model fails.", retry_after_s=health.soonest_s((target,)))
            raise TargetFailed(target.name, "set_aside", failure)

    def is_elsewhere(self, call: Call, target: Target) -> bool:
        """Whether another target of the chain, within the boundary, is there to serve the call."""
        decision = call.decision
        return decision is not None and any(
            other.name != target.name
            and other.name not in call.failed_at
            and other.boundary <= decision.allowed
            and self.path.health.is_usable(other)
            and self.path.placement.is_here(other)
            for other in decision.chain.targets
        )


class GivingWay:
    """In the place of the relay, for one call in the background: as long as nothing has come, its place is for whoever
    comes before it. Then it goes back to where it stood, and its caller goes on waiting."""

    def __init__(self, places: Places, held: Held, settings: Settings) -> None:
        self._places = places
        self._held = held
        self._settings = settings

    def forbidden(self, target: Target) -> frozenset[str]:
        return self._places.path.relay.forbidden(target)

    async def open(self, call: Call, target: Target, endpoint: Endpoint, body: Body, permit: Permit) -> Answer | Stream:
        """As `Relay.open`. What a provider was told is paid for: that goes on."""
        path, held = self._places.path, self._held
        if target.provider:
            return await path.relay.open(call, target, endpoint, body, permit)
        while True:
            place, asking = held.place, held.asking
            assert place is not None and asking is not None
            asking.tokens = held.weight
            try:
                return await giving_way(place, asking, partial(path.relay.open, call, target, endpoint, body, permit))
            except Yielded:
                place.gives_back(asking)
                held.let_go()
                endpoint = (await self._places.placed(call, target, held)).endpoint
                permit = path.permit(call, self._settings, endpoint)


def told(call: Call | None, words: Callable[[], bytes]) -> AbstractContextManager[None]:
    """A caller that takes a stream hears meanwhile what it waits for."""
    if call is None or not call.stream or call.request is None:
        return nullcontext()
    return ToldMeanwhile(call.request, call.within or call.id, words)


def loading(estimate_s: float | None) -> bytes:
    return b"loading estimate_s=%b" % seconds(estimate_s)


def give_back(lease: Leased) -> None:
    lease.release()
