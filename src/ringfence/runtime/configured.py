"""The engines that a configuration asks for, one by one, and whether a change of it needs another engine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.config.models import ModelSettings
from ringfence.config.schema import Config
from ringfence.config.values import EngineUrl
from ringfence.core.boundary import boundary_of
from ringfence.core.catalog import Endpoint

BESIDE_THE_ENGINE: dict[str, Any] = {
    "aliases": (), "tokenizer": None, "image_tokens": None, "residency": "always", "priority": "P1", "slot": None,
    "idle_s": None, "devices": (), "hours": None, "timeouts": None, "price": None,
}  # fmt: skip
"""Settings whose change needs no other engine."""


@dataclass(slots=True)
class Configured:
    """A model of the configuration and an instance that serves it now. `name` is that of `wanted`."""

    name: str
    model: str
    settings: ModelSettings
    instance: str
    kind: str
    endpoint: Endpoint | None
    created_s: int
    path: Path | None = None
    """The weights of a source."""
    digest: str = ""
    """Their SHA-256, worked out only where a profile asks for it: it means reading all of them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One engine: of a model with several, each has settings of its own, with its own url."""

    model: str
    settings: ModelSettings


def wanted(config: Config) -> dict[str, Wanted]:
    """By a name that stays while the engine is the same: the model's, or with its address where there are several."""
    found: dict[str, Wanted] = {}
    for model, settings in config.models.items():
        if settings.provider is None:
            for name, one in _each(model, settings):
                found[name] = Wanted(model, one)
    return found


def _each(model: str, settings: ModelSettings) -> list[tuple[str, ModelSettings]]:
    if not settings.urls:
        return [(model, settings)]
    return [
        (f"{model}@{_place(at)}", settings.model_copy(update={"url": url, "urls": ()}))
        for url, at in zip(settings.urls, settings.addresses, strict=True)
    ]


def _place(url: EngineUrl) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port}{url.prefix}"


def restarts(old: ModelSettings, new: ModelSettings) -> bool:
    """True when the engine must be started anew: everything but its names and how it is counted is part of it."""
    return old.model_copy(update=BESIDE_THE_ENGINE) != new.model_copy(update=BESIDE_THE_ENGINE)


def engine_key(settings: ModelSettings) -> str | None:
    """As it stands behind the reference now. Raises ConfigError."""
    return settings.api_key.resolve(os.environ) if settings.api_key is not None else None


def has_other_key(endpoint: Endpoint | None, settings: ModelSettings) -> bool:
    """True when the file of the key holds another one than before."""
    return endpoint is not None and settings.api_key is not None and engine_key(settings) != endpoint.api_key


def has_moved(endpoint: Endpoint | None, config: Config) -> bool:
    """True when the networks listed under mesh are others now, so that this address lies elsewhere than it did."""
    return endpoint is not None and boundary_of(endpoint.address, config.mesh_networks) is not endpoint.boundary
