"""What the command line makes of its options before the gateway starts. Loads nothing heavy: `serve` starts with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

_ENV = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")


def model_overrides(source: str, *, replaces_demo: bool, demo_is_written: bool = False) -> dict[str, str]:
    """Settings that serve `source` (a file, or hf:owner/repo[:quant]) under a name made from it."""
    stem = (
        source.removeprefix("hf:").split(":")[0].rsplit("/", 1)[-1] if source.startswith("hf:") else Path(source).stem
    )
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem)[:64].strip("-.") or "model"
    given = source if source.startswith("hf:") else str(Path(source).expanduser().resolve())
    settings = {f'models."{name}".source': json.dumps(given)}  # an override is YAML: a path may hold ' #'
    if replaces_demo:
        settings[f'models."{name}".aliases'] = "[local/fast, auto]"
    if demo_is_written and name != "demo":
        settings["models.demo.aliases"] = "[]"
    return settings


def serves_only_demo(path: Path | None) -> bool:
    """True when no model is configured, or the demo alone: then another model takes over its other names."""
    if path is None:
        return True
    from ringfence.config.load import load
    from ringfence.config.problems import ConfigError

    try:
        return list(load(path, check_secrets=False).models) == ["demo"]
    except ConfigError:
        return False  # the gateway says what is wrong with it


def writes_demo(path: Path | None) -> bool:
    """True when a valid file has the demo in it: it stays, and gives its other names away."""
    if path is None:
        return False
    from ringfence.config.load import load

    return load(path, check_secrets=False).origin(("models", "demo", "source")) is not None


def variables(path: Path | None, overrides: Mapping[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """Environment variables that hold keys of engines and the password of the database, which the gateway gets, and
    those that hold keys of providers, which it must not get, whatever else they are for. Nothing is handed on by a
    configuration that cannot be read."""
    named = frozenset(_ENV.findall("\n".join((_text(path), *overrides.values()))))
    if not named:
        return named, named
    from ringfence.config.load import load
    from ringfence.config.problems import ConfigError

    try:
        config = load(path, overrides=overrides, check_secrets=False)
    except ConfigError:
        return frozenset(), named
    engines = {model.api_key.reference for model in config.models.values() if model.api_key is not None}
    if config.database.password is not None:
        engines.add(config.database.password.reference)
    providers = {key.reference for provider in config.providers.values() for key in provider.keys}
    kept_out = frozenset(ref.removeprefix("env:") for ref in providers if ref.startswith("env:"))
    return frozenset(ref.removeprefix("env:") for ref in engines if ref.startswith("env:")) - kept_out, kept_out


def names_providers(path: Path | None, overrides: Mapping[str, str]) -> bool:
    """Whether the settings may name a rented cloud. Only then is anything loaded that could lead to one."""
    return "providers" in _text(path) or any(name.startswith("providers") for name in overrides)


def _text(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
    except OSError:
        return ""
