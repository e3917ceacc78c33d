"""Sizes of images, read from their first bytes."""

from __future__ import annotations

import struct
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taken import least_s

from ringfence.gateway.image_rules import RULES, Size
from ringfence.gateway.images import image_size, image_tokens

SIDES = st.integers(1, 16_383)


def url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{b64encode(data).decode()}"


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\x00\x00\x00"


def jpeg(width: int, height: int) -> bytes:
    preview = b"\xff\xe1" + struct.pack(">H", 20_002) + b"\xff\xc0" * 10_000
    frame = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\x00" * 9
    return b"\xff\xd8" + preview + b"\xff\xff\xdb\x00\x03\x00" + frame


def webp(kind: bytes, rest: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + b"\x00\x00\x00\x00" + rest


@given(width=SIDES, height=SIDES)
def test_sizes_are_read(width: int, height: int) -> None:
    lossless = (width - 1 | (height - 1) << 14).to_bytes(4, "little")
    extended = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    for data in (
        png(width, height),
        jpeg(width, height),
        b"GIF89a" + struct.pack("<HH", width, height),
        b"BM" + b"\x00" * 16 + struct.pack("<ii", width, -height) + b"\x00" * 8,
        webp(b"VP8X", b"\x00" * 4 + extended),
        webp(b"VP8L", b"\x2f" + lossless),
        webp(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height)),
    ):
        assert image_size(url(data)) == Size(width, height), data[:16]


@given(st.binary(max_size=300) | st.sampled_from([png(5, 5)[:20], jpeg(5, 5)[:30], b"\xff\xd8\xff\xe1\x00\x00" * 9]))
def test_what_cannot_be_read_has_no_size(data: bytes) -> None:
    size = image_size(url(data))
    assert size is None or min(size.width, size.height) > 0


REAL = {
    "png": "iVBORw0KGgoAAAANSUhEUgAAAAcAAAAFCAIAAAAG+GGPAAAAFElEQVR4nGM8wcXFgAGYMIWoIgoAYCIA5sHZx4oAAAAASUVORK5CYII=",
    "jpeg": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBD"
        + "AP"
        + "/" * 86
        + "2wBDAf"
        + "/" * 86
        + "wAARCAAFAAcDASIAAhEBAxEB/8QAFQABAQAAAAAA"
        "AAAAAAAAAAAAAAL/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFQEBAQAAAAAAAAAAAAAAAAAAAQL/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oADAMB"
        "AAIRAxEAPwCQAt//2Q=="
    ),
    "gif": "R0lGODdhBwAFAIEAAMgKCgAAAAAAAAAAACwAAAAABwAFAAAIDAABCBxIsKDBgwcDAgA7",
    "webp, lossy": "UklGRjAAAABXRUJQVlA4ICQAAABwAQCdASoHAAUADMDOJaACdAFAAAD+4LkIw1uvxQ5s7gVAAAA=",
    "webp, lossless": "UklGRh4AAABXRUJQVlA4TBEAAAAvBgABAAdQhSJXof+BiOh/AAA=",
    "webp, moving": (
        "UklGRpAAAABXRUJQVlA4WAoAAAASAAAABgAABAAAQU5JTQYAAAAAAAAAAABBTk1GKgAAAAAAAAAAAAYAAAQAAAAAAAJWUDhMEQAAAC8GAAEAB1CF"
        "Ilehf4GI6H8AAEFOTUYyAAAAAAAAAAAABgAABAAAAAAAAlZQOEwZAAAALwYAARAHUIFUCCAAChoCSVu87Y+PiOh/AAA="
    ),
    "bmp": "Qk2uAAAAAAAAADYAAAAoAAAABwAAAAUAAAABABgAAAAAAHgAAADEDgAAxA4AAAAAAAAAAAAA" + "CgrI" * 26,
}
"""Of 7×5 pixels, as Pillow 12 wrote them."""


@pytest.mark.parametrize("kind", REAL)
def test_real_images(kind: str) -> None:
    assert image_size(f"data:image/x;base64,{REAL[kind]}") == Size(7, 5)
    assert image_size(REAL[kind]) == Size(7, 5), "in base64 alone, as some dialects have it"


@pytest.mark.parametrize("given", ["", "data:", "https://a/b.png", "data:image/png,abc", "data:image/png;base64,?!"])
def test_what_is_no_image_counts_for_the_most_of_its_family(given: str) -> None:
    assert image_size(given) is None
    assert image_tokens(given, RULES["gemma3"]) == 260
    assert image_tokens(given, RULES["qwen2_vl"]) == 16_386


def test_a_size_is_found_without_reading_the_image() -> None:
    large = url(png(640, 480) + b"\x00" * 20_000_000)
    assert least_s(lambda: [image_size(large) for _ in range(1000)], 0.1) < 0.1
