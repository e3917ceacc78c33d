"""What the command line makes of its options before the gateway starts. Loads nothing heavy: `serve` starts with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path


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


def named_variables(path: Path | None, overrides: Mapping[str, str]) -> frozenset[str]:
    """Environment variables that the settings refer to as env:NAME: these alone are handed on besides the usual."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
    except OSError:
        return frozenset()
    text = "\n".join((text, *overrides.values()))
    return frozenset(re.findall(r"\benv:([A-Za-z_][A-Za-z0-9_]*)", text))


def names_providers(path: Path | None, overrides: Mapping[str, str]) -> bool:
    """Whether the settings may name a rented cloud. Only then is anything loaded that could lead to one."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
    except OSError:
        return False
    return "providers" in text or any(name.startswith("providers") for name in overrides)
