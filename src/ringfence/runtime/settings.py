"""What the parts of the gateway are told of the configuration, in their own words."""

from __future__ import annotations

from pathlib import Path

from ringfence.config.problems import ConfigError
from ringfence.config.schema import Config
from ringfence.config.values import is_loopback
from ringfence.core.route import House
from ringfence.gateway.http import Limits
from ringfence.gateway.relay import Timeouts


def until_restart(fresh: Config, running: Config) -> Config:
    """`fresh`, with what takes a restart left as it is. Raises ConfigError where the two do not go together."""
    host = running.server.host
    if fresh.server.keys == "off" and not is_loopback(host):
        raise ConfigError(f"server.keys: off is refused while the gateway still listens on {host}; restart it")
    server = fresh.server.model_copy(update={"host": host, "port": running.server.port})
    return fresh.model_copy(update={"server": server, "state_dir": running.state_dir})


def house(config: Config) -> House:
    return House(
        {name: settings.profile(name) for name, settings in config.profiles.items()},
        {name: bound.profile for name, bound in config.agents.items()},
        {name: bound.profile for name, bound in config.tools.items()},
    )


def timeouts(config: Config) -> Timeouts:
    said = config.timeouts
    return Timeouts(said.first_byte_s, said.between_bytes_s, said.answer_s)


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
