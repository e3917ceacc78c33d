"""The settings of a configuration one by one: what differs between two, and what is in force and from where."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ringfence.config.problems import KeyPath, dotted
from ringfence.config.schema import Config
from ringfence.config.secret import SecretRef
from ringfence.config.section import Reload

NAMED = ("profiles", "agents", "tools", "providers", "models", "slots", "devices", "tenants", "modes", "chains")
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_NOT_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Setting:
    """A leaf of a configuration: its value, and how a change of it takes effect."""

    path: KeyPath
    value: Any
    reload: Reload


@dataclass(frozen=True, slots=True)
class Change:
    """A setting, or something with a name (by dotted path), that differs. Values are not told: they may be private."""

    path: str
    reload: Reload


def settings(section: BaseModel, path: KeyPath = ()) -> Iterator[Setting]:
    """Every leaf of `section`, in the order of the schema."""
    for name, field in type(section).model_fields.items():
        value, inner = getattr(section, name), (*path, field.alias or name)
        extra = field.json_schema_extra
        if isinstance(extra, dict):
            yield Setting(inner, value, extra["reload"])  # pyright: ignore[reportArgumentType]
        elif isinstance(value, BaseModel):
            yield from settings(value, inner)
        else:
            for key, entry in value.items():
                yield from settings(entry, (*inner, key))


def difference(old: Config, new: Config) -> list[Change]:
    """What a reload from `old` to `new` would change. What has a name and comes or goes is one change."""
    before = {setting.path: setting for setting in settings(old)}
    after = {setting.path: setting for setting in settings(new)}
    changes = [Change(dotted(path), "hot") for path in _entries(new) if path not in _entries(old)]
    changes += [Change(dotted(path), "drain") for path in _entries(old) if path not in _entries(new)]
    changes += [
        Change(dotted(path), after[path].reload)
        for path in after.keys() & before.keys()
        if after[path].value != before[path].value
    ]
    return sorted(changes, key=lambda change: change.path)


def _entries(config: Config) -> list[KeyPath]:
    return [(section, name) for section in NAMED for name in getattr(config, section)]


def show(config: Config) -> str:
    """The configuration in force as YAML, each setting with its origin; secrets as references only."""
    lines: list[tuple[str, str]] = []
    headed: set[KeyPath] = set()
    for setting in settings(config):
        for depth in range(1, len(setting.path)):
            head = setting.path[:depth]
            if head not in headed:
                headed.add(head)
                lines.append((f"{'  ' * (depth - 1)}{scalar(head[-1])}:", ""))
        indent = "  " * (len(setting.path) - 1)
        origin = config.origin(setting.path)
        lines.append((f"{indent}{scalar(setting.path[-1])}: {scalar(setting.value)}", str(origin or "default")))
    width = min(60, max((len(text) for text, origin in lines if origin), default=0))
    return "".join(f"{text:<{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines)


def scalar(value: Any) -> str:
    """A value on one line of YAML, quoted where YAML would read it as something else."""
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_none=True, by_alias=True)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{scalar(key)}: {scalar(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(scalar(entry) for entry in value)}]"
    text = value.reference if isinstance(value, SecretRef) else str(value)
    if _PLAIN.fullmatch(text) and text.casefold() not in _NOT_TEXT:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
