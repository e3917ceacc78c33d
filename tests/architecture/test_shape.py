"""Files and functions stay small, names say what they are, and nothing is left for later."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "ringfence"
FILES = sorted(SOURCE.rglob("*.py"))
PAGES = sorted(path for path in (SOURCE / "console").rglob("*") if path.suffix in (".js", ".css", ".html"))

MOST_LINES = 500
MOST_FUNCTION_LINES = 60
BANNED = ("manager", "handler", "helper", "utils", "common", "misc", "base", "service", "smart", "orchestrator")
LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
OUTSIDE = re.compile(r"/work/|\bagent session|\bissue #\d+|\bsub-?agent", re.IGNORECASE)


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", [*FILES, *PAGES], ids=_name)
def test_a_file_is_short_and_finished(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < MOST_LINES
    assert LATER.findall(text) == []
    assert OUTSIDE.findall(text) == []


def test_most_files_are_much_shorter() -> None:
    lengths = sorted(path.read_text(encoding="utf-8").count("\n") for path in FILES if path.name != "__init__.py")
    assert lengths[len(lengths) // 2] <= 150


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_functions_are_short(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno}
    assert {name: lines for name, lines in long.items() if lines > MOST_FUNCTION_LINES} == {}


def _words(name: str) -> set[str]:
    """The words of CamelCase and of snake_case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_names_say_what_things_are(path: Path) -> None:
    classes = [
        node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)
    ]
    for name in (*classes, *(Path(_name(path)).with_suffix("").parts)):
        assert _words(name).isdisjoint(BANNED), name


def test_words_are_found_in_names() -> None:
    assert _words("HTTPServerManager") == {"http", "server", "manager"}
    assert _words("key_utils") == {"key", "utils"}


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_public_things_are_explained(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name != "__init__.py":
        assert ast.get_docstring(tree), "the file itself"


def test_tests_are_run_as_they_were_meant() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert options["asyncio_default_fixture_loop_scope"] == "function"
    assert "--import-mode=importlib" in options["addopts"]
    assert "--strict-markers" in options["addopts"]
    assert options["timeout"] <= 60
