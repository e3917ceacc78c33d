"""Reads `ringfence.yaml`: finds it, checks all of it, and tells every problem with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ringfence.config.document import Document, read_document, read_value
from ringfence.config.explain import explain
from ringfence.config.models import KV_TYPES, demo_model, name_clashes
from ringfence.config.problems import OVERRIDE, ConfigInvalid, KeyPath, Origin, Problem, dotted, nearest
from ringfence.config.references import references
from ringfence.config.schema import Config, state_folder

_PART = re.compile(r'"([^"]+)"|([^."]+)')
_SETTING = re.compile(rf"(?:{_PART.pattern})(?:\.(?:{_PART.pattern}))*")


def load(
    path: Path | None,
    env: Mapping[str, str] = os.environ,
    overrides: Mapping[str, str] | None = None,
    *,
    kinds: Collection[str] | None = None,
    check_secrets: bool = True,
    check_provider_keys: bool = False,
) -> Config:
    """The configuration in `path` (None: all defaults) with `overrides` ("server.port" -> "0") laid over it.

    `kinds` are the engine kinds to check against, if known yet. Every secret is read once, and forgotten, unless
    `check_secrets` is off; those of providers only with `check_provider_keys`, as the gateway has none of them.
    Raises ConfigInvalid with everything that is wrong.
    """
    document = _read(path)
    _anchor(document.data, path.parent if path else Path.cwd(), env)
    overridden = _lay_over(document, overrides or {})
    _anchor(document.data, Path.cwd(), env)
    config = _validate(document, overridden)
    if config is not None:
        config.originated(_origins(document, overridden))
        document.problems += check(config, kinds) if kinds is not None else []
        document.problems += _unreadable_secrets(config, env) if check_secrets else []
        document.problems += unreadable_provider_keys(config, env) if check_provider_keys else []
        _place_secrets(config)
    if config is None or document.problems:
        raise ConfigInvalid(_in_order(document.problems))
    return config


def check(config: Config, kinds: Collection[str]) -> list[Problem]:
    """Engine kinds named in the configuration that are not among `kinds`, and providers named as engines are."""
    named: list[tuple[KeyPath, str]] = [(("discovery", "ports", kind), kind) for kind in config.discovery.ports]
    named += [(("models", name, "engine"), model.engine) for name, model in config.models.items() if model.engine]
    known = ", ".join(sorted(kinds))
    return [*_named_as_engines(config, kinds), *_not_started(config, kinds)] + [
        _problem_at(config, path, f"unknown engine kind '{kind}'; known are {known}", nearest(kind, kinds))
        for path, kind in named
        if kind not in kinds
    ]


def _not_started(config: Config, kinds: Collection[str]) -> Iterator[Problem]:
    """Models with a source of an engine that is only ever found running."""
    for name, model in config.models.items():
        if model.source is not None and model.source_engine in set(kinds) - set(KV_TYPES):
            why = f"a source is served by {' or '.join(KV_TYPES)}; give the url of a running {model.source_engine}"
            yield _problem_at(config, ("models", name, "engine"), why)


def _named_as_engines(config: Config, kinds: Collection[str]) -> list[Problem]:
    """Targets are named '<provider>/<model>', '<kind>/<model>' and '<kind>-<port>/<model>': no two may be the same."""
    problems: list[Problem] = []
    for name in config.providers:
        first, slash, _ = name.partition("/")
        kind, _, port = first.rpartition("-")
        if first in kinds or (kind in kinds and port.isdigit()):
            why = f"'{first}' is what engines of the kind '{first if first in kinds else kind}' are called"
            problems.append(_problem_at(config, ("providers", name), f"{why}: give the provider another name"))
        elif slash:
            why = "a provider's name has no '/': what follows it is the name of a model"
            problems.append(_problem_at(config, ("providers", name), why))
    return problems


def peek_state_dir(path: Path | None, env: Mapping[str, str] = os.environ) -> Path:
    """The folder for state as far as it can be told from a file that may be wrong elsewhere."""
    named: str | None = None
    try:
        document = _read(path)
        _anchor(document.data, path.parent if path else Path.cwd(), env)
        found = document.data.get("state_dir")
        named = found if isinstance(found, str) else None
    except ConfigInvalid:
        pass
    return state_folder(named, env)


def _read(path: Path | None) -> Document:
    if path is None:
        return Document(file="", data={})
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = Problem(str(path), None, None, "", error.strerror or "cannot be read")
        raise ConfigInvalid([problem]) from None
    document = read_document(content, str(path))
    if document.data is None:
        document.data = {}
    if not isinstance(document.data, dict):
        document.refuse((), "expected settings, such as 'server:', at the top of the file")
        raise ConfigInvalid(document.problems)
    for key in [key for key, value in document.data.items() if value is None and key != "state_dir"]:
        # A section whose every line is commented out is null in YAML, and means its defaults.
        if key in Config.model_fields:
            del document.data[key]
    return document


def _lay_over(document: Document, overrides: Mapping[str, str]) -> set[KeyPath]:
    """Set each override in the document's data; the paths that were set."""
    overridden: set[KeyPath] = set()
    for name, text in overrides.items():
        parts = [found[1] or found[2] for found in _PART.finditer(name)]
        if not _SETTING.fullmatch(name):
            document.problems.append(Problem(OVERRIDE, None, None, name, "expected a setting such as server.port"))
            continue
        inner: Any = document.data
        if parts[:2] == ["models", "demo"] and not inner.get("models"):
            inner["models"] = {name: model.model_dump(exclude_defaults=True) for name, model in demo_model().items()}
        for part in parts[:-1]:
            inner = inner.setdefault(part, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            document.problems.append(Problem(OVERRIDE, None, None, name, "lies in something that is not a mapping"))
            continue
        inner[parts[-1]] = read_value(text, OVERRIDE)
        overridden.add(tuple(parts))
    return overridden


def _anchor(data: dict[str, Any], folder: Path, env: Mapping[str, str]) -> None:
    """Make paths absolute: one in a file counts from that file, one from the command line from where it was typed."""

    def absolute(within: Any, key: Any) -> None:
        given = _entry(within, key)
        if not isinstance(given, str) or not given:
            return
        if given.startswith("~/") and env.get("HOME"):
            within[key] = env["HOME"] + given[1:]
        else:
            within[key] = os.path.normpath(folder.absolute() / given)

    absolute(data, "state_dir")
    absolute(data.get("logging"), "file")
    absolute(data.get("placement"), "lock_file")
    models, modes = data.get("models"), data.get("modes")
    for model in models.values() if isinstance(models, dict) else ():
        if _is_path(model):
            absolute(model, "source")
        _absolute_program(_entry(model, "command"), absolute)
    for mode in modes.values() if isinstance(modes, dict) else ():
        programs = _entry(mode, "run")
        for program in programs if isinstance(programs, list) else ():
            _absolute_program(program, absolute)


def _entry(within: Any, key: Any) -> Any:
    """None where there is no such entry, or nothing that could have one."""
    if isinstance(within, dict):
        return within.get(key)
    return within[key] if isinstance(within, list) and isinstance(key, int) and key < len(within) else None


def _is_path(model: Any) -> bool:
    """Whether the source of a model is a path: a file of weights, or for vllm a folder."""
    source = _entry(model, "source")
    if not isinstance(source, str) or source.startswith("hf:") or source == "demo":
        return False
    return source.endswith(".gguf") or source.startswith("~/") or _entry(model, "engine") == "vllm"


def _absolute_program(command: Any, absolute: Callable[[Any, Any], None]) -> None:
    """A bare name is looked for where programs are; only what has a folder is a path."""
    program = _entry(command, 0) if isinstance(command, list) else None
    if isinstance(program, str) and "/" in program:
        absolute(command, 0)


def _validate(document: Document, overridden: set[KeyPath]) -> Config | None:
    problems = document.problems
    clashes = name_clashes(_aliases(document.data))
    for name, position, message in clashes:
        document.refuse(("models", name, "aliases", position), message)
    try:
        return Config.model_validate(document.data)
    except ValidationError as error:
        for path, message, suggestion in explain(error):
            if any(path[: len(start)] == start or start[: len(path)] == path != () for start in overridden):
                problems.append(Problem(OVERRIDE, None, None, dotted(path), message, suggestion))
            elif message not in {told for _, _, told in clashes}:
                document.refuse(path, message, suggestion=suggestion)
        return None


def _aliases(data: dict[str, Any]) -> dict[str, list[str]]:
    """The aliases of each model, as far as they are what they should be."""
    models = data.get("models")
    found: dict[str, list[str]] = {}
    for name, model in models.items() if isinstance(models, dict) else ():
        aliases = model.get("aliases") if isinstance(model, dict) else None
        # What is not text keeps its position, as nothing.
        listed = aliases if isinstance(aliases, list | tuple) else ()
        found[name] = [alias if isinstance(alias, str) else "" for alias in listed]
    return found


def _unreadable_secrets(config: Config, env: Mapping[str, str]) -> list[Problem]:
    """Those that the gateway needs: a key of a provider is for the egress process alone to read."""
    return _unreadable(config, env, "gateway")


def unreadable_provider_keys(config: Config, env: Mapping[str, str] = os.environ) -> list[Problem]:
    """Keys of providers that are not there, or cannot be used; each of them, with its line."""
    return _unreadable(config, env, "egress")


def _unreadable(config: Config, env: Mapping[str, str], needed_by: str) -> list[Problem]:
    looks = [(one.path, one.secret.look(env)) for one in references(config) if one.needed_by == needed_by]
    return [_problem_at(config, path, look.problem) for path, look in looks if look.problem]


def _place_secrets(config: Config) -> None:
    for path, secret, _needed_by in references(config):
        where = config.origin(path)
        if where is not None:
            secret.found_at(str(where))


def _origins(document: Document, overridden: set[KeyPath]) -> dict[KeyPath, Origin]:
    origins = {path: Origin(document.file, place.line, place.column) for path, place in document.places.items()}
    for start in overridden:
        origins = {path: origin for path, origin in origins.items() if path[: len(start)] != start}
        for path in _paths(document.data, start):
            origins[path] = Origin(OVERRIDE)
    return origins


def _paths(data: Any, start: KeyPath) -> list[KeyPath]:
    """`start` and everything below it in `data`."""
    inner = data
    for part in start:
        inner = inner[part]
    entries = inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
    return [start, *(path for key, _ in entries for path in _paths(data, (*start, key)))]


def _in_order(problems: list[Problem]) -> list[Problem]:
    """By place in the file, each once; those without a place come last."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line is None, problem.line, problem.column))


def _problem_at(config: Config, path: KeyPath, message: str, suggestion: str | None = None) -> Problem:
    at = config.origin(path) or Origin("")
    return Problem(at.file, at.line, at.column, dotted(path), message, suggestion)
