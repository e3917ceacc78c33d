"""Each path that the gateway binds is in its own description, and each that is described is bound.

Desks say of a path whether it is theirs, and not which ones are. So all that looks like a path, or a part of one, in
the source and in the docs is tried on them: whoever adds a path and does not describe it fails here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ringfence.config.load import load
from ringfence.gateway.openapi import SHOWN, OpenApi, described
from ringfence.gateway.route import Desk
from ringfence.gateway.site import OPEN_PAGES, Front
from ringfence.runtime.parts import Origin, Runtime

ROOT = Path(__file__).parents[2]
GATEWAY = ROOT / "src" / "ringfence" / "gateway"
PATH = re.compile(r"/(?:v1|api)(?:/[A-Za-z0-9_.-]+)+")
WORD = re.compile(r"[a-z_]{3,24}")
TAKES_ALL_BELOW = frozenset(("/v1/models/{model}", "/v1/parked/{ticket}", "/api/blobs/{digest}"))
"""What stands there may have slashes in it."""
SHARED = {"AsyncDesk", "RowsDesk"}
"""What desks have in common; no desk by itself."""


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Composed as it is served, and not started."""
    folder = tmp_path_factory.mktemp("described")
    told = {"state_dir": str(folder)}
    runtime = Runtime(load(None, overrides=told), Origin(None, told, folder / "log"))
    yield runtime.front
    runtime.db.close()


@pytest.fixture(scope="module")
def paths(front: Front) -> dict[str, Any]:
    return described(front.routes, front.desks)["paths"]


def bound(front: Front, path: str) -> frozenset[str]:
    """The methods that are taken there, in small letters."""
    if path in front.routes:
        return frozenset(("post",))
    if path in OPEN_PAGES:
        return frozenset(("get",))
    found = {method.decode().lower() for desk in front.desks for method in desk.methods(path)}
    return frozenset(found - {"head"} if "get" in found else found)


def told(paths: dict[str, Any], path: str) -> frozenset[str]:
    """The methods that are described there."""
    known = [path, *(shape for shape in paths if "{" in shape and shaped(shape).fullmatch(path))]
    return frozenset(next((paths[shape] for shape in known if shape in paths), ())) - {"parameters"}


@cache
def shaped(shape: str) -> re.Pattern[str]:
    """What a path with names in braces looks like."""
    return re.compile(re.sub(r"\{[a-z_]+\}", ".+" if shape in TAKES_ALL_BELOW else "[^/]+", shape))


@cache
def said() -> tuple[frozenset[str], frozenset[str]]:
    """What looks like a path, and what looks like a part of one."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    sources = [path.read_text(encoding="utf-8") for path in sorted(GATEWAY.rglob("*.py"))]
    constants = {
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    words = frozenset(word for word in constants if WORD.fullmatch(word))
    return frozenset(path for text in (*texts, *constants) for path in PATH.findall(text)), words


def candidates(paths: dict[str, Any]) -> set[str]:
    """Whatever may be a path."""
    found, words = said()
    heads = {"/v1", "/api"} | {shape.replace("{", "").replace("}", "") for shape in paths}
    return found | {f"{head}/{word}" for head in heads for word in words} | heads


def test_each_desk_says_which_paths_are_its_own(front: Front) -> None:
    assert [type(desk).__name__ for desk in front.desks if not desk.described()] == []
    assert {kind.__name__ for kind in _kinds(Desk)} - SHARED == {type(desk).__name__ for desk in front.desks}


def _kinds(kind: type) -> set[type]:
    """Of the product; tests may have made others."""
    found = {each for each in kind.__subclasses__() if each.__module__.startswith("ringfence.")}
    return found.union(*(_kinds(each) for each in found))


def test_each_path_that_is_bound_is_described(front: Front, paths: dict[str, Any]) -> None:
    every = candidates(paths) | set(front.routes) | OPEN_PAGES
    tried = {path: bound(front, path) for path in every if path.startswith(SHOWN)}
    taken = {path: methods for path, methods in tried.items() if methods}
    assert len(taken) >= 40, "the paths are found"
    assert {path: methods for path, methods in taken.items() if methods - told(paths, path)} == {}


def test_each_path_that_is_described_is_bound(front: Front, paths: dict[str, Any]) -> None:
    for shape, methods in paths.items():
        path = re.sub(r"\{[a-z_]+\}", "resp_1", shape)
        assert bound(front, path) == frozenset(methods) - {"parameters"}, shape
        assert [one["name"] for one in methods.get("parameters", ())] == re.findall(r"\{([a-z_]+)\}", shape)
        for method, one in methods.items():
            assert method == "parameters" or (one["summary"].endswith(".") and one["responses"]), shape


def test_a_path_that_was_forgotten_is_seen(front: Front, paths: dict[str, Any]) -> None:
    """The net itself: without one of its rows the description is not whole."""
    without = {shape: methods for shape, methods in paths.items() if "input_items" not in shape}
    assert told(without, "/v1/responses/response_id/input_items") == frozenset()
    assert "/v1/responses/response_id/input_items" in candidates(without)
    assert any(isinstance(desk, OpenApi) for desk in front.desks)
