"""[pure] What the planner says is to be done, what it refuses, and when it wants to be asked again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ringfence.placement.planning.policy import Policy
from ringfence.placement.planning.state import Rest, Site, Then


class Cause(StrEnum):
    """Why an instance goes."""

    TURN = "turn"
    IDLE = "idle"
    PRESSURE = "pressure"
    TENANT = "tenant"
    MODE = "mode"
    WINDOW = "window"
    REMOVED = "removed"
    DEVICE = "device"
    FAILED = "failed"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True)
class Load:
    """Start an engine with this model at this site; its room is free already."""

    model: str
    site: Site
    reason: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Its room is free already."""

    instance: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Drain:
    """No new requests; those that run finish. Afterwards the planner says `then`."""

    instance: str
    model: str
    then: Then
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Unload:
    """Stop an engine that nobody uses. Whoever acts closes it to new requests first, and drains if one came."""

    instance: str
    model: str
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """As Unload, but its weights stay where they can be had back soon."""

    instance: str
    model: str
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A tenant may take what it asked for; its room is free already."""

    lease: str
    reason: str


@dataclass(frozen=True, slots=True)
class Recall:
    """A tenant is asked to give back what it holds."""

    lease: str
    reason: str


Action = Load | Wake | Drain | Unload | Sleep | Grant | Recall


class Waiting(NamedTuple):
    """A model that callers wait for or that is to be resident, or a lease: it comes, at about `expected_s`."""

    name: str
    reason: str
    expected_s: float

    def estimate_s(self, now_s: float) -> float:
        return max(0.0, self.expected_s - now_s)


class Refused(NamedTuple):
    """One that will not come as things are: go elsewhere."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`actions` can be done in order. `wakes_at_s` is when time alone changes the plan; None when it does not."""

    actions: tuple[Action, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    refused: tuple[Refused, ...] = ()
    wakes_at_s: float | None = None


def rest_after(action: Action, now_s: float, policy: Policy) -> Rest | None:
    """After these a model is not loaded again at once, or it would come and go with every breath of the memory."""
    if isinstance(action, Drain | Unload | Sleep) and action.cause in (Cause.PRESSURE, Cause.FAILED):
        why = "it failed" if action.cause is Cause.FAILED else "memory ran low"
        return Rest(action.model, now_s + policy.return_s, why)
    return None
