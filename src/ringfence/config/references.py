"""Every secret that a configuration refers to, and which process needs it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ringfence.config.problems import KeyPath
from ringfence.config.schema import Config
from ringfence.config.secret import SecretRef

Process = Literal["gateway", "egress"]


class Reference(NamedTuple):
    """A reference at `path`; `needed_by` alone reads what it refers to."""

    path: KeyPath
    secret: SecretRef
    needed_by: Process


def references(config: Config) -> list[Reference]:
    """Those of the providers, then those of the models, then that of the database."""
    found = [
        Reference(("providers", name, *(("api_key",) if provider.api_key else ("api_keys", place))), key, "egress")
        for name, provider in config.providers.items()
        for place, key in enumerate(provider.keys)
    ]
    found += [
        Reference(("models", name, "api_key"), model.api_key, "gateway")
        for name, model in config.models.items()
        if model.api_key is not None
    ]
    if config.database.password is not None:
        found.append(Reference(("database", "password"), config.database.password, "gateway"))
    return found
