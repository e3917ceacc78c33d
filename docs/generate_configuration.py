"""Writes docs/configuration.md from the schema of the configuration: `python docs/generate_configuration.py`."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ringfence.config.changes import NAMED, scalar
from ringfence.config.schema import Config

PAGE = Path(__file__).with_name("configuration.md")
MIB = 1024 * 1024
ENTRIES = {name: f"{name}.NAME" for name in NAMED}
SIZES = ("headroom", "memory", "simulated", "threshold")
"""Settings that take a unit, beside those whose names end in _bytes."""
KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Any: "condition"}
PLURAL = {int: "whole numbers", str: "texts", tuple: "lists of texts"}

HEAD = """\
# Configuration

<!-- Written by docs/generate_configuration.py from the schema; change the words there. -->

Ringfence runs without a file. To change something, start one; every setting is in it with its default:

```sh
ringfence config init
ringfence config check
```

Then tell the running gateway. It checks the whole file first; a file with a mistake changes nothing, and the answer
names the line.

```sh
ringfence config reload
```

## Where the file is looked for

The first of these that exists is used, and it is the only one:

1. `--config FILE`
2. `$RINGFENCE_CONFIG`
3. `ringfence.yaml` in the current folder
4. `$XDG_CONFIG_HOME/ringfence/ringfence.yaml`, usually `~/.config/ringfence/ringfence.yaml`
5. `/etc/ringfence/ringfence.yaml`

A relative path in the file counts from the file. `--set NAME=VALUE` lays one setting over the file for one start, such
as `--set admission.queue=10`; a name with a dot in it is quoted: `--set 'models."llama-3.2".parallel=2'`.

## How a change takes effect

| word | meaning |
|---|---|
| hot | in force for the next request |
| drain | the engine or address is set up anew; requests under way finish as they began |
| restart | in force after the next start |

A changed model is loaded before the old one is let go. When it does not become ready within 60 seconds, the reload is
refused and everything stays as it was. Where its devices have no room for both, or where it is not always loaded, it takes
the place of the old one: that one answers what it has and leaves, and who asks meanwhile waits for the new one.

An unknown key, a wrong type or a value out of range is refused at load, with file, line and the nearest known key.
Sizes take a unit (`32MiB`, `16 GB`). Times are seconds.

## Secrets

A secret is never written in the file. `api_key` says where it stands:

| reference | meaning |
|---|---|
| `env:NAME` | an environment variable |
| `file:/path` | a file that only its owner may read |
| `credential:NAME` | a systemd credential (`LoadCredential=`) |

## Settings
"""


def render() -> str:
    """The whole page."""
    parts = [HEAD]
    top = list(_rows(Config, ""))
    parts += ["", "### Top level", "", *_table(top)]
    for name, field in Config.model_fields.items():
        section = _section(field)
        if section is None:
            continue
        prefix = ENTRIES.get(name, name)
        words = field.description or (section.__doc__ or "").splitlines()[0]
        parts += ["", f"### {prefix}", "", words, "", *_table(_rows(section, prefix))]
    return "\n".join(parts) + "\n"


def _table(rows: Any) -> list[str]:
    head = ["| setting | kind | default | reload | meaning |", "|---|---|---|---|---|"]
    return head + [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def _rows(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "reload" in extra:
            path = f"{prefix}.{field.alias or name}" if prefix else name
            default = "needed" if field.is_required() else f"`{_default(name, field.default)}`"
            yield f"`{path}`", _kind(name, field), default, str(extra["reload"]), field.description or ""
            for one in get_args(field.annotation):
                entry = get_args(one)[0] if get_origin(one) is tuple else one
                if isinstance(entry, type) and issubclass(entry, BaseModel):
                    inner = f"{path}.NAME" if get_origin(field.annotation) is dict else path
                    yield from _rows(entry, inner if entry is one else f"{path}[N]")


def _default(name: str, value: Any) -> str:
    if name.endswith("_bytes") and isinstance(value, int) and value % MIB == 0:
        return f"{value // MIB}MiB"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(scalar(value))


def _kind(name: str, field: FieldInfo) -> str:
    if name in SIZES:
        return "size" if field.is_required() else "size or null"
    return "size" if name.endswith("_bytes") else _words(field.annotation)


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if one is types.NoneType else _words(one) for one in arguments)
    if origin is tuple:
        kind = arguments[0]
        while get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        return f"list of {PLURAL.get(get_origin(kind) or kind) or _words(kind)}"
    if origin is dict:
        return f"mapping of {_words(arguments[0])} to {_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping, see below"
    return KINDS.get(annotation, "secret reference")


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The settings below a field: its own, or those of each entry of a mapping."""
    kind = field.annotation
    if get_origin(kind) is dict:
        kind = get_args(kind)[1]
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
