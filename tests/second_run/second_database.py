"""Ringfence on PostgreSQL, where a test has it on SQLite: each file is a database of its own on the tests' server.

What the product does with `database.url` is what it does here: this only names an address where nobody has given one.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

SERVER = "RINGFENCE_TEST_SERVER"
"""The folder of its socket, and its port; in the environment of every process of a second run."""
TEMPLATE = "made"
"""A database with the present schema, which each one is a copy of: migrations would take a second."""
USER = "ringfence"
THERE_ALREADY = ("42P04", "23505")
in_memory = itertools.count()
known: set[str] = set()
_lines: dict[int, Any] = {}
"""By process: one that was forked has its own."""


def install() -> None:
    """Databases of this process are on the server, if there is one; whatever was or will be imported."""
    if SERVER not in os.environ or any(isinstance(finder, _Changing) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Changing())
    for name, change in CHANGES.items():
        if name in sys.modules:
            change(sys.modules[name])


def address_of(path: Path) -> str:
    """Of the database that stands for this file, which is made if it is not there."""
    whole = os.path.abspath(path)  # noqa: PTH100 - what is a link is another file
    return _made(f"of_{hashlib.sha256(whole.encode()).hexdigest()[:24]}", whole)


def ask(statement: str) -> list[Any]:
    """By one connection, which is kept."""
    if _lines.get(os.getpid()) is None:
        import pg8000.dbapi

        folder, _, port = os.environ[SERVER].rpartition(":")
        line = pg8000.dbapi.connect(
            USER, unix_sock=f"{folder}/.s.PGSQL.{port}", database="postgres", timeout=30, ssl_context=False
        )
        line.autocommit = True
        _lines[os.getpid()] = line
    cursor = _lines[os.getpid()].cursor()
    cursor.execute(statement)
    return list(cursor.fetchall()) if cursor.description else []


def _made(name: str, of: str) -> str:
    folder, _, port = os.environ[SERVER].rpartition(":")
    if name not in known:
        import pg8000.dbapi

        try:
            ask(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
            ask(f"COMMENT ON DATABASE {name} IS '{of.replace(chr(39), '')}'")
        except pg8000.dbapi.DatabaseError as error:
            if error.args[0].get("C") not in THERE_ALREADY:
                raise
        known.add(name)
        if "pytest" not in sys.modules:
            _lines.pop(os.getpid()).close()  # a gateway has one connection, and not two
    return f"postgresql://{USER}@:{port}/{name}?host={folder}"


def _change_store(store: ModuleType) -> None:
    begin = store.Database.__init__

    def __init__(self: Any, url_or_path: str | Path, *told: Any, **named: Any) -> None:
        given = str(url_or_path)
        if given == "sqlite://":
            given = _made(f"in_memory_{os.getpid()}_{next(in_memory)}", "nothing")
        elif "://" not in given:
            given = address_of(Path(given))
        begin(self, given, *told, **named)

    store.Database.__init__ = __init__


def _change_runtime(runtime: ModuleType) -> None:
    """As if the configuration had named it."""
    from ringfence.config.schema import state_dir

    named = runtime.database

    def database(config: Any, **told: Any) -> Any:
        if config.database.url is None:
            url = address_of(state_dir(config) / "ringfence.db")
            config = config.model_copy(update={"database": config.database.model_copy(update={"url": url})})
        return named(config, **told)

    runtime.database = database


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "ringfence.store.db": _change_store,
    "ringfence.runtime.database": _change_runtime,
}


class _Changing(MetaPathFinder):
    """Changes these modules once they were run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        change = CHANGES.get(fullname)
        if change is None:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((found for found in others if found is not None), None)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                change(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
