"""[pure] Which keys of clouds the configuration puts to use, and which of those that were found it does not."""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.config.schema import Config


def handed_to_egress(config: Config) -> dict[str, list[str]]:
    """The keys of the providers, as they are referred to (a variable by its bare name), and whose each of them is."""
    handed: dict[str, list[str]] = {}
    for name, provider in config.providers.items():
        for key in provider.keys:
            handed.setdefault(key.reference.removeprefix("env:"), []).append(name)
    return handed


def not_used(found: Iterable[str], config: Config) -> list[str]:
    """Of the variables that were found: those that nothing in the configuration refers to."""
    used = {model.api_key.reference for model in config.models.values() if model.api_key is not None}
    used |= {key.reference for provider in config.providers.values() for key in provider.keys}
    return [name for name in found if f"env:{name}" not in used]
