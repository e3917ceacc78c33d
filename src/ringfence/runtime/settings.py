"""What the parts of the gateway are told of the configuration, in their own words."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from ringfence.config.hours import Daily, daily_moment
from ringfence.config.models import ModelSettings
from ringfence.config.problems import ConfigError
from ringfence.config.routing import THINKS, RuleSettings, default_rules
from ringfence.config.schema import Config
from ringfence.config.values import is_loopback
from ringfence.core.catalog import Timeouts
from ringfence.core.route import House
from ringfence.gateway.cascade.cascade import Escalation
from ringfence.gateway.cascade.checks import Check, Checks
from ringfence.gateway.http import Limits
from ringfence.gateway.responses_background import BackgroundSettings
from ringfence.gateway.thinking.bounds import Bounds
from ringfence.routing.ruleset import NamedChain, Rule, Ruleset


def until_restart(fresh: Config, running: Config) -> Config:
    """`fresh`, with what takes a restart left as it is. Raises ConfigError where the two do not go together."""
    host = running.server.host
    if fresh.server.keys == "off" and not is_loopback(host):
        raise ConfigError(f"server.keys: off is refused while the gateway still listens on {host}; restart it")
    server = fresh.server.model_copy(update={"host": host, "port": running.server.port})
    money = fresh.money.model_copy(update={"zone": running.money.zone})  # periods under way are counted by it
    kept = {"state_dir": running.state_dir, "database": running.database, "money": money}
    return fresh.model_copy(update={"server": server, **kept})


def house(config: Config) -> House:
    return House(
        {name: settings.profile(name) for name, settings in config.profiles.items()},
        {name: bound.profile for name, bound in config.agents.items()},
        {name: bound.profile for name, bound in config.tools.items()},
    )


def ruleset(config: Config) -> Ruleset:
    """The rules in force: the owner's, or the default ones."""
    rules = config.rules if config.rules is not None else default_rules()
    chains = {name: NamedChain(chain.models, chain.ending == "queue") for name, chain in config.chains.items()}
    if config.thinking.offered and not _is_taken(config, THINKS):
        model = config.thinking.model
        chains[THINKS] = NamedChain((model,), model in chains and chains[model].waits)
    return Ruleset(tuple(_rule(one, chains) for one in rules), chains)


def _is_taken(config: Config, name: str) -> bool:
    """Whether a model or a chain of the owner has it."""
    return name in config.chains or any(name in (one, *model.aliases) for one, model in config.models.items())


def thinking(config: Config) -> Bounds | None:
    """None where it is switched off, or where its name is the owner's."""
    said = config.thinking
    if not said.offered or _is_taken(config, THINKS):
        return None
    return Bounds(said.model, said.reasoning, said.above_effort, said.thoughts, said.depth, said.tokens)


def escalations(config: Config) -> dict[str, Escalation]:
    """Chains that escalate, by name."""
    return {
        name: Escalation(
            chain.models,
            Checks(
                frozenset(map(Check, chain.escalate.on)), chain.escalate.confidence,
                tuple(re.compile(one, re.IGNORECASE) for one in chain.escalate.refusals),
            ),
            import_module("ringfence.gateway.cascade.schema").compiled if "schema" in chain.escalate.on else None,
        )
        for name, chain in config.chains.items()
        if chain.escalate is not None
    }  # fmt: skip


def _rule(rule: RuleSettings, chains: dict[str, NamedChain]) -> Rule:
    """It ends as its last chain does, where it does not say how."""
    last = chains.get(rule.use[-1])
    ending = "queue" if rule.ending == "error" and last is not None and last.waits else rule.ending
    text = ", ".join(f"{one.dimension} is {one.text}" for one in rule.conditions if one.dimension != "model")
    return Rule(rule.name, text or "always", rule.conditions, rule.use, ending, rule.names)


def background(config: Config) -> BackgroundSettings:
    """What is in memory takes no more of it than what is parked there."""
    return BackgroundSettings(config.responses.background, config.server.body_memory_bytes // 2)


def resets(config: Config) -> dict[str, Daily]:
    """When the quotas of providers begin anew, where that is said."""
    return {name: daily_moment(one.resets) for name, one in config.providers.items() if one.resets is not None}


def timeouts(config: Config) -> Timeouts:
    said = config.timeouts
    return Timeouts(said.first_byte_s, said.between_bytes_s, said.answer_s, said.slow_s)


def timeouts_of(model: ModelSettings, config: Config) -> Timeouts | None:
    """Of one model, with those of all where it says nothing; None where it has none of its own."""
    if model.timeouts is None:
        return None
    return replace(timeouts(config), **model.timeouts.model_dump(exclude_none=True))


def admission(config: Config) -> tuple[int, float, float]:
    """How many may wait for a target, for how long, and after how long they count as one class higher."""
    said = config.admission
    return said.queue, said.wait_s, said.promote_s


def limits(config: Config) -> Limits:
    server = config.server
    return Limits(
        server.header_timeout_s, server.body_timeout_s, server.idle_timeout_s, server.write_timeout_s,
        server.max_body_bytes, server.body_memory_bytes, server.max_connections,
    )  # fmt: skip


def log_file(config: Config) -> Path | None:
    return Path(config.logging.file) if config.logging.file else None


def shown(host: str) -> str:
    """The address to tell people: one they can reach from this machine."""
    if host in ("0.0.0.0", "::"):  # noqa: S104
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
