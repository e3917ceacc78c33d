"""[pure] How many tokens an image takes, by the published rule of the model's family: an upper bound, never less.

Which family a model is of is read from its names. A name that says nothing, or names several, has the largest number
that any of those can come to for an image of this size.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, sqrt


@dataclass(frozen=True, slots=True)
class Size:
    width: int
    height: int


ImageRule = Callable[[Size], int]
"""Tokens at most of an image of this size, turned by a quarter or not."""
LARGEST = Size(65_535, 65_535)
"""No rule tells more of any image than of this one."""
SIZES = 1024
HAIR = 1e-6
"""So that what is computed here is not below what another computes with other roundings."""


def patches(pixels: int, most: int, least: int = 1, factor: float = 1.0) -> ImageRule:
    """One token for each square of `pixels`, and two marks around them. Small images are enlarged to `least`."""

    def tokens(size: Size) -> int:
        across, down = size.width / pixels, size.height / pixels
        if across * down < least:
            larger = sqrt(least / (across * down))
            across, down = across * larger + HAIR, down * larger + HAIR
        squares = ceil(across) * ceil(down)
        return 2 + ceil(min(most, squares) * factor)

    return tokens


def rows(pixels: int, longest: int) -> ImageRule:
    """Squares of `pixels` of an image whose longer side is at most `longest`, and a mark at the end of each row."""
    most = ceil(longest / pixels)

    def tokens(size: Size) -> int:
        scale = min(1.0, longest / max(size.width, size.height))
        across, down = (min(most, ceil((side * scale + 1) / pixels)) for side in (size.width, size.height))
        return across * down + max(across, down)

    return tokens


def tiles(most: int, each: int, base: int = 0) -> ImageRule:
    """At most so many tiles: how many follows from the shape as well as the size, so all of them count."""
    return lambda _size: base + most * each


def crops(pixels: int, most: int, each: int) -> ImageRule:
    """The whole, and as many crops of `pixels` as cover it."""
    return lambda size: each * (1 + min(most, ceil(size.width / pixels) * ceil(size.height / pixels)))


def gemini(size: Size) -> int:
    """Tiles by the shorter side in models before 3, of 258 each; a budget of up to 2,240 since."""
    side = min(768, max(256, int(min(size.width, size.height) / 1.5)))
    return max(2_240, 258 * min(64, ceil(size.width / side) * ceil(size.height / side)))


def largest(*rules: ImageRule) -> ImageRule:
    """Whatever any of them tells."""

    @lru_cache(SIZES)
    def tokens(size: Size) -> int:
        return max(rule(size) for rule in rules)

    return tokens


RULES: dict[str, ImageRule] = {
    "qwen2_vl": patches(28, 16_384, 8),
    "qwen3_vl": patches(32, 16_384, 64),
    "glm4v": patches(28, 16_384, 16),
    "kimi_vl": patches(28, 4_096),
    "gemma3": tiles(1, 256, 4),
    "gemma4": tiles(1, 1_120, 4),
    "paligemma": tiles(1, 4_096, 2),
    "llava": tiles(5, 576, 32 * 5),
    "llava_onevision": crops(384, 10, 27 * 28),
    "internvl": tiles(13, 256, 2),
    "cohere_vision": tiles(13, 256 + 12, 4),
    "pixtral": largest(rows(16, 1_024), rows(28, 1_540)),
    "llama4": tiles(17, 144 + 1, 5),
    "minicpmv": tiles(10, 96 + 4, 20),
    "idefics3": tiles(17, 169 + 12, 4),
    "phi3_v": tiles(1, 2_653),
    "phi4_mm": crops(448, 36, 256 + 16 + 1),
    "deepseek_vl2": tiles(1, 2_110),
    "mllama": tiles(4, 1_601, 2),
    "gpt": largest(tiles(8, 170, 85), patches(32, 10_000, factor=2.46)),
    "gpt-4o-mini": tiles(8, 5_667, 2_833),
    "claude": patches(27, 4_784),
    "gemini": gemini,
}
"""By family, as a model's configuration calls it (`model_type`), or a provider its models.

- qwen2_vl, and 2.5: a token for 28×28 pixels; 4 to 16,384 by default (`max_pixels` 12,845,056 of its
  preprocessor_config.json; https://huggingface.co/Qwen/Qwen2-VL-7B-Instruct), at least 8 in llama.cpp. qwen3_vl and
  later: 32×32, at least 64. glm4v, kimi_vl: 28×28.
- gemma3, and 3n: 256 for an image of 896×896 (https://huggingface.co/google/gemma-3-27b-it; pan and scan is off by
  default). gemma4: a budget of 70 to 1,120 tokens; the largest. paligemma: 896×896 in squares of 14.
- llava: 1.5 has 24×24 patches of 336×336, 1.6 four tiles of it and the whole, with row marks. llava_onevision, and
  Granite's: up to 10 crops of 384×384, 27×27 each and a mark a row.
- internvl, and Nemotron's: `max_dynamic_patch` 12 tiles and a thumbnail, 256 each. cohere_vision: with marks.
- pixtral: 16×16 pixels, at most 1,024 to a side, a mark after each row
  (https://huggingface.co/mistralai/Pixtral-12B-2409); Mistral Small 3.1 and later: 28×28, at most 1,540.
- llama4: 16 tiles of 336×336 and the whole, 144 each. mllama (3.2): a mark in the prompt in Ollama; engines that
  reserve its 4 tiles take 1,601 each.
- minicpmv: 9 slices and the whole, 64 or 96 each. idefics3, and SmolVLM: 16 tiles and the whole, 64 to 169 each; small
  images are enlarged. phi3_v: 16 crops of 144 and the whole. phi4_mm: up to 36 crops of 448×448, 256 each.
- gpt: 85 and 170 for each of at most 8 tiles of 512×512, or squares of 32×32, times up to 2.46; gpt-4o-mini: 2,833 and
  5,667 (https://platform.openai.com/docs/guides/images-vision).
- claude: width × height / 750 and at most about 1,600 in models before 4.7, up to 4,784 since
  (https://platform.claude.com/docs/en/build-with-claude/vision).
"""

NAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (r"qwen[-_]?2|qvq", "qwen2_vl"),
        (r"qwen[-_]?3", "qwen3_vl"),
        (r"glm[-_]?4|glm[-_]?ocr", "glm4v"),
        (r"kimi", "kimi_vl"),
        (r"gemma[-_]?3", "gemma3"),
        (r"gemma[-_]?4", "gemma4"),
        (r"paligemma", "paligemma"),
        (r"llava", "llava"),
        (r"onevision|llava[-_]ov|llava(?![-_]?v?1\.[56]|:|[-_]llama3|[-_]phi3)|granite", "llava_onevision"),
        (r"internvl|nemotron", "internvl"),
        (r"aya[-_]vision|command[-_]a", "cohere_vision"),
        (r"pixtral|mistral|ministral|magistral|devstral", "pixtral"),
        (r"llama[-_]?4", "llama4"),
        (r"llama[-_]?3\.2|mllama", "mllama"),
        (r"minicpm[-_]?[vo]", "minicpmv"),
        (r"smolvlm|idefics|docling|granite", "idefics3"),
        (r"phi[-_]?3(\.5)?[-_]vision|phi3_v", "phi3_v"),
        (r"phi[-_]?4[-_]?(multimodal|mm)", "phi4_mm"),
        (r"deepseek[-_](vl|ocr)", "deepseek_vl2"),
        (r"gpt-(?!oss)|chatgpt|codex|(^|/)o[134](-|$)", "gpt"),
        (r"gpt-4o-mini", "gpt-4o-mini"),
        (r"claude", "claude"),
        (r"gemini", "gemini"),
    )
)
RENTED = frozenset(("gpt", "gpt-4o-mini", "claude", "gemini"))
"""Served by providers alone."""
UNKNOWN_FAMILY = largest(*(rule for family, rule in RULES.items() if family not in RENTED and family != "mllama"))
"""Of a model that may be any of those that can be served here. (What mllama reserves is no part of the prompt, but in
engines which refuse by themselves what is too long.)"""
MOST_IMAGE = UNKNOWN_FAMILY(LARGEST)


def rule_of(*names: str) -> ImageRule:
    """The rule by the names of a model: its own, and what its engine tells of its weights."""
    told = " ".join(names).lower()
    families = {family for pattern, family in NAMES if pattern.search(told)}
    return largest(*(RULES[family] for family in sorted(families))) if families else UNKNOWN_FAMILY
