"""Which chain a call takes, and why: decided once for what is alike, and its text read where it could leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING

from ringfence.config.routing import THINKS
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Medium, Model
from ringfence.core.errors import Failure
from ringfence.core.identity import Key
from ringfence.core.isolation import NO_WALL, Isolation
from ringfence.core.ports import Decides
from ringfence.core.route import Decision, House, Kept, Profile, Signals
from ringfence.gateway.call import Call
from ringfence.gateway.ports import Reader
from ringfence.gateway.read_call import read_for_rules, read_signals
from ringfence.gateway.step import in_task
from ringfence.gateway.thinking.bounds import Bounds
from ringfence.gateway.tools import tool_names
from ringfence.routing.rules import decide, decide_by
from ringfence.routing.ruleset import AUTO, NO_RULES, Rule, Ruleset, resolve
from ringfence.routing.standing import standing, tools_reach, walled
from ringfence.signals.sensitivity import Sensitivity

if TYPE_CHECKING:
    from ringfence.gateway.cascade.cascade import Escalation

LONG_TEXT_BYTES = 16 * 1024
"""Longer ones are read in steps, with turns for others in between: a step takes about as long as this much."""
MAX_DECISIONS = 4096
TURNS_BETWEEN = 4
"""A call takes several turns of the loop until its first byte: it is not to wait for a step at each of them."""

SOUND = frozenset((Medium.AUDIO,))
LATEST = ":latest"
NOT_READ = "not read for what is private: it stays on this machine anyway"

Asked = tuple[str | Boundary | frozenset[Medium], ...]
"""Model, the key's profile and agent, agent, named profile, ability, media, how far the text may travel at most, and
why; for calls that rules decide, the names of those that match as well."""


@dataclass(slots=True)
class Settings:
    """What a reload replaces; everything else of the pipeline lives on."""

    catalog: Catalog
    house: House
    retries: int = 2
    lease_wait_s: float = 30.0
    rules: Ruleset = NO_RULES
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    reader: Reader | None = None
    isolation: Isolation = NO_WALL
    retry_within_s: float = 120.0
    thinking: Bounds | None = None
    escalations: Mapping[str, Escalation] = field(default_factory=dict[str, "Escalation"])
    """By the name of the chain."""
    decisions: dict[Asked, Decision] = field(default_factory=dict["Asked", Decision])
    heads: dict[tuple[str, str, str], bytes] = field(default_factory=dict[tuple[str, str, str], bytes])
    """Header lines of answers, by target, rule and window."""
    escalates_by: Mapping[str, Rule] = field(init=False)
    """The rules that send to one of them, by name."""
    ruled: frozenset[str] = field(init=False)
    """Names for which rules may decide: a call that names anything else pays for this look, and no more."""
    offered: dict[str, Model] = field(init=False)
    """What callers may name beside the models, and that means something now: 'auto', aliases, chains."""
    thinks: str = field(init=False)
    """The name whose calls may think; empty where there is none, or where it is a model's."""
    farthest: Boundary = field(init=False)
    """How far any target lies."""

    def __post_init__(self) -> None:
        self.escalates_by = self.rules.that_use_only(self.escalations)
        ruled = self.rules.names
        self.ruled = frozenset(ruled - {AUTO}) if AUTO in self.catalog.names and type(ruled) is frozenset else ruled
        targets = [target for model in self.catalog.models.values() for target in model.targets]
        created_s = max((model.created_s for model in self.catalog.models.values()), default=0)
        self.offered = {
            name: Model(name, found, created_s=created_s) for name, found in self.rules.offered(self.catalog).items()
        }
        self.thinks = THINKS if self.thinking is not None and THINKS not in self.catalog.names else ""
        if (
            self.thinks and self.thinks in self.offered and self.thinking is not None
        ):  # it reaches as far as thoughts do
            there = self.offered[self.thinks].targets + resolve(
                self.thinking.reasoning, self.catalog, self.rules.chains
            )
            self.offered[self.thinks] = Model(self.thinks, tuple(dict.fromkeys(there)), created_s=created_s)
        self.farthest = max((target.boundary for target in targets), default=Boundary.HOST)

    def called(self, name: str) -> str:
        """The name as this gateway has it: Ollama's clients add or leave out the tag that stands for none."""
        if name in self.catalog.names or name in self.offered:
            return name
        other = name.removesuffix(LATEST) if name.endswith(LATEST) else name + LATEST
        return other if other in self.catalog.names or other in self.offered else name

    def reads_as(self, other: Settings) -> bool:
        """Whether the same text may travel as far by these as by the others."""
        return (
            self.sensitivity.settings == other.sensitivity.settings
            and self.reader is other.reader
            and self.house.tools == other.house.tools
            and self.house.profiles == other.house.profiles
        )

    def profile_of(self, call: Call) -> Profile:
        """Under which profile a call is made; Forbidden when one that it rests on is not configured, or is not to be
        served as things are."""
        profile = standing(self.house, call.key.profile, call.agent, call.named, call.key.agent)
        return walled(profile, self.isolation)


class Deciding:
    """The settings in force, and what is decided by them. What a pipeline is before it has anything to send."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.gpu_load: Callable[[], float] = lambda: 0.0
        """Percent that the least busy GPU works, as it was last seen."""
        self.budget_left: Callable[[Key, str, str], int | None] = lambda _key, _agent, _profile: None
        """Micro-dollars that such a call may still cost, for rules that ask; None: nothing limits it."""
        self.stages: tuple[Decides, ...] = ()
        """Small models that read what a call asks for, before the rules of the first day do."""
        self._reading = asyncio.Lock()

    def decided(self, call: Call) -> Decision | None:
        """Which chain, and why. What the text says is only looked at where it could leave this machine; None where it
        is too long to be read at one go."""
        if call.model in self.settings.ruled:
            signals = self.read_for_rules(call)
            if signals is not None:
                return self._decided_by_rules(call, signals)
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
                signals = self.read_for_rules(call)
                return self._decide(call, *kept) if signals is None else self._decide_by_rules(call, signals, *kept)

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

    def tightest_now(self, call: Call, settings: Settings) -> Boundary:
        """How far what a call holds may travel by the settings in force, where those that it was decided by may have
        read it otherwise. What cannot be read at one go stays here then."""
        now = self.settings
        if now.reads_as(settings):
            return Boundary.CLOUD
        if call.body_bytes > LONG_TEXT_BYTES or now.reader is not None:
            return Boundary.HOST
        return next(kept for kept in tightest(call, now) if kept is not None).reach

    def _decide(self, call: Call, at_most: Boundary, why: str = "") -> Decision:
        """As long as no rule looks further than the model's name, each decision is made once.

        It allows no more than its chain needs: with targets on this machine alone there is nothing to read a text for,
        and neither a retry nor an engine that has moved can take it further.
        """
        settings = self.settings
        key, ability = call.key, call.dialect.ability
        asked = (call.model, key.profile, key.agent, call.agent, call.named, ability, call.media, at_most, why)
        decision = settings.decisions.get(asked)
        if decision is None:
            signals = read_signals(call, Kept(at_most, why))
            profile = settings.profile_of(call)
            decision = decide(settings.rules, settings.catalog, call.model, signals, profile)
            _keep(settings, asked, decision, profile)
        return decision

    # -- by rules ---------------------------------------------------------------------------------------------------

    def read_for_rules(self, call: Call) -> Signals | None:
        """What rules look at; None for a call that they do not decide."""
        settings = self.settings
        if call.model not in settings.ruled:
            return None
        profile = settings.profile_of(call)
        if not settings.rules.are_for(call.model, settings.catalog, profile):
            return None
        call.urgency = max(call.urgency, profile.priority)
        reads = settings.rules.reads
        signals = read_for_rules(call, profile.name, reads, self.stages, self.gpu_load(), time())
        if "budget_left_usd" in reads:
            signals.budget_left_usd_micros = self.budget_left(call.key, call.agent, profile.name)
        return signals

    def _decided_by_rules(self, call: Call, signals: Signals) -> Decision | None:
        """As `decided`: its text is read where it could leave, or where what it says leads to other targets."""
        settings = self.settings
        if not self.could_leave(call):
            return self._decide_by_rules(call, signals, call.at_most)
        decision = self._whatever_it_says(call, signals)
        if decision is not None:
            return decision
        if call.body_bytes > LONG_TEXT_BYTES or settings.reader is not None:
            return None
        kept = next(kept for kept in tightest(call, settings) if kept is not None)
        return self._decide_by_rules(call, signals, *kept)

    def could_leave(self, call: Call) -> bool:
        """Whether anything that may serve it lies beyond this machine."""
        settings = self.settings
        return min(settings.profile_of(call).boundary, settings.farthest, call.at_most) is not Boundary.HOST

    def _whatever_it_says(self, call: Call, signals: Signals) -> Decision | None:
        """The decision, where it keeps the text on this machine and is the same however private that is."""
        depends = "sensitivity" in self.settings.rules.reads
        try:
            decision = self._decide_by_rules(call, signals, call.at_most)
            if decision.allowed is not Boundary.HOST:
                return None
            for nearer in range(call.at_most) if depends else ():
                other = self._decide_by_rules(call, signals, Boundary(nearer))
                if other.chain.targets != decision.chain.targets:
                    return None
        except Failure:
            if depends:
                return None
            raise
        return self._decide_by_rules(call, signals, call.at_most) if depends else decision

    async def explained(self, call: Call) -> tuple[Signals, Decision] | None:
        """What rules saw of a call, and what they decided; None for one that they do not decide."""
        signals = self.read_for_rules(call)
        if signals is None:
            return None
        decision = self._decided_by_rules(call, signals)
        if decision is None:
            kept = await self.tightest_in_turns(call, self.settings)
            decision = self._decide_by_rules(call, signals, *kept)
        if not self.could_leave(call):
            signals.why += (NOT_READ,)
        return signals, decision

    def _decide_by_rules(self, call: Call, signals: Signals, at_most: Boundary, why: str = "") -> Decision:
        """Each decision is made once for calls of the same kind that the same rules match."""
        settings = self.settings
        key, model, ability = call.key, call.model, call.dialect.ability
        signals.tightest, signals.kept_by = at_most, why
        matching = settings.rules.matching(signals)
        call.matched = matched = tuple(rule.name for rule in matching)
        asked = (model, key.profile, key.agent, call.agent, call.named, ability, call.media, at_most, why, *matched)
        decision = settings.decisions.get(asked)
        if decision is None:
            profile = settings.profile_of(call)
            decision = decide(settings.rules, settings.catalog, model, signals, profile)
            _keep(settings, asked, decision, profile)
        return decision

    def foreseen(self, call: Call) -> Decision:
        """Without its text: by the rules that matched it before, or where that is not known by any that may."""
        settings, name = self.settings, call.model
        signals = Signals(call.dialect.ability, call.body_bytes, call.stream, False, call.at_most, media=call.media)
        profile = settings.profile_of(call)
        if name in settings.ruled and settings.rules.are_for(name, settings.catalog, profile):
            may = settings.rules.that_may(name, call.matched)
            return decide_by(may, settings.rules, settings.catalog, name, signals, profile)
        return decide(settings.rules, settings.catalog, name, signals, profile)


def _keep(settings: Settings, asked: Asked, decision: Decision, profile: Profile) -> None:
    """For the next call that asks the same. It allows no more than its chain needs."""
    decision.priority, decision.weight, decision.caching = profile.priority, profile.weight, profile.caching
    decision.allowed = min(decision.allowed, max(target.boundary for target in decision.chain.targets))
    if len(settings.decisions) >= MAX_DECISIONS:  # names that callers say are part of what is asked
        settings.decisions.clear()
    settings.decisions[asked] = decision


def tightest(call: Call, settings: Settings) -> Iterator[Kept | None]:
    """How far what a request holds may travel: by the tools that it offers, by its labels, and by what it says. It is
    found in steps: None after each, and how far in the end."""
    tools = tools_reach(settings.house, tool_names(call.body, but=call.own_tool))
    if call.at_most < tools.reach:
        why = "what it is made for" if call.within else "what was found when it was parked"
        tools = Kept(call.at_most, why)
    if tools.reach is Boundary.HOST:
        yield tools
        return
    labels = tuple(label.strip() for label in call.labels.split(",")) if call.labels else ()
    is_sound = call.dialect.passed is not None and call.dialect.passed.is_form
    media = SOUND if is_sound else call.media
    for reading in settings.sensitivity.steps(call.body, labels, media, is_nothing_else=is_sound):
        if reading is None:
            yield None
        elif reading.tightest < tools.reach:
            yield Kept(reading.tightest, ", ".join(sorted(reading.kinds)))
        else:
            yield tools
