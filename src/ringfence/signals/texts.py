"""What a request says: every string of its body, and the same in one plain spelling."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, cast

BETWEEN = "\n\x00\n"
"""Stands between two texts: no pattern of ours reaches across it."""
EDGE_CHARS = 256
"""How much of both ends of a part is read together with its neighbours. Nothing that is looked for is longer, but for
keys whose beginning is enough."""
BLOB_CHARS = 512
"""A string of base64 alone, from this length on, is an image, a sound or a file, and no text."""
KEY_CHARS = 8
"""Names of fields shorter than this cannot hold anything that is looked for."""

BASE64 = bytes(range(0x30, 0x3A)) + bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B)) + b"+/="
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff"
)
DASHES = "\u2010-\u2015\u2212"
ZEROS = "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0e50\u0ed0\u0f20\u1040\u17e0\u1810"
ODD = re.compile(f"[{INVISIBLE}{DASHES}" + "".join(f"{zero}-{chr(ord(zero) + 9)}" for zero in ZEROS) + "]")
ESCAPE = re.compile(r"""\\(?<!\\\\)\\*+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrt"'/]))""")
PLAIN_ESCAPES = {"n": "\n", "r": "\n", "t": "\t"}


def texts_of(body: dict[str, Any]) -> tuple[list[str], list[str]]:
    """All strings of `body` but media; and, for each list of text parts, the seams where its parts meet.

    Every field is read, known or not, as every field may be sent on. Numbers (token ids) are not text.
    """
    texts: list[str] = []
    seams: list[str] = []
    waiting: list[Any] = [body]
    while waiting:
        value = waiting.pop()
        if type(value) is str:
            if value and not is_media(value):
                texts.append(value)
        elif isinstance(value, dict):
            for key, inner in cast("dict[str, Any]", value).items():
                if len(key) >= KEY_CHARS:
                    texts.append(key)
                if type(inner) is str:
                    if inner and not is_media(inner):
                        texts.append(inner)
                elif isinstance(inner, dict | list):
                    waiting.append(inner)
        elif isinstance(value, list):
            listed = cast("list[Any]", value)
            waiting.extend(listed)
            if len(listed) > 1 and type(listed[0]) is dict:
                seams.extend(seam_of(listed))
    return texts, seams


def seam_of(listed: list[Any]) -> list[str]:
    """The ends of consecutive text parts put together, so that what was split over them is whole again."""
    parts: list[str] = [part["text"] for part in listed if type(part) is dict and type(part.get("text")) is str]
    if len(parts) < 2:
        return []
    ends = (part if len(part) <= 2 * EDGE_CHARS else part[:EDGE_CHARS] + BETWEEN + part[-EDGE_CHARS:] for part in parts)
    return ["".join(ends)]


def is_media(text: str) -> bool:
    """True for base64 and nothing else, also behind the head of a data URL: there is no text to be read in it."""
    if len(text) < BLOB_CHARS:
        return False
    start = 0
    if text.startswith("data:"):
        start = text.find(",", 0, 200) + 1
        if not text.endswith(";base64,", 0, start):
            return False
    elif text.find(" ", 0, BLOB_CHARS) >= 0:  # the usual case, decided without looking at all of it
        return False
    return text.isascii() and not text[start:].encode().translate(None, BASE64)


def plain(text: str) -> str:
    """`text` in one spelling: escapes of JSON undone, NFKC, no invisible characters, ASCII digits and dashes."""
    if "\\" in text:
        text = ESCAPE.sub(unescaped, text)
    if text.isascii():
        return text
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return text if text.isascii() else ODD.sub(spelled, text)


def unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else PLAIN_ESCAPES.get(match[3], match[3])


def spelled(match: re.Match[str]) -> str:
    mark = match[0]
    if mark.isdigit():
        return str(unicodedata.digit(mark))
    return "-" if "\u2010" <= mark <= "\u2015" or mark == "\u2212" else ""
