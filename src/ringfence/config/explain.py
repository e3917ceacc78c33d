"""What pydantic found wrong, in words for people: what was expected, what was given, and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ringfence.config.problems import KeyPath, dotted, nearest
from ringfence.config.schema import Config
from ringfence.config.secret import looks_like_a_key

_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping of settings",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "string_too_long": ("text of at most this many characters:", "max_length"),
    "string_too_short": ("text of at least this many characters:", "min_length"),
}
_YES_AND_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
CAPS = ("calls_per_day", "max_tokens")
BOUND = {"agents": "an agent", "tools": "a tool"}
_SHOWABLE_CHARACTERS = 32


def explain(error: ValidationError) -> Iterator[tuple[KeyPath, str, str | None]]:
    """Each error as (path, message, suggestion). No message repeats a secret."""
    for found in error.errors(include_url=False):
        path, context = found["loc"], found.get("ctx", {})
        if path and path[-1] == "[key]":
            path = path[:-1]
        if at := context.get("at"):
            path = (*path, *((at,) if isinstance(at, str) else at))
        message, suggestion = _in_words(found["type"], path, found["input"], context)
        yield path, message or found["msg"], suggestion
        for further, words in context.get("more", ()):
            yield (*found["loc"], *further), words, None


def _in_words(kind: str, path: KeyPath, given: Any, context: dict[str, Any]) -> tuple[str | None, str | None]:
    if kind == "refused":
        return context["message"], None
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "literal_error":
        choices: str = context["expected"]
        known = [choice.strip("'") for choice in choices.replace(" or ", ", ").split(", ")]
        return f"expected {choices}, given {_shown(given)}", nearest(given, known) if isinstance(given, str) else None
    if kind in _BOUNDS:
        words, limit = _BOUNDS[kind]
        shown = len(given) if isinstance(given, str) else _shown(given)
        return f"must be {words} {_plain(context[limit])}, given {shown}", None
    if kind in _EXPECTED:
        is_leaf = kind not in {"string_type", "tuple_type", "dict_type", "model_type"}
        return f"expected {_EXPECTED[kind]}, given {_shown(given, is_leaf)}", _instead(kind, given)
    return _of_this_place(kind, path), None


def _of_this_place(kind: str, path: KeyPath) -> str | None:
    """What is wrong in words that only fit where it is."""
    if kind == "string_pattern_mismatch" and path[-1] == "digest":
        return "expected the SHA-256 of the weights: 64 hexadecimal digits, a to f in small letters"
    return _missing(path) if kind == "missing" else None


def _plain(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _shown(given: Any, may_repeat: bool = True) -> str:
    """What was given, in words; text only where it is short and no place for a secret."""
    if given is None:
        return "nothing"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int | float):
        return str(given)
    if isinstance(given, str):
        is_short = len(given) <= _SHOWABLE_CHARACTERS and given.isprintable()
        return f"the text '{given}'" if may_repeat and is_short and not looks_like_a_key(given) else "text"
    return "a list" if isinstance(given, list | tuple) else "a mapping"


def _instead(kind: str, given: Any) -> str | None:
    if not isinstance(given, str):
        return None
    if kind == "bool_type":
        folded = given.casefold()
        return folded if folded in {"true", "false"} else _YES_AND_NO.get(folded)
    if kind == "int_type" and given.isascii() and given.isdigit() and len(given) <= 20:
        return given
    return None


def _missing(path: KeyPath) -> str:
    """What is needed at `path`, and is not there."""
    section, *_, name = path
    if section == "providers" and name in CAPS:
        return f"a provider needs {' and '.join(CAPS)}, or it is not used"
    if section in BOUND and name == "profile":
        return f"{BOUND[str(section)]} is bound to a profile; its name is needed here"
    return "needed here, and missing"


def _unknown(path: KeyPath) -> tuple[str, str | None]:
    """Of a key that may not stand at `path`: what is wrong, and the key that was meant."""
    unknown, known = str(path[-1]), fields_at(path[:-1]) or ()
    if len(path) > 1 and unknown in Config.model_fields and not nearest(unknown, known):
        return f"unknown key; {unknown} is a section of its own, at the top of the file", None
    return "unknown key", _meant(path)


def _meant(path: KeyPath) -> str | None:
    """The key that an unknown one was meant to be: one near it, or one of that very name in another section."""
    unknown = str(path[-1])
    elsewhere: list[KeyPath] = [
        (section, unknown)
        for section, field in Config.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, BaseModel)
        and unknown in field.annotation.model_fields
    ]
    if unknown in Config.model_fields:
        elsewhere.append((unknown,))
    # At the top a section was forgotten, rather than a setting mistaken for a section.
    is_forgotten = len(path) == 1 and len(elsewhere) == 1
    if not is_forgotten and (found := nearest(unknown, fields_at(path[:-1]) or ())):
        return found
    return dotted(elsewhere[0]) if len(elsewhere) == 1 else None


def fields_at(path: KeyPath) -> list[str] | None:
    """The keys that may stand at `path`; None where any may, or none at all."""
    found: Any = Config
    for part in path:
        found = _without_none(found)
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(str(part))
            found = field.annotation if field else None
        elif get_origin(found) is tuple and isinstance(part, int):
            found = get_args(found)[0]
        elif get_origin(found) is dict:
            found = get_args(get_args(found)[1])[0] if get_origin(get_args(found)[1]) else get_args(found)[1]
        else:
            return None
    found = _without_none(found)
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        return None
    return [field.alias or name for name, field in found.model_fields.items()]


def _without_none(annotation: Any) -> Any:
    """Of something that may be left out as null: what it is when it is there."""
    if get_origin(annotation) not in (UnionType, Union):
        return annotation
    others = [one for one in get_args(annotation) if one is not type(None)]
    return others[0] if len(others) == 1 else annotation
