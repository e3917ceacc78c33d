"""JSON as a tree of places in its text, so that pieces of the text itself can be kept."""

from __future__ import annotations

import json
import re
from json import decoder
from typing import Any, Literal

from ringfence.gateway.compress.kept import Span

WHITE = re.compile(r"[ \t\n\r]*")
BLANKS = frozenset(" \t\n\r")
SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null")
DEEPEST = 60
"""What is nested deeper is kept or left out as a whole."""

Form = Literal["{", "[", '"', "value", "lines"]


_string_end: Any = decoder.scanstring  # type: ignore
_skip: Any = json.JSONDecoder(object_pairs_hook=len, parse_int=len, parse_float=len).scan_once  # type: ignore
"""Finds the end of a value, as fast as the interpreter's own parser, and builds nothing."""


class NotJson(ValueError):
    """The text is not JSON after all."""


class Node:
    """A value, where it stands, and what it is part of."""

    __slots__ = ("children", "depth", "end", "form", "index", "key", "parent", "size", "start")

    def __init__(self, form: Form, start: int, parent: Node | None, key: Span | None) -> None:
        self.form: Form = form
        self.start = start
        self.end = start
        self.parent = parent
        self.key = key
        self.index = 0
        self.depth = parent.depth + 1 if parent else 0
        self.children: list[Node] | None = None
        self.size = 0
        """How many children there are, also where not all are looked at."""


def tree_of(text: str, deepest: int = DEEPEST, wanted: list[Span] | None = None) -> Node:
    """The whole text as one value. NotJson when it is none. Of lists only elements that touch `wanted`."""
    try:
        at = _white(text, 0)
        root = value(text, at, None, None, deepest, wanted)
        if _white(text, root.end) != len(text):
            raise NotJson
        return root
    except (IndexError, StopIteration, ValueError, RecursionError):
        raise NotJson from None


def lines_of(text: str, stretches: list[Span]) -> Node:
    """The lines of some stretches as one value each. NotJson when a line is none."""
    root = Node("lines", 0, None, None)
    root.children, root.end = [], len(text)
    at = index = 0
    try:
        for start, end in stretches:
            start = max(at, text.rfind("\n", 0, start) + 1)  # noqa: PLW2901
            index += start > at  # a gap counts as one that is missing
            at = _white(text, start)
            while at < end:
                child = value(text, at, root, None, DEEPEST)
                child.index = index
                index += 1
                root.children.append(child)
                root.size = index
                at = _line_end(text, child.end)
        return root
    except (IndexError, StopIteration, ValueError, RecursionError):
        raise NotJson from None


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    if text[at:end].strip():
        raise NotJson
    return _white(text, end)


def value(
    text: str, at: int, parent: Node | None, key: Span | None, deepest: int, wanted: list[Span] | None = None
) -> Node:
    """The value that starts at a place."""
    first = text[at]
    if first == '"':
        node = Node('"', at, parent, key)
        node.end = int(_string_end(text, at + 1, True)[1])
    elif first in "{[":
        node = Node("{" if first == "{" else "[", at, parent, key)
        if first == "[" and wanted:
            node.children = []
            node.end = _elements(text, node, wanted)
        elif deepest <= 0:
            node.end = int(_skip(text, at)[1])
        else:
            node.children = []
            node.end = _members(text, node, deepest - 1, wanted)
    else:
        found = SCALAR.match(text, at)
        if not found:
            raise NotJson
        node = Node("value", at, parent, key)
        node.end = found.end()
    return node


def _elements(text: str, node: Node, wanted: list[Span]) -> int:
    """The elements of a long list, passed over at the speed of the parser; kept are those that touch `wanted`."""
    assert node.children is not None
    spans = iter([*wanted, (len(text), len(text))])
    start, end = next(spans)
    at = _white(text, node.start + 1)
    if text[at] == "]":
        return at + 1
    while True:
        stop: int = _skip(text, at)[1]
        if stop > start:
            while end <= at:
                start, end = next(spans)
            if stop > start:
                child = value(text, at, node, None, 0)
                child.index = node.size
                node.children.append(child)
        node.size += 1
        after = text[stop]
        if after in " \t\n\r":
            stop = _white(text, stop)
            after = text[stop]
        if after == "]":
            return stop + 1
        if after != ",":
            raise NotJson
        at = stop + 1
        if text[at] in " \t\n\r":
            at = _white(text, at)


def _members(text: str, node: Node, deepest: int, wanted: list[Span] | None) -> int:
    close = "}" if node.form == "{" else "]"
    at = _white(text, node.start + 1)
    if text[at] == close:
        return at + 1
    while True:
        key = None
        if close == "}":
            if text[at] != '"':
                raise NotJson
            key = at, int(_string_end(text, at + 1, True)[1])
            at = _white(text, key[1])
            if text[at] != ":":
                raise NotJson
            at = _white(text, at + 1)
        child = value(text, at, node, key, deepest, wanted)
        _add(node, child)
        at = _white(text, child.end)
        if text[at] == close:
            return at + 1
        if text[at] != ",":
            raise NotJson
        at = _white(text, at + 1)


def _add(node: Node, child: Node) -> None:
    assert node.children is not None
    child.index = node.size
    node.children.append(child)
    node.size += 1


def _white(text: str, at: int) -> int:
    if text[at : at + 1] not in BLANKS:
        return at
    found = WHITE.match(text, at)
    return found.end() if found else at
