"""Holes in the product, each put into its own code: to see that the simulation finds what gets through."""

from __future__ import annotations

from typing import Any

from pytest import MonkeyPatch

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint, Model, Target
from ringfence.core.route import Chain, Signals
from ringfence.egress.permit import Permit
from ringfence.gateway import deciding, giving_way, held, pipeline
from ringfence.placement import devices, lease, reconciler
from ringfence.placement.planning import Drain, Unload, capacity, draft, duties, eviction, options, policy, wants
from ringfence.placement.watch import Watch
from ringfence.routing import fair, rules


def skip_the_drain(patch: MonkeyPatch) -> None:
    """What is to be drained is stopped."""
    real = reconciler.Reconciler._change

    def change(self: Any, action: Any, now_s: float) -> None:
        if isinstance(action, Drain):
            self._stop(self.placement.get(action.instance), self._seats[action.instance], now_s)
        else:
            real(self, action, now_s)

    patch.setattr(reconciler.Reconciler, "_change", change)


def drain_for_a_moment(patch: MonkeyPatch) -> None:
    """A drain is ended after ten seconds."""
    real = reconciler.Reconciler.__init__

    def init(self: Any, *args: Any, **settings: Any) -> None:
        real(self, *args, **settings | {"drain_s": 10.0})

    patch.setattr(reconciler.Reconciler, "__init__", init)


def ignore_unknown_memory(patch: MonkeyPatch) -> None:
    """What others hold of a device is not looked at."""
    patch.setattr(capacity, "taken_by_others", lambda _state: 0)


def ignore_what_starts(patch: MonkeyPatch) -> None:
    """An engine counts from when it is ready."""
    real = reconciler.Reconciler._claims

    def claims(self: Any, name: str, seat: Any) -> Any:
        return () if seat.phase == "starting" else real(self, name, seat)

    patch.setattr(reconciler.Reconciler, "_claims", claims)


def evict_p0(patch: MonkeyPatch) -> None:
    """It is a class like any other."""
    for module in (duties, eviction, draft, wants):
        if hasattr(module, "is_protected"):
            patch.setattr(module, "is_protected", lambda _model: False)


def forget_a_lease(patch: MonkeyPatch) -> None:
    """What a tenant was granted and has not taken yet is given to others."""
    patch.setattr(capacity, "promised_bytes", lambda _lease, _now_s: 0)


def keep_a_user(patch: MonkeyPatch) -> None:
    """One in so many is not given back."""
    real, released = lease.Lease.release, [0]

    def release(self: Any) -> None:
        released[0] += 1
        if released[0] % 100:
            real(self)

    patch.setattr(lease.Lease, "release", release)


def unload_what_is_used(patch: MonkeyPatch) -> None:
    """Nobody looks whether somebody came meanwhile, nor whether one is there at all."""
    real = draft.Draft.leave

    def leave(self: Any, instance: Any, *args: Any, **how: Any) -> None:
        real(self, instance, *args, **how)
        if self.actions and isinstance(last := self.actions[-1], Drain):
            self.actions[-1] = Unload(last.instance, last.model, last.cause, last.reason)

    change = reconciler.Reconciler._change

    def unused(self: Any, action: Any, now_s: float) -> None:
        if isinstance(action, Unload):
            self._stop(self.placement.get(action.instance), self._seats[action.instance], now_s)
        else:
            change(self, action, now_s)

    patch.setattr(draft.Draft, "leave", leave)
    patch.setattr(reconciler.Reconciler, "_change", unused)


def trust_what_vanished(patch: MonkeyPatch) -> None:
    """A device that is not read any more is as it was."""
    patch.setattr(devices.Device, "taken_out", lambda self, _reason: self)


def forget_the_dwell(patch: MonkeyPatch) -> None:
    """What was loaded a moment ago gives way like anything else."""
    patch.setattr(policy.Policy, "dwell_of", lambda _self, _model: 0.0)


def let_all_load(patch: MonkeyPatch) -> None:
    """Large models are loaded side by side."""
    patch.setattr(capacity.Room, "large", lambda _self, _until_s: None)


def open_mode(patch: MonkeyPatch) -> None:
    """Everybody is a member of the mode that is on."""
    patch.setattr(options, "_belongs", lambda _draft, _want: True)
    patch.setattr(duties, "_clear_barred", lambda _draft, _instance, _model: None)


def never_look(patch: MonkeyPatch) -> None:
    """An engine that hangs is well."""

    async def healthy(_self: Any) -> None:
        return None

    patch.setattr(Watch, "_healthy", healthy)


def open_fence(patch: MonkeyPatch) -> None:
    """Chosen, walked and permitted is whatever there is."""

    def walk(chain: Chain, _allowed: Boundary, _gate: object, retries: int) -> tuple[Target, ...]:
        return chain.targets * (1 + retries)

    def sift(model: Model, signals: Signals, _allowed: Boundary) -> tuple[tuple[Target, ...], tuple[()]]:
        return tuple(target for target in model.targets if signals.ability in target.abilities), ()

    def issue(call_id: str, _allowed: Boundary, endpoint: Endpoint) -> Permit:
        return Permit(call_id, endpoint.boundary, endpoint.boundary)

    patch.setattr(pipeline, "walk", walk)
    patch.setattr(rules, "sift", sift)
    patch.setattr(pipeline, "issue", issue)


def unread_text(patch: MonkeyPatch) -> None:
    """What a text says does not tighten anything."""
    patch.setattr(deciding.Sensitivity, "reads", lambda _self, _body, _found: iter(()))


def serve_by_age(patch: MonkeyPatch) -> None:
    """Whoever waits longest is next, of whatever class."""
    patch.setattr(fair.FairQueue, "first", lambda self, _now_s: min(self.waiting.values(), default=None))


def keep_a_place(patch: MonkeyPatch) -> None:
    """One that gives way gives back its lease alone."""
    real = giving_way.Attempt.give_way

    def give_way(self: Any) -> None:
        self._asking.tokens = -1
        real(self)

    def let_go(self: Any) -> None:
        if self.place is not None and self.asking is not None and self.asking.tokens == -1:
            self.place = None
        release(self)

    release = held.Held.let_go
    patch.setattr(giving_way.Attempt, "give_way", give_way)
    patch.setattr(held.Held, "let_go", let_go)


MUTATIONS = {
    "what is used is drained, not stopped": (skip_the_drain, drain_for_a_moment, unload_what_is_used),
    "a load has its room": (ignore_unknown_memory, ignore_what_starts, forget_a_lease),
    "P0 never leaves": (evict_p0,),
    "every lease is given back": (keep_a_user,),
    "devices are read before a load": (trust_what_vanished,),
    "large loads go one after the other": (let_all_load,),
    "a mode has its devices for itself": (open_mode,),
    "what is loaded stays a while": (forget_the_dwell,),
    "what hangs is seen within 30 s": (never_look,),
    "text stays within its boundary": (open_fence,),
    "a permit says what is so": (unread_text,),
    "nobody is let in before one of a higher class": (serve_by_age,),
    "every place is given back": (keep_a_place,),
}
"""By the promise that each breaks."""
