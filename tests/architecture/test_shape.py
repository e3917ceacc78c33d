"""Files and functions stay small, names say what they are, and nothing is left for later."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

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


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_files_are_short_and_finished() -> None:
    for path in (*FILES, *PAGES):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") < MOST_LINES, path
        assert LATER.findall(text) == [], path
        assert OUTSIDE.findall(text) == [], path


def test_most_files_are_much_shorter() -> None:
    lengths = sorted(path.read_text(encoding="utf-8").count("\n") for path in FILES if path.name != "__init__.py")
    assert lengths[len(lengths) // 2] <= 150


def test_functions_are_short() -> None:
    for path in FILES:
        functions = [n for n in ast.walk(_tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno}
        assert {name: lines for name, lines in long.items() if lines > MOST_FUNCTION_LINES} == {}, path


def _words(name: str) -> set[str]:
    """The words of CamelCase and of snake_case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_names_say_what_things_are() -> None:
    for path in FILES:
        classes = [node.name for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef)]
        for name in (*classes, *(Path(_name(path)).with_suffix("").parts)):
            assert _words(name).isdisjoint(BANNED), f"{path}: {name}"


def test_words_are_found_in_names() -> None:
    assert _words("HTTPServerManager") == {"http", "server", "manager"}
    assert _words("key_utils") == {"key", "utils"}


def test_files_are_explained() -> None:
    assert [_name(path) for path in FILES if path.name != "__init__.py" and not ast.get_docstring(_tree(path))] == []


def test_tests_are_run_as_they_were_meant() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert options["asyncio_default_fixture_loop_scope"] == "function"
    assert "--import-mode=importlib" in options["addopts"]
    assert "--strict-markers" in options["addopts"]
    assert options["timeout"] <= 60
