"""A YAML file as plain data, with the place of every key and value. Refuses what YAML allows and people regret."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ringfence.config.problems import ConfigInvalid, KeyPath, Problem, dotted

LARGEST_BYTES = 1024 * 1024
LARGEST_EXPANSION = 10_000
"""Nodes that aliases may add to those that are written out."""

_TAG = "tag:yaml.org,2002:"
_TRUE = {"true": True, "false": False}
_FLOAT = {".inf": float("inf"), "-.inf": float("-inf"), "+.inf": float("inf"), ".nan": float("nan")}
_AS_TEXT = {"str", "timestamp", "value", "binary"}


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column of a key (for a list: of its entry), from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """Plain data and the place of everything in it; `problems` are those of the text itself."""

    file: str
    data: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> Place | None:
        """The place of `path`, or of the nearest thing around it."""
        for length in range(len(path), 0, -1):
            if found := self.places.get(path[:length]):
                return found
        return None

    def refuse(self, path: KeyPath, message: str, *, at: Place | None = None, suggestion: str | None = None) -> None:
        place = at or self.place(path)
        line, column = (place.line, place.column) if place else (None, None)
        self.problems.append(Problem(self.file, line, column, dotted(path), message, suggestion))


def read_document(content: bytes, file: str) -> Document:
    """Parse `content`. Raises ConfigInvalid when it is not YAML at all; lesser faults are in `.problems`."""
    document = Document(file)
    root = _compose(_decode(content, document), document)
    if root is None:
        return document
    try:
        document.data = _Reading(document).value(root, (), frozenset(), aliased=False)
    except RecursionError:
        raise _fatal(document, "nested too deeply") from None
    except _ExpandsTooFarError:
        raise _fatal(document, f"its aliases expand to more than {LARGEST_EXPANSION:,} nodes") from None
    return document


def read_value(text: str, file: str) -> Any:
    """A value from the command line, read as YAML where it is short of that, as text otherwise."""
    try:
        document = read_document(text.encode("utf-8", "replace"), file)
    except ConfigInvalid:
        return text
    return text if document.problems else document.data


def _fatal(document: Document, message: str, at: Place | None = None) -> ConfigInvalid:
    document.refuse((), message, at=at)
    return ConfigInvalid(document.problems)


def _decode(content: bytes, document: Document) -> str:
    if len(content) > LARGEST_BYTES:
        raise _fatal(document, f"larger than {LARGEST_BYTES // 1024 // 1024} MiB; this is not a configuration")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        at = Place(before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1)
        raise _fatal(document, "not UTF-8 text", at) from None


def _compose(text: str, document: Document) -> Node | None:
    try:
        with warnings.catch_warnings():
            # The warning quotes lines of the file, which may hold what should have been a secret.
            warnings.simplefilter("error", ReusedAnchorWarning)
            return YAML(typ="safe", pure=True).compose(text)
    except ReusedAnchorWarning as error:
        lines = re.findall(r"occurrence .*line (\d+), column (\d+)", str(error))
        at = Place(int(lines[-1][0]), int(lines[-1][1])) if lines else None
        raise _fatal(document, "an anchor (&name) is defined twice", at) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Place(mark.line + 1, mark.column + 1) if mark else None
        raise _fatal(document, _in_words(error), at) from None
    except YAMLError as error:
        position = getattr(error, "position", None)
        before = text[:position] if isinstance(position, int) else ""
        at = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise _fatal(document, "a character that YAML does not allow", at) from None
    except RecursionError:
        raise _fatal(document, "nested too deeply") from None
    except ValueError:
        raise _fatal(document, "not valid YAML") from None


def _in_words(error: MarkedYAMLError) -> str:
    problem = error.problem or error.context or ""
    if "'\\t'" in problem:
        return "a tab where YAML wants spaces; indent with spaces"
    if "another document" in problem:
        return "a second document ('---') begins here; a configuration is one document"
    if "mapping values are not allowed" in problem:
        return "not valid YAML: a second ':' on this line, or wrong indentation; quote text that holds ': '"
    if "character '>'" in problem:
        return 'not valid YAML: a comparison stands in quotes, such as ">6"'
    # ruamel's `problem` names characters and tokens; its full text would quote the line.
    return f"not valid YAML: {problem}"


class _ExpandsTooFarError(Exception):
    pass


class _Reading:
    """One walk over the nodes of a document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._seen: set[int] = set()
        self._expanded = 0

    def value(self, node: Node, path: KeyPath, above: frozenset[int], *, aliased: bool) -> Any:
        if id(node) in above:
            self._document.refuse(path, "an alias (*name) refers to something that it is part of")
            return None
        aliased = aliased or id(node) in self._seen
        self._seen.add(id(node))
        self._expanded += aliased
        if self._expanded > LARGEST_EXPANSION:
            raise _ExpandsTooFarError
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        above |= {id(node)}
        tag = str(node.tag).removeprefix(_TAG)
        if tag not in {"map", "seq"}:
            self._document.refuse(path, _not_allowed(tag))
        if isinstance(node, SequenceNode):
            return self._list(node, path, above, aliased)
        return self._mapping(node, path, above, aliased)

    def _list(self, node: SequenceNode, path: KeyPath, above: frozenset[int], aliased: bool) -> list[Any]:
        found: list[Any] = []
        for position, entry in enumerate(node.value):
            self._document.places[(*path, position)] = _place(entry)
            found.append(self.value(entry, (*path, position), above, aliased=aliased))
        return found

    def _mapping(self, node: Node, path: KeyPath, above: frozenset[int], aliased: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: list[Node] = []
        for key, value in node.value:
            if str(key.tag) == f"{_TAG}merge":
                merged.append(value)
                continue
            if not isinstance(key, ScalarNode):
                self._document.refuse(path, "a key must be text", at=_place(key))
                continue
            inner = (*path, key.value)
            if key.value in found:
                first = self._document.places[inner].line
                message = f"written twice: in line {first} and in line {_place(key).line}"
                self._document.refuse(inner, message, at=_place(key))
                continue
            self._document.places[inner] = _place(key)
            found[key.value] = self.value(value, inner, above, aliased=aliased)
        for value in merged:
            self._merge(value, found, path, above)
        return found

    def _merge(self, value: Node, found: dict[str, Any], path: KeyPath, above: frozenset[int]) -> None:
        """Add what `<<` brings: keys that the mapping does not have itself; earlier sources win."""
        for source in value.value if isinstance(value, SequenceNode) else [value]:
            if not isinstance(source, MappingNode) or id(source) in above:
                self._document.refuse(path, "'<<' takes a mapping, such as an alias of one", at=_place(value))
                continue
            # A reading of its own keeps the places of keys that are overridden from replacing those that win.
            beside = _Reading(Document(self._document.file))
            beside._seen, beside._expanded = self._seen, self._expanded
            brought = beside.value(source, path, above, aliased=True)
            self._expanded = beside._expanded
            won = {key: inner for key, inner in brought.items() if key not in found}
            places, depth = beside._document.places, len(path)
            self._document.places |= {at: place for at, place in places.items() if at[depth] in won}
            found.update(won)

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        tag, text = str(node.tag).removeprefix(_TAG), node.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._document.refuse(path, "half of a character (a lone surrogate)")
            return None
        if tag in _AS_TEXT:
            return text
        if tag == "null":
            return None
        try:
            return _PLAIN[tag](text)
        except (KeyError, ValueError):
            self._document.refuse(path, f"not a usable {_TITLES[tag]}" if tag in _PLAIN else _not_allowed(tag))
            return None


def _place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _integer(text: str) -> int:
    bare = text.replace("_", "").lower()
    digits = bare.lstrip("+-")
    base = {"0o": 8, "0x": 16, "0b": 2}.get(digits[:2], 10)
    if len(digits) > 30:
        raise ValueError("too long")
    return int(digits[2:] if base != 10 else digits, base) * (-1 if bare.startswith("-") else 1)


def _number(text: str) -> float:
    folded = text.replace("_", "").lower()
    return _FLOAT[folded] if folded in _FLOAT else float(folded)


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE:
        raise ValueError("not a YAML 1.2 boolean")
    return _TRUE[text.lower()]


def _not_allowed(tag: str) -> str:
    return f"the tag {tag[:40] if tag.startswith('!') else f'!!{tag[:40]}'} is not allowed here"


_PLAIN = {"int": _integer, "float": _number, "bool": _boolean}
_TITLES = {"int": "whole number", "float": "number", "bool": "true or false"}
