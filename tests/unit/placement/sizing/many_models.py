"""Shapes of models of many architectures, as llama.cpp wants their tensors: what the tests make real files of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf

from ringfence.testing.made_models import made_model

Kind = gguf.GGMLQuantizationType
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Made:
    """An architecture with its keys and the tensors of each layer."""

    name: str
    own: Mapping[str, Any]
    layers: tuple[Shapes, ...]
    hidden: int
    vocabulary: int = 32_000
    is_tied: bool = False
    last: str = "output_norm.weight"

    def write(self, path: Path, kind: Kind) -> Path:
        tensors: Shapes = {"token_embd.weight": (self.vocabulary, self.hidden), self.last: (self.hidden,)}
        if not self.is_tied:
            tensors["output.weight"] = (self.vocabulary, self.hidden)
        for number, layer in enumerate(self.layers):
            tensors |= {f"blk.{number}.{key}": shape for key, shape in layer.items()}
        usual = {
            "context_length": 131_072, "embedding_length": self.hidden, "block_count": len(self.layers),
            "attention.layer_norm_rms_epsilon": 1e-5, "attention.layer_norm_epsilon": 1e-5,
        }  # fmt: skip
        return made_model(path, self.name, usual | dict(self.own), tensors, vocabulary=self.vocabulary, kind=kind)


def attention(hidden: int, heads: int, kv_heads: int, width: int, normed: bool = True, gates: int = 1) -> Shapes:
    found: Shapes = {
        "attn_norm.weight": (hidden,), "attn_q.weight": (gates * heads * width, hidden),
        "attn_k.weight": (kv_heads * width, hidden), "attn_v.weight": (kv_heads * width, hidden),
        "attn_output.weight": (hidden, heads * width),
    }  # fmt: skip
    return found | ({"attn_q_norm.weight": (width,), "attn_k_norm.weight": (width,)} if normed else {})


def forward(hidden: int, width: int) -> Shapes:
    return {
        "ffn_norm.weight": (hidden,), "ffn_gate.weight": (width, hidden), "ffn_up.weight": (width, hidden),
        "ffn_down.weight": (hidden, width),
    }  # fmt: skip


def experts(hidden: int, count: int, width: int) -> Shapes:
    return {
        "ffn_gate_inp.weight": (count, hidden), "ffn_gate_exps.weight": (count, width, hidden),
        "ffn_up_exps.weight": (count, width, hidden), "ffn_down_exps.weight": (count, hidden, width),
    }  # fmt: skip


def shared(hidden: int, width: int) -> Shapes:
    return {
        "ffn_gate_shexp.weight": (width, hidden), "ffn_up_shexp.weight": (width, hidden),
        "ffn_down_shexp.weight": (hidden, width),
    }  # fmt: skip


def heads_of(heads: int, kv_heads: Any, width: int) -> dict[str, Any]:
    return {
        "attention.head_count": heads, "attention.head_count_kv": kv_heads, "attention.key_length": width,
        "attention.value_length": width, "rope.freq_base": 10000.0,
    }  # fmt: skip


def of_experts(count: int, used: int, width: int) -> dict[str, Any]:
    return {"expert_count": count, "expert_used_count": used, "expert_feed_forward_length": width}


def dense(name: str, layers: int, hidden: int, heads: int, kv_heads: int, width: int, inner: int) -> Made:
    block = attention(hidden, heads, kv_heads, width, normed=name == "qwen3") | forward(hidden, inner)
    own = heads_of(heads, kv_heads, width) | {"feed_forward_length": inner, "rope.dimension_count": width}
    return Made(name, own, (block,) * layers, hidden)


def mixture(layers: int, hidden: int, count: int, used: int, inner: int) -> Made:
    block = attention(hidden, 16, 4, 64) | {"ffn_norm.weight": (hidden,)} | experts(hidden, count, inner)
    own = heads_of(16, 4, 64) | of_experts(count, used, inner) | {"feed_forward_length": 3 * hidden}
    return Made("qwen3moe", own, (block,) * layers, hidden)


def sliding(layers: int, hidden: int, inner: int, window: int) -> Made:
    block = attention(hidden, 8, 4, 128) | forward(hidden, inner)
    block |= {"post_attention_norm.weight": (hidden,), "post_ffw_norm.weight": (hidden,)}
    own = heads_of(8, 4, 128) | {"attention.sliding_window": window, "feed_forward_length": inner}
    return Made("gemma3", own, (block,) * layers, hidden, vocabulary=64_000, is_tied=True)


def sliding_mixture(layers: int, hidden: int, count: int, used: int, inner: int) -> Made:
    block = attention(hidden, 16, 4, 64, normed=False) | {"post_attention_norm.weight": (hidden,)}
    block |= experts(hidden, count, inner) | {"attn_sinks.weight": (16,), "ffn_gate_inp.bias": (count,)}
    block |= {"attn_q.bias": (1024,), "attn_k.bias": (256,), "attn_v.bias": (256,), "attn_output.bias": (hidden,)}
    block |= {"ffn_gate_exps.bias": (count, inner), "ffn_up_exps.bias": (count, inner)}
    block |= {"ffn_down_exps.bias": (count, hidden)}
    own = heads_of(16, 4, 64) | of_experts(count, used, inner) | {"attention.sliding_window": 128}
    return Made("gpt-oss", own, (block,) * layers, hidden)


def latent(layers: int, hidden: int, inner: int, count: int, used: int, expert: int) -> Made:
    heads, rank, rope, plain, value, queries = 16, 512, 64, 128, 128, 768
    block: Shapes = {
        "attn_norm.weight": (hidden,), "ffn_norm.weight": (hidden,), "attn_q_a.weight": (queries, hidden),
        "attn_q_a_norm.weight": (queries,), "attn_q_b.weight": (heads * (plain + rope), queries),
        "attn_kv_a_mqa.weight": (rank + rope, hidden), "attn_kv_a_norm.weight": (rank,),
        "attn_k_b.weight": (heads, rank, plain), "attn_v_b.weight": (heads, value, rank),
        "attn_output.weight": (hidden, heads * value),
    }  # fmt: skip
    own = of_experts(count, used, expert) | {
        "attention.head_count": heads, "attention.head_count_kv": 1, "attention.q_lora_rank": queries,
        "attention.kv_lora_rank": rank, "attention.key_length": rank + rope, "attention.value_length": rank,
        "attention.key_length_mla": plain + rope, "attention.value_length_mla": value, "rope.dimension_count": rope,
        "rope.freq_base": 10000.0, "leading_dense_block_count": 1, "expert_shared_count": 1,
        "expert_weights_scale": 1.0, "feed_forward_length": inner,
    }  # fmt: skip
    others = block | experts(hidden, count, expert) | shared(hidden, expert)
    return Made("deepseek2", own, (block | forward(hidden, inner), *(others,) * (layers - 1)), hidden)


def mamba(layers: int, hidden: int) -> Made:
    inner, state, rank = 2 * hidden, 16, hidden // 16
    block: Shapes = {
        "attn_norm.weight": (hidden,), "ssm_in.weight": (2 * inner, hidden), "ssm_conv1d.weight": (inner, 4),
        "ssm_conv1d.bias": (inner,), "ssm_x.weight": (rank + 2 * state, inner), "ssm_dt.weight": (inner, rank),
        "ssm_dt.bias": (inner,), "ssm_a": (inner, state), "ssm_d": (inner,), "ssm_out.weight": (hidden, inner),
    }  # fmt: skip
    own = {
        "ssm.conv_kernel": 4, "ssm.inner_size": inner, "ssm.state_size": state, "ssm.time_step_rank": rank,
        "feed_forward_length": 0,
    }  # fmt: skip
    return Made("mamba", own, (block,) * layers, hidden)


def short_convolutions(layers: int, hidden: int, inner: int) -> Made:
    whole = attention(hidden, hidden // 64, 4, 64) | forward(hidden, inner)
    short = forward(hidden, inner) | {
        "attn_norm.weight": (hidden,), "shortconv.conv.weight": (hidden, 3),
        "shortconv.in_proj.weight": (3 * hidden, hidden), "shortconv.out_proj.weight": (hidden, hidden),
    }  # fmt: skip
    own = heads_of(hidden // 64, [0, 0, 0, 4] * (layers // 4), 64)
    own |= {"shortconv.l_cache": 3, "feed_forward_length": inner}
    blocks = tuple(whole if layer % 4 == 3 else short for layer in range(layers))
    return Made("lfm2", own, blocks, hidden, is_tied=True, last="token_embd_norm.weight")


def mamba_and_attention(thirds: int, hidden: int, inner: int, width: int) -> Made:
    state, groups, heads = 128, 8, inner // 64
    mixed = inner + 2 * groups * state
    states: Shapes = {
        "attn_norm.weight": (hidden,), "ssm_in.weight": (inner + mixed + heads, hidden),
        "ssm_conv1d.weight": (mixed, 4), "ssm_conv1d.bias": (mixed,), "ssm_dt.bias": (heads,), "ssm_a": (heads, 1),
        "ssm_d": (heads, 1), "ssm_norm.weight": (groups, inner // groups), "ssm_out.weight": (hidden, inner),
    }  # fmt: skip
    net: Shapes = {"attn_norm.weight": (hidden,), "ffn_up.weight": (width, hidden), "ffn_down.weight": (hidden, width)}
    own = heads_of(16, [0, 0, 4] * thirds, 64) | {
        "feed_forward_length": [0, width, 0] * thirds, "ssm.conv_kernel": 4, "ssm.inner_size": inner,
        "ssm.state_size": state, "ssm.group_count": groups, "ssm.time_step_rank": heads,
    }  # fmt: skip
    blocks = (states, net, attention(hidden, 16, 4, 64, normed=False)) * thirds
    return Made("nemotron_h", own, blocks, hidden)


def delta_net(fours: int, hidden: int, count: int, used: int, inner: int) -> Made:
    key_heads, value_heads, width = 8, 16, 128
    keys, values = key_heads * width, value_heads * width
    both = experts(hidden, count, inner) | shared(hidden, inner) | {
        "attn_norm.weight": (hidden,), "post_attention_norm.weight": (hidden,), "ffn_gate_inp_shexp.weight": (hidden,),
    }  # fmt: skip
    states = both | {
        "attn_qkv.weight": (2 * keys + values, hidden), "attn_gate.weight": (values, hidden),
        "ssm_conv1d.weight": (2 * keys + values, 4), "ssm_dt.bias": (value_heads,), "ssm_a": (value_heads,),
        "ssm_ba.weight": (2 * value_heads, hidden), "ssm_norm.weight": (width,), "ssm_out.weight": (hidden, values),
    }  # fmt: skip
    own = heads_of(16, 2, 128) | of_experts(count, used, inner) | {
        "ssm.conv_kernel": 4, "ssm.inner_size": values, "ssm.state_size": width, "ssm.group_count": key_heads,
        "ssm.time_step_rank": value_heads, "full_attention_interval": 4, "expert_shared_feed_forward_length": inner,
        "rope.dimension_count": 64, "feed_forward_length": inner,
    }  # fmt: skip
    return Made(
        "qwen3next", own, (states, states, states, both | attention(hidden, 16, 2, 128, gates=2)) * fours, hidden
    )


MODELS: Mapping[str, Callable[[], Made]] = {
    "dense, as many KV heads": lambda: dense("llama", 12, 1024, 16, 16, 64, 2816),
    "dense, grouped heads": lambda: dense("qwen3", 12, 2048, 32, 8, 64, 6144),
    "dense, one KV head": lambda: dense("llama", 16, 1024, 16, 1, 64, 4096),
    "dense, wide": lambda: dense("qwen3", 4, 4096, 32, 8, 128, 11008),
    "experts": lambda: mixture(8, 1024, 16, 4, 768),
    "many experts": lambda: mixture(6, 1024, 64, 8, 384),
    "latent attention": lambda: latent(8, 1024, 2816, 16, 4, 512),
    "sliding windows": lambda: sliding(12, 1536, 6144, 1024),
    "sliding windows, short": lambda: sliding(12, 1024, 4096, 512),
    "sliding windows and experts": lambda: sliding_mixture(8, 1024, 16, 4, 1024),
    "states": lambda: mamba(16, 1536),
    "short convolutions": lambda: short_convolutions(16, 1024, 4608),
    "states and attention": lambda: mamba_and_attention(6, 1536, 3072, 6144),
    "delta net and experts": lambda: delta_net(2, 1024, 32, 4, 512),
}
"""Each of 150 MiB to 1 GiB in the kinds that the tests write them in."""
