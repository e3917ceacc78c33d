"""Long texts in slices: nothing is lost at a cut, nothing is made up by one, and no step takes long."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taken import longest_step_s

from ringfence.signals.sensitivity import Sensitivity, Settings
from ringfence.signals.texts import OVERLAP_CHARS, SLICE_CHARS, is_sealed, plain, slices_of, texts_of

CHANCE = random.Random(3)
READER = Sensitivity(Settings(patterns=(("project", r"FALCON-\d{1,20}x"), ("line", r"^Strictly [a-z]{1,12}$"))))
FINDS = {
    "4111 1111 1111 1111": "card",
    "DE89 3704 0044 0532 0130 00": "iban",
    "SSN 123456789": "id_number",
    "max@example.com": "email",
    "tel: 612345678": "phone",
    "password=hunter2": "secret",
    "postgres://bob:s3cr3t@db.local/x": "secret",
    "-----BEGIN RSA PRIVATE KEY-----": "secret",
    "eyJhbGciOiJIUzI1NiJ9" + "a1" * 100 + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.x": "secret",
    "FALCON-12345678901234567890x": "project",
    "\nStrictly confidential\n": "line",
}
FILLS = {
    "lines": "nothing of interest here\n",
    "one line": "nothing of interest here, ",
    "one word": "x" * 50,
    "numbers": "17 28 39\n",
    "wide": "\u4f60\u597d\u3002",
}
PEM = "-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n"


def kinds(text: str) -> frozenset[str]:
    return READER.read({"prompt": text}).kinds


def filled(name: str, size: int) -> str:
    return (FILLS[name] * (size // len(FILLS[name]) + 1))[:size]


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize("find", FINDS, ids=FINDS.values())
def test_what_lies_at_a_cut_is_found(find: str, name: str) -> None:
    wanted = FINDS[find]
    for _ in range(6):
        before = CHANCE.randint(1, 3) * SLICE_CHARS - CHANCE.randint(-20, 2 * OVERLAP_CHARS + len(find))
        text = f"{filled(name, before)}; {find} ; {filled(name, SLICE_CHARS + 500)}"
        assert wanted in kinds(text)
        assert kinds(text.replace(find, "")) == frozenset()


@given(size=st.integers(0, 9_000), mark=st.sampled_from(("\n", ",", "\u00e9", "-----BEGIN X-----\n", "-----END ")))
def test_slices_cover_a_text_and_overlap(size: int, mark: str) -> None:
    text = mark.join(map(str, range(size)))
    end = 0
    for number, piece in enumerate(slices_of(text)):
        start = text.find(piece)  # every piece stands at one place only
        assert len(piece) <= SLICE_CHARS
        assert start <= end - OVERLAP_CHARS if number else start == 0
        assert start + len(piece) > end or not text
        end = start + len(piece)
    assert end == len(text)


def test_certificates_in_a_row_are_no_secret() -> None:
    whole = "".join(PEM.format(base64.encodebytes(CHANCE.randbytes(1100)).decode()) for _ in range(40))
    assert len(whole) > 5 * SLICE_CHARS
    assert kinds(whole) == frozenset()


def test_a_picture_in_the_midst_of_a_text_is_no_secret_and_hides_none() -> None:
    picture = f"![x](data:image/png;base64,{base64.b64encode(CHANCE.randbytes(60_000)).decode()})"
    assert kinds(f"see {picture} there") == frozenset()
    assert kinds(f"see {picture} and max@example.com") == {"email"}


@pytest.mark.parametrize("size", [600, 60_000])
def test_what_stands_before_the_data_of_a_picture_is_read(size: int) -> None:
    data = base64.b64encode(CHANCE.randbytes(size)).decode()
    assert kinds(f"data:application/pdf;name=max@example.com;base64,{data}") == {"email"}
    assert kinds(f"data:image/FALCON-1x;base64,{data}") == {"project"}
    assert kinds(f"data:image/png;base64,{data}") == frozenset()


def test_short_names_of_fields_are_read_for_patterns_of_the_operators_own() -> None:
    reader = Sensitivity(Settings(patterns=(("project", "Zeus7"), ("word", "(?i)role|text"))))
    tool = {"parameters": {"properties": {"Zeus7": {"type": "string"}}}}
    assert reader.read({"messages": [{"role": "user", "content": "hi"}], "tools": [tool]}).kinds == {"project"}


@given(text=st.text(max_size=60))
def test_plain_text_stays_plain(text: str) -> None:
    once = plain(text.replace("\\", ""))
    assert plain(once) == once


def test_a_walk_gives_way() -> None:
    body: dict[str, Any] = {"input": list(range(50_000)), "more": [{"a": "b"} for _ in range(9_000)]}
    assert list(texts_of(body)).count("") >= 10


HOSTILE = {
    "combining marks": "a" + "\u0301\u0323" * 150_000,
    "one long ligature": "\ufdfa" * 100_000,
    "cards": "4111111111111112," * 18_000,
    "rows": "1 " * 150_000,
    "decimals": "4111111111111111.1," * 16_000,
    "names": "token the_getter_of_user_9 " * 11_000,
    "abroad": "004911 123," * 27_000,
    "accounts": "DE12 " * 60_000,
    "assigned": "password: user\n" * 20_000,
    "escapes": "\\u00341 " * 40_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_step_takes_long(name: str) -> None:
    assert sum(1 for _ in READER.steps({"prompt": HOSTILE[name]})) > 10
    assert longest_step_s(lambda: READER.steps({"prompt": HOSTILE[name]}), 0.02) < 0.02  # 1 to 4 ms on a quiet machine


def test_patterns_take_no_longer_a_step_than_all_else() -> None:
    slow = Sensitivity(Settings(kinds=frozenset(), patterns=(("slow", r"[ab]{1,20}[bc]{1,10}x"),)))
    body = {"prompt": ("b" * 60 + ".") * 1000}
    assert sum(1 for _ in slow.steps(body)) > 20
    assert longest_step_s(lambda: slow.steps(body), 0.02) < 0.02


def sealed(size: int) -> str:
    """As Anthropic seals a thought: one field, with its length, in base64."""
    length = bytes((size,)) if size < 128 else bytes((size & 0x7F | 0x80, size >> 7))
    return base64.b64encode(b"\x12" + length + CHANCE.randbytes(size)).decode()


@pytest.mark.parametrize("size", [60, 100, 127, 128, 164, 300, 380])
def test_what_anthropic_has_sealed_is_no_secret(size: int) -> None:
    """It comes back with every turn, and the caller cannot know what is in it."""
    block = {"type": "thinking", "thinking": "Hm.", "signature": sealed(size)}
    body: dict[str, Any] = {"messages": [{"role": "assistant", "content": "Yes.", "thinking_blocks": [block]}]}
    assert [reading.kinds for reading in READER.steps(body, ()) if reading] == [frozenset()]


@given(st.binary(min_size=48, max_size=380))
def test_what_only_looks_like_it_is_read(data: bytes) -> None:
    """Of another length than it says, with another beginning, or with anything beside it."""
    whole = sealed(100)
    for text in (base64.b64encode(b"\x12" + data).decode(), base64.b64encode(data).decode()):
        claims = data[0] == len(data) - 1 or data[:1] == b"\x12" or data[0] & 0x80
        assert claims or not is_sealed(text)
    for text in (whole[:-4], whole + "AAAA", f"{whole} x", f"key={whole}", whole[:40]):
        assert not is_sealed(text)
