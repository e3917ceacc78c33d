"""A file is a plugin: every module of a package that has an `ADAPTER` is one, and outside packages use entry points."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import ModuleType
from typing import Any


def adapters(package: ModuleType, constant: str = "ADAPTER", by: str = "kind") -> dict[str, Any]:
    """What the modules of `package` call `constant`, by its attribute `by`; ValueError when two claim the same."""
    modules = [import_module(f"{package.__name__}.{found.name}") for found in iter_modules(package.__path__)]
    found = [getattr(module, constant) for module in modules if hasattr(module, constant)]
    found += [entry.load() for entry in installed().select(group=package.__name__)]
    by_kind: dict[str, Any] = {}
    for adapter in found:
        kind = getattr(adapter, by)
        if kind in by_kind:
            raise ValueError(f"two of '{kind}' in {package.__name__}")
        by_kind[kind] = adapter
    return by_kind


@cache
def installed() -> Any:
    """The entry points of all installed packages, whose type is another one in each Python: reading them takes
    milliseconds, and is done once."""
    return entry_points()
