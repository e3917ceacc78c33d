"""Tokens of images: never fewer than the families' own processors make of them."""

from __future__ import annotations

from math import ceil, floor, sqrt

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence.gateway.image_rules import (
    LARGEST,
    MOST_IMAGE,
    NAMES,
    RENTED,
    RULES,
    UNKNOWN_FAMILY,
    Size,
    rule_of,
)

SIDES = st.integers(1, 16_383)


@pytest.mark.parametrize(
    ("name", "width", "height", "published", "most"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", 1120, 560, 800, 900),
        ("qwen2.5vl:7b", 28, 28, 4, 20),
        ("qwen2-vl", 9000, 9000, 16_384, 16_386),
        ("Qwen3-VL-8B", 1024, 1024, 1024, 1100),
        ("qwen3.5:27b", 100, 100, 64, 100),
        ("gemma3:4b", 4000, 3000, 256, 260),
        ("google/gemma-4-31b-it", 640, 480, 1120, 1124),
        ("mistralai/Pixtral-12B-2409", 1024, 1024, 64 * 65, 64 * 65),
        ("mistral-small3.2", 1540, 1540, 55 * 56, 64 * 65),
        ("pixtral", 512, 512, 32 * 33, 34 * 34),
        ("llava-hf/llava-1.5-7b-hf", 336, 336, 576, 3040),
        ("llava:13b", 672, 672, 2928, 3040),
        ("llava-onevision-qwen2-7b-ov", 384, 384, 729 + 756, 3040),
        ("OpenGVLab/InternVL3-8B", 448, 448, 256, 3330),
        ("internvl3", 1344, 1792, 3328, 3330),
        ("meta-llama/Llama-4-Scout-17B-16E", 1344, 1344, 17 * 145 + 3, 2480),
        ("llama3.2-vision", 1120, 1120, 4 * 1601, 6410),
        ("openbmb/MiniCPM-V-4_5", 1344, 1344, 10 * 64, 1020),
        ("HuggingFaceTB/SmolVLM2-2.2B", 100, 100, 17 * 64, 3100),
        ("microsoft/Phi-4-multimodal-instruct", 448, 448, 2 * 256 + 33, 600),
        ("gpt-4o", 1024, 1024, 765, 2600),
        ("gpt-4o", 2048, 4096, 1105, 20_200),
        ("gpt-4.1-mini", 1800, 2400, 2353, 11_000),
        ("gpt-4o-mini", 2048, 4096, 2833 + 6 * 5667, 48_200),
        ("claude-sonnet-4-5", 1092, 1092, 1590, 1690),
        ("claude", 1000, 1000, 1334, 1450),
        ("claude", 200, 200, 54, 70),
        ("claude-opus-4-7", 5000, 5000, 4784, 4786),
        ("gemini-2.5-flash", 960, 540, 6 * 258, 2300),
        ("gemini-2.5-pro", 4000, 3000, 24 * 258, 6200),
    ],
)
def test_published_examples(name: str, width: int, height: int, published: int, most: int) -> None:
    assert published <= rule_of(name)(Size(width, height)) <= most
    assert published <= rule_of(name)(Size(height, width)) <= most, "turned by its orientation"


def resized(height: int, width: int, factor: int, least: int, most: int) -> int:
    """As the processor of Qwen2-VL and its successors has it (`smart_resize`)."""
    tall, wide = max(factor, round(height / factor) * factor), max(factor, round(width / factor) * factor)
    if tall * wide > most:
        beta = sqrt(height * width / most)
        tall = max(factor, floor(height / beta / factor) * factor)
        wide = max(factor, floor(width / beta / factor) * factor)
    elif tall * wide < least:
        beta = sqrt(least / (height * width))
        tall, wide = ceil(height * beta / factor) * factor, ceil(width * beta / factor) * factor
    return tall * wide // factor**2


@given(width=SIDES, height=SIDES)
@example(width=1, height=200)
@example(width=2, height=399)
@example(width=3584, height=3584)
def test_never_below_what_qwen_makes_of_it(width: int, height: int) -> None:
    if max(width, height) > 200 * min(width, height):
        return  # refused there
    size = Size(width, height)
    assert RULES["qwen2_vl"](size) >= resized(height, width, 28, 56 * 56, 12_845_056)
    assert RULES["qwen2_vl"](size) >= resized(height, width, 28, 8 * 28 * 28, 4096 * 28 * 28), "llama.cpp"
    assert RULES["qwen3_vl"](size) >= resized(height, width, 32, 65_536, 16_777_216)


@given(width=SIDES, height=SIDES)
def test_never_below_what_pixtral_makes_of_it(width: int, height: int) -> None:
    for pixels, longest in ((16, 1024), (28, 1540)):
        ratio = max(1.0, width / longest, height / longest)
        for rounded in (round, floor):
            across = (max(1, rounded(width / ratio)) - 1) // pixels + 1
            down = (max(1, rounded(height / ratio)) - 1) // pixels + 1
            assert RULES["pixtral"](Size(width, height)) >= across * down + down


@given(width=SIDES, height=SIDES)
def test_of_an_unknown_family_no_known_one_has_more(width: int, height: int) -> None:
    size = Size(width, height)
    for family, rule in RULES.items():
        assert 1 <= rule(size) == rule(Size(height, width)) <= rule(LARGEST)
        if family not in RENTED and family != "mllama":
            assert rule(size) <= UNKNOWN_FAMILY(size) <= MOST_IMAGE


def test_an_unknown_small_image_fits_a_window_of_8k() -> None:
    assert UNKNOWN_FAMILY(Size(512, 512)) < 4_200
    assert UNKNOWN_FAMILY(Size(4000, 3000)) > 15_000


def test_a_name_that_says_two_families_has_the_larger() -> None:
    size = Size(640, 480)
    assert rule_of("my-model", "gemma3")(size) == 260, "the name says nothing, and the engine does"
    assert rule_of("gemma3-as-qwen2.5-vl")(size) == RULES["qwen2_vl"](size)
    assert rule_of("my-model")(size) == rule_of("", "")(size) == UNKNOWN_FAMILY(size)
    assert rule_of("llava-hf/unknown")(size) >= RULES["llava_onevision"](size)


def test_every_name_has_a_rule() -> None:
    assert {family for _pattern, family in NAMES} == set(RULES)
