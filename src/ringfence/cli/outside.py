"""The parent's part of the way out: it reads the providers' keys and hands them to the egress process alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringfence.config.load import load
from ringfence.config.problems import ConfigError
from ringfence.config.schema import Config, state_dir
from ringfence.runtime.instances import egress_socket
from ringfence.store.private_file import make_private_folder


def configured(path: Path | None, overrides: Mapping[str, str]) -> Config | None:
    """The configuration when it names providers; None when it names none, or cannot be read: the gateway says why."""
    try:
        config = load(path, overrides=overrides, check_secrets=False)
    except ConfigError:
        return None
    return config if config.providers else None


def egress_settings(config: Config) -> dict[str, Any]:
    """What the egress process is told. Raises ConfigError for a key that cannot be read."""
    folder = state_dir(config)
    socket = egress_socket(folder)
    make_private_folder(folder)
    make_private_folder(socket.parent)
    return {
        "socket": str(socket),
        "journal": str(folder / "journal"),
        "log_file": str(socket.parent / "egress.log"),
        "providers": [
            {
                "name": name, "dialect": provider.dialect, "url": provider.url,
                "key": provider.api_key.resolve(os.environ), "calls_per_day": provider.calls_per_day,
                "max_tokens": provider.max_tokens,
            }
            for name, provider in config.providers.items()
        ],
    }  # fmt: skip


def only_outside(config: Config) -> frozenset[str]:
    """Environment variables that hold keys of providers and nothing that the gateway needs."""
    outside = {provider.api_key.reference for provider in config.providers.values()}
    inside = {model.api_key.reference for model in config.models.values() if model.api_key is not None}
    return frozenset(ref.removeprefix("env:") for ref in outside - inside if ref.startswith("env:"))
