"""Wherever a text can set out from this program, `ringfence prove` has a way that tries to leak through there.

The places are found in the source: where a call begins, where a permit is made or said, what callers may steer with.
A new kind of derived call is a new place; it fails here until a way covers it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.core.registry import adapters
from ringfence.gateway import dialects
from ringfence.prove.way import all_ways

SOURCE = Path(__file__).parents[2] / "src" / "ringfence"
OUTSIDE = ("simulation/", "prove/", "testing/")
"""These stand around the product: the proof itself, and stand-ins."""
BEGINS = {
    "ringfence.gateway.call.Call": "call", "ringfence.egress.permit.issue": "permit",
    "ringfence.egress.permit.Permit": "permit", "ringfence.egress.client.permit_line": "permit",
}  # fmt: skip
"""What is called where a text sets out, and the word for it."""
PERMIT = "from ringfence.egress.permit import"
STEERS = re.compile(rb"x-ringfence-[a-z]+")


def _places(code: str, file: str) -> Iterator[str]:
    """Such as 'permit gateway/pipeline.py:Pipeline.complete', for every call of what is in BEGINS."""
    tree = ast.parse(code)
    words = {
        alias.asname or alias.name: BEGINS[f"{node.module}.{alias.name}"]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if f"{node.module}.{alias.name}" in BEGINS
    }
    last = {name.rpartition(".")[2]: word for name, word in BEGINS.items()}

    def visit(node: ast.AST, within: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            within = (*within, node.name)
        if isinstance(node, ast.Call):
            named = isinstance(node.func, ast.Name)
            word = words.get(node.func.id) if named else last.get(getattr(node.func, "attr", ""))
            if word:
                yield f"{word} {file}:{'.'.join(within)}"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, within)

    return visit(tree, ())


def _headers(code: bytes) -> set[str]:
    """Header lines of ours that are read from requests."""
    return {f"header {found.decode()}" for found in STEERS.findall(code)}


def _all_places() -> set[str]:
    found = {f"dialect {name}" for name in adapters(dialects, "DIALECT", "name")}
    found |= _headers((SOURCE / "gateway" / "head.py").read_bytes())
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith(OUTSIDE):
            found |= set(_places(path.read_text(encoding="utf-8"), name))
    return found


def test_every_place_from_which_text_sets_out_is_tried() -> None:
    covered = {place for way in all_ways() for place in way.covers}
    assert _all_places() - covered == set(), "no way of `ringfence prove` goes through here"


def test_ways_cover_places_that_there_are() -> None:
    assert {place for way in all_ways() for place in way.covers} - _all_places() == set()


def test_the_list_of_derived_calls_is_whole() -> None:
    page = (SOURCE.parents[1] / "docs" / "security.md").read_text(encoding="utf-8")
    told = {place.partition(" ")[2] for place in _all_places() if place.startswith(("call ", "permit "))}
    assert told == set(re.findall(r"`([a-z/_]+\.py:[A-Za-z_.]+)`", page))


def test_names_of_ways_are_their_own() -> None:
    names = [way.name for way in all_ways()]
    assert len(set(names)) == len(names) >= 20


@pytest.mark.parametrize(
    ("code", "places"),
    [
        (f"{PERMIT} issue\nclass Judge:\n    async def ask(self): issue(1, 2, 3)", {"permit x.py:Judge.ask"}),
        (f"{PERMIT} issue as allow\nasync def ask(self): allow(1, 2, 3)", {"permit x.py:ask"}),
        ("from ringfence.gateway.call import Call\ndef title(call): return Call(call.id)", {"call x.py:title"}),
        ("permit = permit_module.Permit('probe', 1, 1)", {"permit x.py:"}),
        ("def issued(): return issuer", set()),
        ("from ringfence.egress.journal_chain import Call\ndef read(): return Call()", set()),
    ],
)
def test_places_are_recognised(code: str, places: set[str]) -> None:
    assert set(_places(code, "x.py")) == places


def test_steering_headers_are_recognised() -> None:
    assert _headers(b'if name == b"x-ringfence-zone": zone = value') == {"header x-ringfence-zone"}
