"""Holes in the product, each put into its own code: to see that the property finds what gets through."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from pytest import MonkeyPatch

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint, Model, Target
from ringfence.core.errors import Failure, TargetFailed
from ringfence.core.route import Chain, House, Kept, Profile, Signals
from ringfence.egress import pool, resolve
from ringfence.egress.permit import Permit
from ringfence.engines import ollama
from ringfence.gateway import deciding, parking, pipeline
from ringfence.gateway.call import Call
from ringfence.gateway.dialects import dialect
from ringfence.gateway.relay import Relay
from ringfence.placement import offered
from ringfence.routing import rules
from ringfence.runtime.instances import Instances


def open_walk(patch: MonkeyPatch) -> None:
    """Whatever is in the chain is tried."""

    def walk(chain: Chain, _allowed: Boundary, _gate: object, retries: int) -> tuple[Target, ...]:
        return chain.targets * (1 + retries)

    patch.setattr(pipeline, "walk", walk)


def open_choice(patch: MonkeyPatch) -> None:
    """Targets are chosen for what they can do alone."""

    def sift(model: Model, signals: Signals, _allowed: Boundary) -> tuple[tuple[Target, ...], tuple[()]]:
        return tuple(target for target in model.targets if signals.ability in target.abilities), ()

    patch.setattr(rules, "sift", sift)


def open_permit(patch: MonkeyPatch) -> None:
    """A permit is given for any endpoint."""

    def issue(call_id: str, _allowed: Boundary, endpoint: Endpoint) -> Permit:
        return Permit(call_id, endpoint.boundary, endpoint.boundary)

    patch.setattr(pipeline, "issue", issue)


def all_three(patch: MonkeyPatch) -> None:
    open_walk(patch)
    open_choice(patch)
    open_permit(patch)


def wide_agents(patch: MonkeyPatch) -> None:
    """An agent's profile counts instead of its key's."""
    real = deciding.standing

    def standing(house: House, bound_to: str, agent: str, named: str, own: str = "") -> Profile:
        return real(house, house.agents.get(agent, bound_to) if agent else bound_to, "", named, own)

    patch.setattr(deciding, "standing", standing)


def wide_names(patch: MonkeyPatch) -> None:
    """The profile that is named is the one."""
    real = deciding.standing

    def standing(house: House, bound_to: str, agent: str, named: str, own: str = "") -> Profile:
        found = real(house, bound_to, agent, named, own)
        return replace(found, boundary=house.profiles[named].boundary) if named else found

    patch.setattr(deciding, "standing", standing)


def free_delegates(patch: MonkeyPatch) -> None:
    """Who coordinates may make calls under any profile."""
    real = deciding.standing

    def standing(house: House, bound_to: str, agent: str, named: str, own: str = "") -> Profile:
        of_key = house.profiles.get(bound_to)
        if of_key is not None and of_key.tier == "T4" and named in house.profiles:
            return house.profiles[named]
        return real(house, bound_to, agent, named, own)

    patch.setattr(deciding, "standing", standing)


def unread_text(patch: MonkeyPatch) -> None:
    patch.setattr(deciding.Sensitivity, "reads", lambda _self, _body, _found: iter(()))


def unread_labels(patch: MonkeyPatch) -> None:
    real = deciding.Sensitivity.steps
    patch.setattr(
        deciding.Sensitivity,
        "steps",
        lambda self, body, _labels=(), *more, **named: real(self, body, (), *more, **named),
    )


def free_tools(patch: MonkeyPatch) -> None:
    patch.setattr(deciding, "tools_reach", lambda _house, _names: Kept(Boundary.CLOUD))


def mixed_decisions(patch: MonkeyPatch) -> None:
    """What was decided for a key once is remembered, whatever it names the next time."""
    real = deciding.Deciding._decide

    def decide(self: deciding.Deciding, call: Call, at_most: Boundary) -> Any:
        found = real(self, call, at_most)
        kept = self.settings.decisions.setdefault((call.model, call.key.profile, "", "", call.dialect.ability), found)  # type: ignore[index,call-overload]
        return kept if call.named or call.agent else found

    patch.setattr(deciding.Deciding, "_decide", decide)


def trusted_ollama(patch: MonkeyPatch) -> None:
    """An engine on this machine is taken for one that stays on it."""
    patch.setattr(ollama, "_is_cloud_off", lambda _status: True)
    patch.setattr(ollama, "_is_remote", lambda _entry: False)


def trusted_kinds(patch: MonkeyPatch) -> None:
    """An engine is what it is written down as."""
    patch.setattr(Instances, "_tellers", lambda _self: ())


def free_choice(patch: MonkeyPatch) -> None:
    """An exact target is no more than a wish."""
    real = deciding.decide

    def decide(rules: Any, catalog: Any, name: str, signals: Signals, profile: Profile) -> Any:
        return real(rules, catalog, name, signals, replace(profile, exact=None))

    patch.setattr(deciding, "decide", decide)


def trusted_names(patch: MonkeyPatch) -> None:
    """Whatever a name leads to, it is one of ours."""

    def near(address: str, mesh: Any = ()) -> Boundary:
        return min(Boundary.MESH, real(address, mesh))

    real = resolve.boundary_of
    for module in (resolve, pool, offered):
        patch.setattr(module, "boundary_of", near)


def forgotten_parking(patch: MonkeyPatch) -> None:
    """What was parked is served as far as it may go by then, whatever it might when it was parked."""
    real = parking.call_of

    def call_of(*told: Any) -> Call:
        return replace(real(*told), at_most=Boundary.CLOUD)

    patch.setattr(parking, "call_of", call_of)


def followed_redirects(patch: MonkeyPatch) -> None:
    """An engine that points elsewhere is believed."""
    real = Relay.failure_of

    def failure(self: Relay, call: Call, target: Target, line: Any, status: int, *more: Any, **named: Any) -> Failure:
        found = real(self, call, target, line, status, *more, **named)
        if status == 307:
            raise TargetFailed(target.name, "redirect", found)
        return found

    def gave_up(self: pipeline.Pipeline, call: Call, target: Target, failed: TargetFailed) -> None:
        if failed.reason == "redirect":
            elsewhere = Endpoint("8.8.8.8", 80, Boundary.CLOUD)
            asyncio.ensure_future(self.relay.pool.dial(elsewhere)).add_done_callback(lambda done: done.exception())

    patch.setattr(Relay, "failure_of", failure)
    patch.setattr(pipeline.Pipeline, "gave_up", gave_up)


def taken_steering(patch: MonkeyPatch) -> None:
    patch.setattr(dialect, "CHECKED", frozenset(("tools", "stream")))
