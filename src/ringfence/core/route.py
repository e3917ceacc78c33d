"""Signals, rules and decisions: which chain a request takes, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Target


class Ending(StrEnum):
    """What a chain does when no target answered."""

    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Chain:
    """Targets in order, and how it ends."""

    name: str
    targets: tuple[Target, ...]
    ending: Ending = Ending.ERROR


@dataclass(slots=True)  # not frozen, as Decision: one per call, and freezing triples what making it costs
class Signals:
    """Typed readings of one request. A signal may tighten the boundary, never widen it."""

    ability: Ability
    prompt_bytes: int
    stream: bool = False
    tools: bool = False
    tightest: Boundary = Boundary.CLOUD


@dataclass(frozen=True, slots=True)
class Excluded:
    """A target that was not taken, and the reason in words."""

    target: str
    reason: str


@dataclass(slots=True)
class Decision:
    """The chosen chain, the rule that chose it, and who was left out."""

    model: str
    rule: str
    reason: str
    chain: Chain
    allowed: Boundary
    excluded: tuple[Excluded, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a key is bound to. Later fences add to it."""

    name: str
    boundary: Boundary = Boundary.HOST
