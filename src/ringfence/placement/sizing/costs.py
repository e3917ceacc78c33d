"""What a KV type costs in quality: what others published, with where and on which model, and what was measured here.

A cost that nobody measured is not told: then the list is empty. A published one holds for the model it was measured on;
another model may lose much more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """A short name, and where to read it."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What was lost, on which model, and who says so; `is_measured` for our own figures of this very file."""

    text: str
    on: str
    source: Source
    is_measured: bool = False


STUDY = Source("vLLM blog, May 2026", "https://github.com/vllm-project/vllm-project.github.io/pull/204")
TURBOQUANT = Source(
    "vLLM turboquant/config.py",
    "https://github.com/vllm-project/vllm/blob/main/vllm/model_executor/layers/quantization/turboquant/config.py",
)
MMLU = Source("llama.cpp #21551", "https://github.com/ggml-org/llama.cpp/pull/21551")
ROTATED = Source("ollama37 #102", "https://github.com/dogkeeper886/ollama37/issues/102")
GSM8K = Source("vLLM #38479", "https://github.com/vllm-project/vllm/pull/38479")
FOUR_MODELS, GEMMA, QWEN3 = "four models of 30B to 200B", "Gemma 3 4B", "Qwen3 4B, 200 questions"
UNNAMED = "a model that it does not name"

PUBLISHED: Mapping[str, tuple[Cost, ...]] = {
    "fp8": (Cost("negligible, at full speed", FOUR_MODELS, STUDY),),
    "q8_0": (Cost("MMLU -0.01 points of 39.99 ± 0.41", GEMMA, MMLU),),
    "q4_0": (
        Cost("MMLU -0.34 points of 39.99 ± 0.41", GEMMA, MMLU),
        Cost("perplexity +0.22 %", "Qwen3.5 4B", ROTATED),
    ),
    "iq4_nl": (Cost("MMLU -0.36 points of 39.99 ± 0.41", GEMMA, MMLU),),
    "turboquant_k8v4": (
        Cost("perplexity +1.17 %", UNNAMED, TURBOQUANT),
        Cost("GSM8K 0.860, with bf16 0.900", QWEN3, GSM8K),
    ),
    "turboquant_4bit_nc": (
        Cost("perplexity +2.71 %", UNNAMED, TURBOQUANT),
        Cost("GSM8K 0.840, with bf16 0.900", QWEN3, GSM8K),
        Cost("1 to 4 points in reasoning, 66-80 % of the speed", FOUR_MODELS, STUDY),
    ),
    "turboquant_k3v4_nc": (
        Cost("perplexity +10.63 %", UNNAMED, TURBOQUANT),
        Cost("GSM8K 0.780, with bf16 0.900", QWEN3, GSM8K),
        Cost("about 20 points in AIME25 and LiveCodeBench", "Qwen3 30B A3B Thinking", STUDY),
    ),
    "turboquant_3bit_nc": (
        Cost("perplexity +20.59 %", UNNAMED, TURBOQUANT),
        Cost("GSM8K 0.720, with bf16 0.900", QWEN3, GSM8K),
        Cost("about 20 points in AIME25 and LiveCodeBench", "Qwen3 30B A3B Thinking", STUDY),
    ),
}
"""By KV type. The sources stand in docs/window.md as well."""
OURS = Source("bench/kv_types.py", "docs/window.md#measured")


def published(kv_type: str) -> tuple[Cost, ...]:
    """What others measured, on other models."""
    return PUBLISHED.get(kv_type, ())


def measured(path: Path) -> Mapping[str, Cost]:
    """Our own figures of this very file, by KV type; empty for any other file."""
    for entry in _entries():
        if path.is_file() and path.stat().st_size == entry["bytes"] and _digest(path) == entry["sha256"]:
            on = f"{entry['about']}; {entry['tokens']:,} tokens of greedy answers"
            return {name: Cost(_in_words(row), on, OURS, is_measured=True) for name, row in entry["types"].items()}
    return {}


def _in_words(row: Mapping[str, Any]) -> str:
    return f"mean log-probability of a token {row['shift']:+.5f} ± {row['error']:.5f}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _entries() -> list[dict[str, Any]]:
    return json.loads((resources.files("ringfence.placement.sizing") / "measured.json").read_text(encoding="utf-8"))
