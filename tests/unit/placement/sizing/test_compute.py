"""Compute buffers: figures that llama.cpp b11549 reported for models of varied widths, and what holds for all."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.placement.sizing.architecture import Architecture, Cache, Group, Kind
from ringfence.placement.sizing.compute import compute
from ringfence.placement.sizing.hf_config import from_config
from ringfence.placement.sizing.widths import Widths, widths_of_config

MIB = 2**20
STEP = 2048
CONFIGS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "configs").glob("*.json")}
FULL = Architecture("any", 2, (Group(Cache(Kind.FULL, 4, 64, 64), (0, 1)),))
LATENT = Architecture("any", 3, (Group(Cache(Kind.LATENT, 1, 576), (0, 1, 2)),))
SLIDING = Architecture(
    "any", 2, (Group(Cache(Kind.FULL, 4, 64, 64), (1,)), Group(Cache(Kind.SLIDING, 4, 64, 64, 512), (0,)))
)


def mib(architecture: Architecture, tokens: int = STEP, step: int = STEP, **widths: int) -> float:
    given = {"hidden": 1024, "queries": 1024, "keys": 256, "forward": 64, "heads": 16, "vocabulary": 640} | widths
    found = compute(architecture, Widths(**given), tokens, 1, step, embeddings=False)
    return found.total_bytes / MIB


@pytest.mark.parametrize(
    ("widths", "told"),
    [
        ({}, 56.07), ({"queries": 2048}, 80.07), ({"queries": 512}, 48.07), ({"keys": 512}, 56.07),
        ({"keys": 1024}, 64.07), ({"hidden": 2048}, 88.07), ({"queries": 4096}, 112.07), ({"queries": 8192}, 176.07),
        ({"queries": 4096, "hidden": 2048}, 152.07), ({"queries": 8192, "hidden": 2048}, 216.07),
        ({"forward": 3072}, 120.07), ({"forward": 4096}, 144.07), ({"forward": 8192}, 240.07),
        ({"forward": 8192, "hidden": 2048}, 280.07), ({"tokens": 8192}, 80.07),
        ({"tokens": 512, "forward": 4096}, 34.52),
    ],
)  # fmt: skip
def test_dense_models(widths: dict[str, int], told: float) -> None:
    assert mib(FULL, **widths) == pytest.approx(told, abs=0.11)


@pytest.mark.parametrize(
    ("widths", "told"),
    [
        ({"experts_used": 2, "expert": 64}, 64.07), ({"experts_used": 8, "expert": 64}, 112.07),
        ({"experts_used": 8, "expert": 64, "hidden": 2048}, 216.07), ({"experts_used": 8, "expert": 256}, 160.07),
        ({"experts_used": 8, "expert": 384}, 184.07), ({"experts_used": 8, "expert": 512}, 144.07),
        ({"experts_used": 8, "expert": 1024}, 240.07), ({"experts_used": 8, "expert": 768, "hidden": 2048}, 360.07),
        ({"experts_used": 6, "expert": 384}, 150.07), ({"experts_used": 4, "expert": 4096}, 432.07),
    ],
)  # fmt: skip
def test_experts(widths: dict[str, int], told: float) -> None:
    mixed = Architecture("any", 2, FULL.groups, experts=8, experts_used=widths["experts_used"])
    assert mib(mixed, **widths) == pytest.approx(told, abs=0.11)


@pytest.mark.parametrize(
    ("widths", "told"),
    [
        ({}, 208.05), ({"heads": 32}, 384.05), ({"latent": 256}, 144.05), ({"hidden": 2048}, 248.05),
        ({"latent_plain": 64}, 200.05), ({"hidden": 4096}, 312.05),
    ],
)  # fmt: skip
def test_latent_attention(widths: dict[str, int], told: float) -> None:
    usual = {"latent": 512, "latent_rope": 64, "latent_plain": 128}
    assert mib(LATENT, **(usual | widths)) == pytest.approx(told, rel=0.06)


@pytest.mark.parametrize(("tokens", "told"), [(2048, 64.11), (8192, 90.11)])
def test_sliding_windows_have_a_mask_of_their_own(tokens: int, told: float) -> None:
    assert mib(SLIDING, tokens=tokens) == pytest.approx(told, abs=0.13)


def test_a_step_is_no_longer_than_all_requests_together() -> None:
    widths = Widths(hidden=1024, queries=1024, keys=256, forward=4096, vocabulary=640)
    four = compute(FULL, widths, 512, 4, 2048, embeddings=False).total_bytes / MIB
    assert four == pytest.approx(138.07, abs=0.11)


def test_logits_of_a_whole_step_where_embeddings_are_on() -> None:
    widths = Widths(hidden=1024, queries=1024, keys=256, forward=64, vocabulary=32_000)
    with_embeddings, without = (compute(FULL, widths, 2048, 1, 2048, is_on) for is_on in (True, False))
    assert with_embeddings.total_bytes / MIB == pytest.approx(298.09 + 0.12, abs=0.2)
    assert (with_embeddings.widest, without.widest) == ("output", "attention")


def test_widths_of_known_models() -> None:
    llama = widths_of_config(CONFIGS["llama-3.1-8b"] | {"intermediate_size": 14_336})
    assert (llama.hidden, llama.queries, llama.keys, llama.forward) == (4096, 4096, 1024, 14_336)
    deep = widths_of_config(CONFIGS["deepseek-v3"])
    assert (deep.latent, deep.latent_rope, deep.latent_plain, deep.experts_used) == (512, 64, 128, 8)
    next_ = widths_of_config(CONFIGS["qwen3-next"])
    assert (next_.inner, next_.grouped, next_.is_delta, next_.is_gated) == (4096, 2048, True, True)
    nemotron = widths_of_config(CONFIGS["nemotron-h"])
    assert (nemotron.inner, nemotron.grouped, nemotron.has_gate) == (4096, 1024, False)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_every_known_model_computes_in_something(name: str) -> None:
    found = compute(from_config(CONFIGS[name]), widths_of_config(CONFIGS[name]), 4096, 1, 512)
    assert 4 * 512 * 5 * 768 <= found.total_bytes < 8 << 30


@given(st.sampled_from(sorted(CONFIGS)), st.integers(1, 2**20), st.integers(1, 64), st.sampled_from([512, 1024, 2048]))
def test_more_never_takes_less(name: str, window: int, parallel: int, step: int) -> None:
    architecture, widths = from_config(CONFIGS[name]), widths_of_config(CONFIGS[name])
    found = compute(architecture, widths, window, parallel, step).total_bytes
    assert found <= compute(architecture, widths, window + 256, parallel, step).total_bytes
    assert found <= compute(architecture, widths, window, parallel + 1, step).total_bytes
    assert found <= compute(architecture, widths, window, parallel, 2 * step).total_bytes


KEYS = sorted({key for config in CONFIGS.values() for key in config} | {"moe_intermediate_size", "intermediate_size"})
STRANGE = [None, True, 0, -3, 7, 10**9, 1.5, "x", [], [None], [3, -1], [-5], {}, {"head_dim": 2}, [{"attention": None}]]


@given(st.sampled_from(sorted(CONFIGS)), st.dictionaries(st.sampled_from(KEYS), st.sampled_from(STRANGE), max_size=5))
def test_a_strange_configuration_has_widths(name: str, changed: dict[str, Any]) -> None:
    widths = widths_of_config(CONFIGS[name] | changed)
    assert min(value for value in astuple(widths)) >= 0
    assert compute(FULL, widths, 4096, 1, 512).total_bytes >= 0
