"""Where the default rules send the labelled requests, decided as the gateway decides, on a machine that has everything.

There is one model for each alias of the rules. The caller may use the cloud, no GPU is busy, and money has no limit.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from labelled import Labelled

from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Model, Target
from ringfence.core.identity import Key
from ringfence.core.route import Decision, House, Profile, Tier, Urgency
from ringfence.gateway.call import Call
from ringfence.gateway.deciding import Deciding, Settings
from ringfence.gateway.dialects import chat, completions, embeddings
from ringfence.gateway.tools import tool_names
from ringfence.gateway.urgency import NAMED
from ringfence.runtime.sensitive import sensitivity
from ringfence.runtime.settings import ruleset
from ringfence.signals.hints import is_background

DIALECTS = {"chat": chat.DIALECT, "completions": completions.DIALECT, "embeddings": embeddings.DIALECT}
EVERYTHING = {
    "local/fast": "local", "local/quality": "quality", "local/long": "long", "local/embed": "local",
    "cloud/fast": "cloud", "cloud/mid": "cloud", "cloud/frontier": "frontier",
}  # fmt: skip
"""Aliases, one model each, and what the guideline calls them."""


def model(alias: str) -> Model:
    able = {Ability.EMBEDDINGS} if alias == "local/embed" else {Ability.CHAT, Ability.COMPLETIONS}
    boundary, provider = (Boundary.CLOUD, "openai") if alias.startswith("cloud/") else (Boundary.HOST, "")
    name = alias.replace("/", "-")
    target = Target(f"{name}/1", name, "vllm", name, boundary, abilities=frozenset(able), provider=provider)
    return Model(name, (target,), (alias,))


def decisions(requests: Iterable[Labelled]) -> list[Decision]:
    """What is decided for each, in order."""
    listed = list(requests)
    profile = Profile("default", Boundary.CLOUD, Tier.CLOUD_EXPLICIT)
    tools = {name: "default" for one in listed for name in tool_names(one.body) or ()}
    catalog = Catalog.of([model(alias) for alias in EVERYTHING])
    house = House({"default": profile}, {}, tools)
    settings = Settings(catalog, house, rules=ruleset(Config()), sensitivity=sensitivity(Config()))
    return asyncio.run(decided(Deciding(settings), listed))


async def decided(deciding: Deciding, requests: list[Labelled]) -> list[Decision]:
    calls = [called(one) for one in requests]
    return [deciding.decided(call) or await deciding.decided_in_turns(call) for call in calls]


def called(one: Labelled) -> Call:
    """The call that the gateway makes of it."""
    body = {"model": "auto", **one.body}
    said = NAMED[one.headers.get("x-ringfence-priority", "user")]
    hinted = is_background(body)
    return Call(
        one.id, Key("key_1", "tests"), DIALECTS[one.route], "auto", body, len(json.dumps(body)), False, 0.0,
        labels=one.headers.get("x-ringfence-label", ""),
        urgency=Urgency.BACKGROUND if hinted else said, may_load=not hinted,
    )  # fmt: skip


def goes(decision: Decision) -> str:
    """Where it goes first, as the guideline calls it."""
    return EVERYTHING[decision.chain.targets[0].model.replace("-", "/", 1)]
