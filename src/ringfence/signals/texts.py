"""What a request says: every string of its body, and the same in one plain spelling.

A request may hold much. So the walk gives way now and then, and a long text comes in slices.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, cast

BETWEEN = "\n\x00\n"
"""Stands between two texts: no pattern of ours reaches across it."""
EDGE_CHARS = 256
"""How much of both ends of a part is read together with its neighbours. Nothing that is looked for is longer, but for
keys whose beginning is enough."""
BLOB_CHARS = 512
"""A string of base64 alone, from this length on, is an image, a sound or a file, and no text."""
SEALED_BEGINS, SEALED_CHARS, SEALED_FIELD, MOST_SIZE_BYTES = "E", 64, 0x12, 3
"""How a sealed thought begins, in base64; how short it can be; its one field; and bytes of its size at most."""
KEY_CHARS = 8
"""Names of fields shorter than this cannot hold anything that is looked for, but for patterns of the operator's own."""
USUAL_KEYS = frozenset(
    (
        "role", "content", "type", "text", "model", "stream", "tools", "name", "id", "user", "stop", "n", "seed",
        "top_p", "top_k", "min_p", "input", "query", "url", "file", "detail", "index", "format", "items", "enum",
        "title", "strict", "data", "store",
    )
)  # fmt: skip
"""Names of fields that stand in every request, and say nothing."""
HEAD_CHARS = 256
"""How long the head of a data URL can be: its type, and what else stands before the data."""
SLICE_CHARS = 8192
HALF = SLICE_CHARS // 2
OVERLAP_CHARS = 640
"""Two slices have this much in common at least, so that what lies at a cut is whole in one of them."""
CUTS = ("\n", ",", '"', " ")
"""Behind which marks a text is cut, the best first: a line is read as a whole."""
WALKED_VALUES = 4096
"""After so many values the walk gives way."""
SEAM_PARTS = 256

USUAL_HEAD = re.compile(
    r"data:(?:image/(?:png|jpe?g|gif|webp|bmp)|audio/(?:wav|mpeg|mp3|ogg|flac|webm)|video/(?:mp4|webm)|application/pdf)"
    r";base64,"
)
BASE64 = bytes(range(0x30, 0x3A)) + bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B)) + b"+/="
INVISIBLE = (
    *("\u00ad\u00ad", "\u034f\u034f", "\u061c\u061c", "\u115f\u1160", "\u17b4\u17b5", "\u180b\u180e", "\u200b\u200f"),
    *("\u202a\u202e", "\u2060\u206f", "\ufe00\ufe0f", "\ufeff\ufeff", "\U000e0000\U000e0fff"),
)
"""From and to."""
DASHES = ("\u2010\u2015", "\u2212\u2212")
ZEROS = "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0e50\u0ed0\u0f20\u1040\u17e0\u1810"
SPELLED: dict[int, str] = {
    **{mark: "" for low, high in INVISIBLE for mark in range(ord(low), ord(high) + 1)},
    **{mark: "-" for low, high in DASHES for mark in range(ord(low), ord(high) + 1)},
    **{ord(zero) + digit: str(digit) for zero in ZEROS for digit in range(10)},
}
ODD = re.compile(
    "[" + "".join(f"{low}-{high}" for low, high in (*INVISIBLE, *DASHES, *((z, chr(ord(z) + 9)) for z in ZEROS))) + "]"
)
ESCAPE = re.compile(r"""\\(?<!\\\\)\\*+(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrt"'/])""")


MOST_CODES = 4096


class Unescaped(dict[str, str]):
    """What stands behind a backslash -> what is meant. Learns the codes that it meets."""

    def __missing__(self, code: str) -> str:
        if len(self) > MOST_CODES:
            return chr(int(code[1:], 16))
        meant = self[code] = chr(int(code[1:], 16))
        return meant


UNESCAPED = Unescaped({"n": "\n", "r": "\n", "t": "\t", '"': '"', "'": "'", "/": "/"})
FEW = 16
"""With more than one odd character in so many, all are replaced at once: that costs more for each of the others."""
LONGEST = "\ufdfa"
"""Eighteen characters in its plain spelling, none of them one of ours."""
NFKC_CHARS = 96
MOST_MARKS = 16


def texts_of(body: dict[str, Any], *, short_keys: bool = False) -> Iterator[str]:
    """All strings of `body` but media; and, for each list of text parts, the seams where its parts meet. Of media, the
    head of a data URL, which may have a name in it. Short names of fields, too, where `short_keys` says so.

    Every field is read, known or not, as every field may be sent on. Numbers (token ids) are not text. An empty string
    is no text: it comes now and then where there is none, so that a long walk can be interrupted.
    """
    waiting: list[Iterator[Any]] = [iter((body,))]
    walked = 0
    while waiting:
        for each in waiting[-1]:
            value = each
            walked += 1
            if not walked % WALKED_VALUES:
                yield ""
            if type(each) is tuple:  # a field; JSON itself has no tuples
                key, value = cast("tuple[str, Any]", each)
                if len(key) >= KEY_CHARS or (short_keys and key not in USUAL_KEYS):
                    yield key
            if type(value) is str:
                if found := value if len(value) > SLICE_CHARS else readable(value):
                    yield found
            elif isinstance(value, dict):
                waiting.append(iter(cast("dict[str, Any]", value).items()))
                break
            elif isinstance(value, list):
                listed = cast("list[Any]", value)
                waiting.append(iter(listed))
                if len(listed) > 1 and type(listed[0]) is dict:
                    yield from seams_of(listed)
                break
        else:
            waiting.pop()


def seams_of(listed: list[Any]) -> Iterator[str]:
    """The ends of consecutive text parts put together, so that what was split over them is whole again."""
    step = SEAM_PARTS // 2
    for start in range(0, max(1, len(listed) - step), step):
        some = listed[start : start + SEAM_PARTS]
        parts: list[str] = [part["text"] for part in some if type(part) is dict and type(part.get("text")) is str]
        ends = (
            part if len(part) <= 2 * EDGE_CHARS else part[:EDGE_CHARS] + BETWEEN + part[-EDGE_CHARS:] for part in parts
        )
        yield "".join(ends) if len(parts) > 1 else ""


def slices_of(text: str, overlap: int = OVERLAP_CHARS) -> Iterator[str]:
    """A long text piece by piece, cut between lines where there are lines, and outside certificates. Pieces of base64
    alone are left out, as media are."""
    start = 0
    while len(text) - start > SLICE_CHARS:
        end = outside_pem(text, cut(text, start + HALF, start + SLICE_CHARS), start + HALF)
        piece = text[start:end]
        if found := readable(piece):
            yield found
        start = outside_pem(text, cut(text, end - 2 * overlap, end - overlap), end - HALF + 1)
    if found := readable(text[start:]):
        yield found


def cut(text: str, low: int, high: int) -> int:
    """A good place to cut between `low` and `high`."""
    for mark in CUTS:
        at = text.rfind(mark, low, high)
        if at >= 0:
            return at + 1
    return high


def outside_pem(text: str, at: int, low: int) -> int:
    """`at`, or where the PEM block begins in whose midst it lies: the rest of one looks like secrets."""
    opened = text.rfind("-----BEGIN ", low, at)
    return opened if opened >= 0 and text.find("-----END ", opened, at) < 0 else at


def is_media(text: str) -> bool:
    """True for base64 and nothing else, also behind the head of a data URL: there is no text to be read in it."""
    if len(text) < BLOB_CHARS:
        return text.startswith(SEALED_BEGINS) and is_sealed(text)
    start = 0
    if text.startswith("data:"):
        start = text.find(",", 0, HEAD_CHARS) + 1
        if not text.endswith(";base64,", 0, start):
            return False
    elif text.find(" ", 0, BLOB_CHARS) >= 0:  # the usual case, decided without looking at all of it
        return False
    return text.isascii() and not text[start:].encode().translate(None, BASE64)


def readable(text: str) -> str:
    """`text`, or what of media can be read: what stands before the data of a data URL, unless that is a usual type."""
    if not is_media(text):
        return text
    head = text[: text.find(",", 0, HEAD_CHARS) + 1] if text.startswith("data:") else ""
    return "" if USUAL_HEAD.fullmatch(head) else head


def is_sealed(text: str) -> bool:
    """True for a signature or a sealed thought of Anthropic's, which come back with every turn and look like secrets:
    base64 of one field that says how long it is, and is exactly so long. No key or token has that form by chance."""
    if len(text) < SEALED_CHARS:
        return False
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        return False
    size = at = 0
    while at < MOST_SIZE_BYTES and data[at + 1] & 0x80:
        size |= (data[at + 1] & 0x7F) << (7 * at)
        at += 1
    size |= (data[at + 1] & 0x7F) << (7 * at)
    return data[0] == SEALED_FIELD and size == len(data) - at - 2


def plain(text: str) -> str:
    """`text` in one spelling: escapes of JSON undone, NFKC, no invisible characters, ASCII digits and dashes."""
    if "\\" in text:
        parts = ESCAPE.split(text)
        if len(parts) > 1:
            parts[1::2] = map(UNESCAPED.__getitem__, parts[1::2])
            text = "".join(parts)
    if text.isascii():
        return text
    text = composed(text.replace(LONGEST, " "))
    odd = 0 if text.isascii() else len(ODD.findall(text))
    if not odd:
        return text
    return ODD.sub(spelled, text) if odd * FEW < len(text) else text.translate(SPELLED)


def composed(text: str) -> str:
    """NFKC, piece by piece: marks that combine are sorted by comparing each with all before it, so a text of nothing
    else would take time that grows with the square of its length. A piece ends before a character that combines with
    none, unless there are too many."""
    pieces: list[str] = []
    start = 0
    while start < len(text):
        end = start + NFKC_CHARS
        most = min(end + MOST_MARKS, len(text))
        while end < most and unicodedata.combining(text[end]):
            end += 1
        pieces.append(unicodedata.normalize("NFKC", text[start:end]))
        start = end
    return "".join(pieces)


def spelled(match: re.Match[str]) -> str:
    return SPELLED[ord(match[0])]
