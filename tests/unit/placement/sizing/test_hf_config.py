"""The architecture of known models out of their config.json, and their bytes of a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.placement.sizing.architecture import Kind, NotSized
from ringfence.placement.sizing.hf_config import from_config
from ringfence.placement.sizing.kv import bytes_per_token
from ringfence.placement.sizing.kv_types import F16

CONFIGS = Path(__file__).parent / "configs"
GOLDEN = {
    "llama-3.1-8b": 131_072,
    "deepseek-v3": 70_272,
    "nemotron-h": 6_144,
    "qwen3-next": 24_576,
    "mixtral-8x7b": 131_072,
    "qwen2.5-7b": 57_344,
    "falcon-7b": 8_192,
    "gpt2": 36_864,
    "gemma-3-27b": 10 * 2 * 16 * 128 * 2,
    "gpt-oss-20b": 12 * 2 * 8 * 64 * 2,
    "jamba-v0.1": 4 * 2 * 8 * 128 * 2,
    "lfm2-1.2b": 6 * 2 * 8 * 64 * 2,
    "kimi-linear-48b": 7 * 576 * 2,
    "gemma-3n-e4b": 4 * 2 * 2 * 256 * 2,
    "minimax-text-01": 10 * 2 * 8 * 128 * 2,
    "llama-4-scout": 12 * 2 * 8 * 128 * 2,
    "falcon-h1-7b": 44 * 2 * 2 * 128 * 2,
    "mistral-7b-v0.1": 0,
    "recurrentgemma-2b": 0,
    "mamba-2.8b": 0,
    "deepseek-v3.2": 61 * (576 + 128) * 2,
    "unknown-layers": 8 * 2 * 2 * 128 * 2,
}


def config(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{name}.json").read_text())


@pytest.mark.parametrize(("name", "size"), GOLDEN.items())
def test_bytes_of_a_token_of_known_models(name: str, size: int) -> None:
    assert bytes_per_token(from_config(config(name)), F16) == size


def test_every_configuration_has_its_figure() -> None:
    assert {path.stem for path in CONFIGS.glob("*.json")} == set(GOLDEN)


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("gemma-3-27b", {(Kind.SLIDING, 1024): 52, (Kind.FULL, 0): 10}),
        ("gpt-oss-20b", {(Kind.SLIDING, 128): 12, (Kind.FULL, 0): 12}),
        ("mistral-7b-v0.1", {(Kind.SLIDING, 4096): 32}),
        ("llama-4-scout", {(Kind.SLIDING, 8192): 36, (Kind.FULL, 0): 12}),
        ("recurrentgemma-2b", {(Kind.STATE, 0): 18, (Kind.SLIDING, 2048): 8}),
        ("gemma-3n-e4b", {(Kind.SLIDING, 512): 16, (Kind.FULL, 0): 4}),  # 15 layers read what others keep
        ("nemotron-h", {(Kind.STATE, 0): 23, (Kind.FULL, 0): 6}),
        ("falcon-h1-7b", {(Kind.STATE, 0): 44, (Kind.FULL, 0): 44}),
        ("kimi-linear-48b", {(Kind.STATE, 0): 20, (Kind.LATENT, 0): 7}),
    ],
)
def test_layers_are_told_apart(name: str, groups: dict[tuple[Kind, int], int]) -> None:
    found = from_config(config(name)).groups
    assert {(group.cache.kind, group.cache.window): len(group.layers) for group in found} == groups


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("qwen3-next", 3 * (2 * 16 * 128 + 32 * 128) + 32 * 128 * 128),
        ("nemotron-h", 3 * (4096 + 2 * 8 * 128) + 4096 * 128),
        ("jamba-v0.1", 3 * 8192 + 8192 * 16),
        ("mamba-2.8b", 3 * 5120 + 5120 * 16),
        ("minimax-text-01", 64 * 128 * 128),
        ("lfm2-1.2b", 2 * 2048),
        ("kimi-linear-48b", 3 * 3 * 32 * 128 + 32 * 128 * 128),
        ("recurrentgemma-2b", 3 * 2560 + 2560),
        ("falcon-h1-7b", 3 * (3072 + 2 * 256) + 3072 * 256),
    ],
)
def test_states_are_counted_at_four_bytes(name: str, elements: int) -> None:
    states = [group.cache for group in from_config(config(name)).groups if group.cache.kind is Kind.STATE]
    assert [one.state_bytes for one in states] == [4 * elements]


def test_a_nested_text_configuration_is_the_one_that_counts() -> None:
    found = from_config(config("gemma-3-27b"))
    assert (found.name, found.layers, found.trained_window) == ("gemma3_text", 62, 131_072)


def test_experts() -> None:
    found = from_config(config("deepseek-v3"))
    assert (found.experts, found.experts_used, found.is_upper_bound) == (256, 8, False)


def test_unknown_layers_give_an_upper_bound_and_say_so() -> None:
    found = from_config(config("unknown-layers"))
    assert found.is_upper_bound
    assert found.notes == ("layers of the unknown kind spiral_attention are counted as full attention",)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sliding_window": 512, "model_type": "brand_new"}, "does not tell in which layers"),
        ({"layer_types": ["sliding_attention"]}, "window of unknown size"),
        ({"layer_types": ["mamba"]}, "state of unknown size"),
        ({"use_cla": True}, "share their keys"),
        ({"is_encoder_decoder": True}, "encoder"),
        ({"cross_attention_layers": [3, 8]}, "look at an image"),
    ],
)
def test_what_is_not_told_counts_as_full_attention(changed: dict[str, Any], said: str) -> None:
    plain = config("llama-3.1-8b")
    found = from_config(plain | changed)
    assert any(said in note for note in found.notes)
    assert bytes_per_token(found, F16) >= bytes_per_token(from_config(plain), F16)


def test_what_is_told_needs_no_note() -> None:
    unsure = {name for name in GOLDEN if from_config(config(name)).is_upper_bound}
    assert unsure == {"unknown-layers", "deepseek-v3.2"}


def test_heads_of_each_layer() -> None:
    each = from_config(config("llama-3.1-8b") | {"num_key_value_heads": [8] * 16 + [0] * 8 + [4] * 8})
    assert bytes_per_token(each, F16) == (16 * 8 + 8 * 4) * 2 * 128 * 2
    blocks = [{"attention": {"n_heads_in_group": 8}}] * 16 + [{"attention": {"no_op": True}}] * 16
    assert bytes_per_token(from_config(config("llama-3.1-8b") | {"block_configs": blocks}), F16) == 16 * 4 * 2 * 128 * 2


def test_keys_and_values_of_different_width_and_other_heads_in_sliding_layers() -> None:
    found = from_config({
        "num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 192,
        "v_head_dim": 128, "hybrid_layer_pattern": [0, 1, 1, 1], "sliding_window": 128, "swa_num_key_value_heads": 8,
        "swa_head_dim": 192, "swa_v_head_dim": 128,
    })  # fmt: skip
    full, sliding = (group.cache for group in found.groups)
    assert (full.heads, full.key_width, full.value_width) == (4, 192, 128)
    assert (sliding.heads, sliding.key_width, sliding.value_width, sliding.window) == (8, 192, 128, 128)


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "how many layers"), ({"num_hidden_layers": 4}, "attention heads"), ({"n_layer": -1}, "layers")],
)
def test_what_cannot_be_sized(given: dict[str, Any], said: str) -> None:
    with pytest.raises(NotSized, match=said):
        from_config(given)


KEYS = sorted({key for path in CONFIGS.glob("*.json") for key in json.loads(path.read_text())})
VALUES = [
    None, True, False, 0, -3, 1, 7, 10**9, 1.5, "", "x", "M*", "LG", [], [None], [1, 0], [3, -1], ["mamba"],
    ["moe", "x"], {}, {"head_dim": 2}, {"num_layers": 3}, {"full_attn_layers": [1]}, [{"attention": None}],
    [{"attention": {"no_op": 1}}],
]  # fmt: skip


@given(st.sampled_from(sorted(GOLDEN)), st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=4))
def test_a_strange_configuration_is_sized_or_refused_in_words(name: str, changed: dict[str, Any]) -> None:
    try:
        found = from_config(config(name) | changed)
    except NotSized:
        return
    assert bytes_per_token(found, F16) >= 0
