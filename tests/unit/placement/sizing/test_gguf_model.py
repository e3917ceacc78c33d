"""The architecture out of a GGUF header: keys as the converters of llama.cpp write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringfence.engines.gguf_header import GgufFacts, GgufTensor
from ringfence.placement.sizing.architecture import Kind, NotSized
from ringfence.placement.sizing.gguf_model import from_gguf
from ringfence.placement.sizing.kv import bytes_per_token
from ringfence.placement.sizing.kv_types import F16
from ringfence.placement.sizing.read import read_model

ATTENTION = ("attn_norm.weight", "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight")
MAMBA = ("attn_norm.weight", "ssm_conv1d.weight", "ssm_in.weight", "ssm_out.weight")
ONLY_FEED_FORWARD = ("attn_norm.weight", "ffn_up.weight", "ffn_down.weight")


def facts(name: str, tensors: list[tuple[str, ...]], **own: Any) -> GgufFacts:
    """A header with so many layers, each with these tensors; `__` in a key stands for a dot."""
    pairs = {f"{name}.{key.replace('__', '.')}": value for key, value in own.items()}
    pairs |= {"general.architecture": name, f"{name}.block_count": len(tensors)}
    table = [GgufTensor(f"blk.{layer}.{one}", (32,), 0, 0) for layer, names in enumerate(tensors) for one in names]
    return GgufFacts(pairs, tuple(table))


def kinds(found: GgufFacts) -> dict[Kind, tuple[int, ...]]:
    return {group.cache.kind: group.layers for group in from_gguf(found).groups}


DENSE = {"embedding_length": 4096, "attention__head_count": 32, "attention__head_count_kv": 8}


def test_a_dense_model() -> None:
    found = from_gguf(facts("llama", [ATTENTION] * 32, context_length=131072, **DENSE))
    assert bytes_per_token(found, F16) == 131_072
    assert (found.trained_window, found.layers, found.notes) == (131_072, 32, ())


def test_the_window_of_a_mistral_is_not_used_by_llama_cpp() -> None:
    found = from_gguf(facts("llama", [ATTENTION] * 32, attention__sliding_window=4096, **DENSE))
    assert bytes_per_token(found, F16) == 131_072


@pytest.mark.parametrize(
    ("name", "more", "full"),
    [
        ("gemma3", {}, (5, 11)),
        ("gpt-oss", {}, (1, 3, 5, 7, 9, 11)),
        ("gemma3n", {"attention__sliding_window_pattern": (True, True, False) * 4}, (2, 5, 8, 11)),
        ("exaone4", {"attention__sliding_window_pattern": 3}, (2, 5, 8, 11)),
        (
            "gemma3n",
            {"attention__sliding_window_pattern": (True, False) * 6, "attention__shared_kv_layers": 6},
            (1, 3, 5),
        ),
    ],
)
def test_sliding_windows(name: str, more: dict[str, Any], full: tuple[int, ...]) -> None:
    assert kinds(facts(name, [ATTENTION] * 12, attention__sliding_window=512, **DENSE, **more))[Kind.FULL] == full


def test_widths_of_sliding_layers() -> None:
    found = from_gguf(facts(
        "gemma4", [ATTENTION] * 2, attention__sliding_window=512, attention__sliding_window_pattern=(True, False),
        embedding_length=2048, attention__head_count=8, attention__head_count_kv=(2, 1), attention__key_length=512,
        attention__value_length=512, attention__key_length_swa=256, attention__value_length_swa=256,
    ))  # fmt: skip
    sliding, full = (group.cache for group in found.groups)
    assert (sliding.heads, sliding.key_width, full.heads, full.key_width) == (2, 256, 1, 512)


def test_a_window_in_layers_that_are_not_told_is_an_upper_bound() -> None:
    found = from_gguf(facts("brand-new", [ATTENTION] * 4, attention__sliding_window=512, **DENSE))
    assert found.is_upper_bound
    assert {group.cache.kind for group in found.groups} == {Kind.FULL}


def test_latent_attention_and_the_layer_that_predicts_ahead() -> None:
    deep = {"embedding_length": 7168, "attention__head_count": 128, "attention__head_count_kv": 1}
    deep |= {"attention__kv_lora_rank": 512, "rope__dimension_count": 64, "attention__key_length": 576}
    latent = ("attn_kv_a_mqa.weight", "attn_k_b.weight", "attn_v_b.weight")
    found = facts("deepseek2", [latent] * 62, attention__key_length_mla=192, nextn_predict_layers=1, **deep)
    assert bytes_per_token(from_gguf(found), F16) == 70_272


def test_older_files_hold_whole_keys_of_latent_attention() -> None:
    old = {"embedding_length": 2048, "attention__head_count": 16, "attention__head_count_kv": 16}
    old |= {"attention__kv_lora_rank": 512, "attention__key_length": 192, "attention__value_length": 128}
    assert bytes_per_token(from_gguf(facts("deepseek2", [("attn_kv_b.weight",)] * 27, **old)), F16) == 27 * 16 * 320 * 2


HYBRID = {"embedding_length": 2688, "attention__head_count": 32, "attention__key_length": 128} | {
    "attention__value_length": 128, "ssm__conv_kernel": 4, "ssm__inner_size": 4096, "ssm__state_size": 128,
    "ssm__group_count": 8,
}  # fmt: skip


def test_layers_are_told_apart_by_heads_and_tensors() -> None:
    found = facts("nemotron_h_moe", [MAMBA, ONLY_FEED_FORWARD, ATTENTION], attention__head_count_kv=(0, 0, 2), **HYBRID)
    assert kinds(found) == {Kind.STATE: (0,), Kind.FULL: (2,)}
    assert from_gguf(found).groups[0].cache.state_bytes == 4 * (3 * (4096 + 2 * 8 * 128) + 4096 * 128)


def test_attention_and_state_side_by_side() -> None:
    assert kinds(facts("falcon-h1", [ATTENTION + MAMBA] * 2, attention__head_count_kv=2, **HYBRID)) == {
        Kind.STATE: (0, 1), Kind.FULL: (0, 1),
    }  # fmt: skip


def test_delta_attention_has_keys_that_it_does_not_keep() -> None:
    own = {"embedding_length": 2304, "attention__head_count": 32, "attention__head_count_kv": (0, 0, 0, 1)}
    own |= {"attention__kv_lora_rank": 512, "attention__key_length_mla": 192, "rope__dimension_count": 64}
    own |= {"kda__head_dim": 128, "ssm__conv_kernel": 4}
    delta = (*ATTENTION, "ssm_conv1d_q.weight", "ssm_a")
    found = from_gguf(facts("kimi-linear", [delta] * 3 + [("attn_kv_a_mqa.weight",)], **own))
    state, latent = found.groups
    assert (state.cache.kind, state.layers) == (Kind.STATE, (0, 1, 2))
    assert state.cache.state_bytes == 4 * (3 * 3 * 32 * 128 + 32 * 128 * 128)
    assert (latent.cache.kind, latent.cache.key_width, latent.layers) == (Kind.LATENT, 576, (3,))


def test_what_a_decoder_keeps_of_its_encoder_counts_as_a_window() -> None:
    found = from_gguf(facts("t5", [()] * 6, **DENSE))
    assert bytes_per_token(found, F16) == 2 * 6 * 4096
    assert found.is_upper_bound


def test_linear_attention_has_attention_tensors_and_no_keys() -> None:
    linear = ("attn_qkv.weight", "attn_gate.weight", "ssm_conv1d.weight")
    found = facts(
        "qwen3next", [linear] * 3 + [ATTENTION], full_attention_interval=4, attention__head_count_kv=2, **HYBRID
    )
    assert kinds(found) == {Kind.STATE: (0, 1, 2), Kind.FULL: (3,)}


@pytest.mark.parametrize(
    ("name", "own", "elements"),
    [
        ("rwkv7", {"wkv__head_size": 64}, 1024 * 64 + 2 * 1024),
        ("lfm2", {"shortconv__l_cache": 3}, 2 * 1024),
        ("mamba", {"ssm__conv_kernel": 4, "ssm__inner_size": 2048, "ssm__state_size": 16}, 3 * 2048 + 2048 * 16),
    ],
)
def test_states(name: str, own: dict[str, Any], elements: int) -> None:
    names = {"rwkv7": ("time_mix_w0.weight",), "lfm2": ("shortconv.conv.weight",), "mamba": ("ssm_in.weight",)}[name]
    (group,) = from_gguf(facts(name, [names], embedding_length=1024, **own)).groups
    assert (group.cache.kind, group.cache.state_bytes) == (Kind.STATE, 4 * elements)


def test_an_embedding_model_keeps_nothing() -> None:
    assert from_gguf(facts("bert", [("attn_qkv.weight",)] * 6, attention__causal=False, **DENSE)).groups == ()


@pytest.mark.parametrize("own", [{}, {"embedding_length": 64}])
def test_what_cannot_be_sized(own: dict[str, Any]) -> None:
    with pytest.raises(NotSized, match="attention heads"):
        from_gguf(facts("llama", [ATTENTION], **own))
    with pytest.raises(NotSized, match="how many layers"):
        from_gguf(GgufFacts({"general.architecture": "llama"}, ()))


def test_a_real_file(tiny_model: Path) -> None:
    found = read_model(tiny_model).architecture
    assert bytes_per_token(found, F16) == 2 * 2 * 2 * 32 * 2
    assert (found.name, found.trained_window) == ("llama", 2048)
