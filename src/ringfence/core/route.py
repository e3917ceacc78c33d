"""Signals, rules and decisions: which chain a request takes, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import NO_MEDIA, Ability, Medium, Target


class Tier(StrEnum):
    """How much a profile trusts what lies beyond this machine."""

    SOVEREIGN = "T1"
    """Stays on HOST, or MESH where the profile says so."""
    SPEED_OPTIONAL = "T2"
    """Local first; a cloud where that is quicker or nothing local can."""
    CLOUD_EXPLICIT = "T3"
    """A cloud is chosen for what it can do."""
    COORDINATION = "T4"
    """Runs at HOST or MESH itself; each call it makes for others names the profile it is made under."""

    @property
    def in_words(self) -> str:
        """As people read it, such as 'T1 sovereign'."""
        return f"{self.value} {self.name.lower().replace('_', '-')}"


class Overlong(StrEnum):
    """What is done with a prompt that is longer than the window."""

    SHRINK = "shrink"
    REFUSE = "refuse"
    ROUTE = "route"
    """Targets with a large window are tried first; what is too long for all of them is shrunk."""


class Ending(StrEnum):
    """What a chain does when no target answered."""

    ERROR = "error"
    PARK = "park"
    """Wait for a target within the boundary rather than fail or go further."""


class Urgency(IntEnum):
    """The class of a request; lower goes first."""

    USER = 0
    AGENT = 1
    BACKGROUND = 2


@dataclass(frozen=True, slots=True)
class Chain:
    """Targets in order, and how it ends."""

    name: str
    targets: tuple[Target, ...]
    ending: Ending = Ending.ERROR


class Caller(NamedTuple):
    """Who asks, by the names that rules say: the key, the profile that the call is made under, the agent."""

    key: str = ""
    profile: str = ""
    agent: str = ""


NOBODY = Caller()


@dataclass(slots=True)  # not frozen, as Decision: one per call, and freezing triples what making it costs
class Signals:
    """Typed readings of one request. A signal may tighten the boundary, never widen it.

    Those after `kept_by` are read for calls that rules decide; of all others they say nothing.
    """

    ability: Ability
    prompt_bytes: int
    stream: bool = False
    tools: bool = False
    tightest: Boundary = Boundary.CLOUD
    kept_by: str = ""
    """What makes `tightest` tighter than CLOUD, in words of the configuration; never of the request."""
    model: str = ""
    """The name that the caller gives."""
    task: str = ""
    """One of `core.reading.TASKS`, or empty where nothing could be told."""
    effort: int = 0
    """1 to 10; 0 where nothing could be told."""
    context_tokens: int = 0
    """About how many the prompt takes."""
    gpu_load: float = 0.0
    """Percent that the least busy GPU works; 0 without one."""
    budget_left_usd_micros: int | None = None
    """None: unlimited."""
    now_s: float = 0.0
    """UTC seconds since the epoch: what hours of the day are told by."""
    caller: Caller = NOBODY
    urgency: str = "user"
    """user, agent or background."""
    batch: bool = False
    """Its caller can wait (`service_tier: flex`)."""
    speed: str = ""
    """'critical' where its caller pays for haste (`service_tier: priority`), else empty."""
    media: frozenset[Medium] = NO_MEDIA
    """What stands in it beside text."""
    why: tuple[str, ...] = ()
    """How task, effort and length were told, in words."""


class Kept(NamedTuple):
    """How far a text may travel, and what keeps it from going further, in words of the configuration."""

    reach: Boundary
    why: str = ""


@dataclass(frozen=True, slots=True)
class Excluded:
    """A target that was not taken, and the reason in words."""

    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class Caching:
    """That answers to the calls of a profile are kept for a while, and given again to who asks exactly the same."""

    ttl_s: float = 3600.0
    is_shared: bool = False
    """Among the keys of the profile; else each key is given what it was answered itself, and nothing more."""
    memory_bytes: int = 64 * 1024 * 1024

    def within(self, outer: Caching) -> Caching:
        """As little as either of both lets be kept, and for as short."""
        ttl_s, memory_bytes = min(self.ttl_s, outer.ttl_s), min(self.memory_bytes, outer.memory_bytes)
        return Caching(ttl_s, self.is_shared and outer.is_shared, memory_bytes)


@dataclass(slots=True)
class Decision:
    """The chosen chain, the rule that chose it, and who was left out."""

    model: str
    rule: str
    reason: str
    chain: Chain
    allowed: Boundary
    excluded: tuple[Excluded, ...] = ()
    profile: str = ""
    told: str = ""
    """The rule, and what narrowed it, as the caller is told."""
    overlong: Overlong = Overlong.SHRINK
    priority: Urgency = Urgency.USER
    weight: int = 1
    """Of the profile, for when its calls have to wait."""
    caching: Caching | None = None
    """Of the profile; None, where it does not ask for that."""


@dataclass(frozen=True, slots=True)
class Exact:
    """One configuration and no other. An empty string or None is not asked about."""

    model: str
    digest: str = ""
    quantisation: str = ""
    device: str = ""
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """What a key, an agent or a tool is bound to: how far its text may travel, and the way it takes by itself."""

    name: str
    boundary: Boundary = Boundary.HOST
    tier: Tier = Tier.SOVEREIGN
    chain: tuple[str, ...] = ()
    """Models in order, for callers who name none ('auto')."""
    ending: Ending = Ending.ERROR
    exact: Exact | None = None
    delegates: tuple[str, ...] = ()
    """T4 only: the profiles under which it may make calls."""
    held_by: str = ""
    """The profile that keeps this one from reaching as far as it would by itself; empty when none does."""
    overlong: Overlong = Overlong.SHRINK
    priority: Urgency = Urgency.USER
    """The highest class that its calls have; they may say that they are less urgent."""
    weight: int = 1
    """Its keys' share of a target that others wait for as well, against other keys of the same class."""
    stores: bool = False
    """Whether answers may be kept, sealed, so that callers can follow them up."""
    caching: Caching | None = None
    """None: nothing of its answers is kept."""


@dataclass(frozen=True, slots=True)
class House:
    """Who is bound to what, by name. Whoever is not listed is not let in: there is no profile to fall back on."""

    profiles: dict[str, Profile]
    agents: dict[str, str]
    """Agent -> profile."""
    tools: dict[str, str]
    """Tool -> profile: what a tool reads or does may travel as far as that profile's boundary."""
