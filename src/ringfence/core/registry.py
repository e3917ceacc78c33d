"""A file is a plugin: every module of a package that has an `ADAPTER` is one, and outside packages use entry points."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import ModuleType
from typing import Any


def adapters(package: ModuleType) -> dict[str, Any]:
    """The adapters of `package` by their `kind`; ValueError when two claim the same kind."""
    modules = [import_module(f"{package.__name__}.{found.name}") for found in iter_modules(package.__path__)]
    found = [module.ADAPTER for module in modules if hasattr(module, "ADAPTER")]
    found += [entry.load() for entry in entry_points(group=package.__name__)]
    by_kind: dict[str, Any] = {}
    for adapter in found:
        if adapter.kind in by_kind:
            raise ValueError(f"two adapters of kind '{adapter.kind}' in {package.__name__}")
        by_kind[adapter.kind] = adapter
    return by_kind
