"""[pure] Width and height of an image that comes inside a request, read from its first bytes (PNG, JPEG, GIF, WebP,
BMP) without decoding it, and its tokens by the rule of a model's family.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from binascii import Error as NotBase64

from ringfence.gateway.image_rules import LARGEST, ImageRule, Size

HEAD_CHARS = (64, 4 * 1024, 256 * 1024)
"""Of base64, multiples of 4, one after the other: a JPEG may have a preview and colour tables before its size."""
BASE64 = ";base64,"


def image_tokens(url: str, rule: ImageRule) -> int:
    """Tokens at most of an image in a `data:` URL or in base64; the most that the rule tells where its size cannot be
    read."""
    return rule(image_size(url) or LARGEST)


def image_size(url: str) -> Size | None:
    """Width and height of an image in a `data:` URL or in base64; None for what cannot be read."""
    start = 0
    if url.startswith("data:"):
        start = url.find(BASE64, 0, 256) + len(BASE64)
        if start < len(BASE64):
            return None
    for most in HEAD_CHARS:
        text = url[start : start + most]
        try:
            size = _size(b64decode(text[: len(text) // 4 * 4], validate=True))
        except (NotBase64, ValueError):
            return None
        except (struct.error, IndexError):
            size = None
        if size is not None or len(text) < most:
            return size
    return None


def _size(head: bytes) -> Size | None:
    found: tuple[int, int] | None = None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        found = struct.unpack(">II", head[16:24])
    elif head[:6] in (b"GIF87a", b"GIF89a"):
        found = struct.unpack("<HH", head[6:10])
    elif head.startswith(b"BM"):
        width, height = struct.unpack("<ii", head[18:26])
        found = width, abs(height)
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        found = _webp(head)
    elif head.startswith(b"\xff\xd8"):
        found = _jpeg(head)
    return Size(*found) if found is not None and min(found) > 0 else None


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """The size stands in the frame's header, behind segments of any length."""
    at = 2
    while at + 9 < len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
