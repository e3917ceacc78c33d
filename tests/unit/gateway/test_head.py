"""Heads that come again: only what the parser would read the same way comes out of the mould."""

from __future__ import annotations

import pytest

from ringfence.gateway import head as head_module
from ringfence.gateway.head import NO_MOULD, mould_of

HEAD = b"POST /v1 HTTP/1.1\r\nhost: a\r\nContent-Length: %b\r\naccept: */*\r\n\r\n"
FIRST = HEAD % b"4"


def test_the_same_head_with_another_length_is_read() -> None:
    mould = mould_of(FIRST + b"body", 4)
    assert mould.read(HEAD % b"4" + b"body") == (4, b"body")
    assert mould.read(HEAD % b"1200" + b"so far") == (1200, b"so far")
    assert mould.read(HEAD % b"0") == (0, b"")
    assert mould_of(FIRST, 0).read(HEAD % b"7") == (7, b""), "the body may come later"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST",
        FIRST[:-1],
        FIRST[:45],
        FIRST.replace(b": a", b": b"),
        FIRST.replace(b"accept", b"x-other"),
        FIRST.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n"),
        *(
            HEAD % digits
            for digits in (b"", b"+4", b"-4", b" 4", b"4 ", b"4_0", b"0x4", "٤".encode(), b"4\r\nx: y", b"9" * 13)
        ),
    ],
)
def test_any_other_head_is_left_to_the_parser(data: bytes) -> None:
    assert mould_of(FIRST + b"body", 4).read(data)[1] is None


@pytest.mark.parametrize(
    ("data", "body_bytes"),
    [
        (FIRST + b"body" + FIRST + b"body", 4),
        (b"\r\n\r\n" + FIRST + b"bo", 2),
        (b"tail of another" + FIRST + b"body", 2),
        (FIRST.replace(b"Content-Length: 4", b"content-type: a"), 0),
        (FIRST.replace(b"Content-Length: 4", b"x: y\r\n content-length: 4"), 0),
        (FIRST[:-2], 0),
    ],
)
def test_no_mould_is_made_of_a_piece_that_holds_anything_else(data: bytes, body_bytes: int) -> None:
    assert mould_of(data, body_bytes) is NO_MOULD
    assert NO_MOULD.read(data) == (0, None)
    assert NO_MOULD.read(b"\0" + b"5\r\n\r\n\0") == (0, None)


@pytest.mark.parametrize(
    ("given_id", "kept"), [(b"a" * 64, True), (b"A-b_9.z", True), (b"a" * 65, False), (b"a:b", False), (b"a b", False)]
)
def test_a_callers_id_is_short_and_plain(given_id: bytes, kept: bool) -> None:
    """It stands in the permit, the journal and the logs: it must not be a place for text."""
    assert head_module._clean_id(given_id) == (given_id.decode() if kept else "")
