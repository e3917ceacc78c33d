"""Whether what came of an engine that speaks, hears or draws is an answer: engines and proxies say 200 to anything."""

from __future__ import annotations

import re
from typing import Any, cast

from ringfence.gateway.dialects.dialect import Passed, Shape
from ringfence.gateway.relay import parsed

SPACE = b" \t\r\n\xef\xbb\xbf"
"""Blanks, and the mark of UTF-8 that some programs write first."""
PAGE = re.compile(rb"<(?:!doctype\b|html\b|head\b|body\b|!--|\?xml)", re.IGNORECASE)
FIELD = re.compile(rb"[\s\xef\xbb\xbf]*(?:data|event|error|id|retry)?:")
"""How events begin. A text may begin with one of the same letters."""
MOST_FIELD = 8
"""Bytes that tell a field from a text."""


def bare(data: bytes) -> bytes:
    """Without what may stand around it."""
    return data.strip(SPACE)


def begins_events(data: bytes) -> bool:
    """Whether the first piece of an answer is of events; one that is too short to tell may be."""
    return FIELD.match(data) is not None or len(data.lstrip(SPACE)) < MOST_FIELD


def is_prose(kind: bytes, data: bytes) -> bool:
    """Whether a piece of what should be a sound is a page, or a text that says itself that it is one."""
    if PAGE.match(bare(data)):
        return True
    return kind.startswith((b"text/", b"application/json")) and b"\0" not in data and _is_text(data)


def is_answer(
    passed: Passed, shape: Shape, kind: bytes, data: bytes, fields: Any, *, is_long: bool, lines: bool
) -> bool:
    """Of `data` in one piece, of the type `kind`. `fields` is what it says as JSON; None where it is none, or where it
    `is_long` and is not read. `lines`: events were asked for, and some engines send a line of JSON for each."""
    if type(fields) is dict:
        return shape is not Shape.SOUND and _holds(passed, cast("dict[str, Any]", fields))
    if shape is Shape.SOUND:
        return bool(data) and type(fields) is not list and not is_prose(kind, data)
    if shape is Shape.TEXT:  # which may be empty, where nothing is said in a sound
        return not PAGE.match(data)
    if is_long:
        return data[:1] == b"{" and data[-1:] == b"}"
    return lines and bool(data) and all(_is_line(passed, line) for line in data.splitlines())


def _is_line(passed: Passed, line: bytes) -> bool:
    fields: Any = parsed([line])
    return type(fields) is dict and _holds(passed, cast("dict[str, Any]", fields))


def _holds(passed: Passed, fields: dict[str, Any]) -> bool:
    """A text; or a list of things of which each has one."""
    held = fields.get(passed.field)
    if not passed.item:
        return isinstance(held, str)
    things = cast("list[Any]", held) if isinstance(held, list) else []
    return bool(things) and all(
        isinstance(one, dict) and bool(cast("dict[str, Any]", one).get(passed.item)) for one in things
    )


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
