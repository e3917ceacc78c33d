"""How wide the rows are that a model computes with: what its compute buffers are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.engines.gguf_header import GgufFacts
from ringfence.placement.sizing.names import (
    EXPERTS,
    EXPERTS_USED,
    FEED_FORWARD,
    HEADS,
    HIDDEN,
    KV_HEADS,
    WIDTHS,
    text_part,
)  # fmt: skip
from ringfence.placement.sizing.numbers import Facts, inner, number, numbers

GATED_QUERIES = ("qwen3next", "qwen3_next", "qwen35", "qwen35moe", "qwen3_5", "qwen3_5_moe")
"""Architectures whose query has a gate as wide beside it."""
PLAIN_FORWARD = frozenset((
    "gpt2", "gptj", "gptneox", "gpt_neox", "bloom", "opt", "mpt", "falcon", "starcoder", "starcoder2", "phi2", "phi",
    "nemotron", "nemotron_h", "nemotron_h_moe", "bert", "gpt_bigcode",
))  # fmt: skip
"""Architectures whose feed-forward nets have no gate."""
EVERY_NTH_HAS_EXPERTS = ("expert_layer_period", "decoder_sparse_step", "interleave_moe_layer_step")
DENSE_TENSORS = ("ffn_gate.weight", "ffn_up.weight", "ffn_gate_shexp.weight", "ffn_up_shexp.weight")


@dataclass(frozen=True, slots=True)
class Widths:
    """Elements of a row for one token; 0 where the model has none, or does not tell.

    `queries` and `keys` are of all heads of a layer together, `forward` of the widest dense net, `expert` of one.
    `inner` and `grouped` are of a state layer: Mamba's inner width and groups x state, a delta net's values and keys.
    """

    hidden: int = 0
    queries: int = 0
    keys: int = 0
    is_gated: bool = False
    forward: int = 0
    has_gate: bool = True
    expert: int = 0
    experts_used: int = 0
    heads: int = 0
    latent: int = 0
    latent_rope: int = 0
    latent_plain: int = 0
    inner: int = 0
    grouped: int = 0
    is_delta: bool = False
    convolution: int = 0
    vocabulary: int = 0
    is_guessed: bool = False
    """Whether the feed-forward width or the vocabulary was not told: the first is then taken as 4 x hidden."""


def widths_of_gguf(facts: GgufFacts) -> Widths:
    """Out of its keys; the vocabulary out of its table of tensors."""
    name = str(facts.pairs.get("general.architecture", ""))
    own = {key.removeprefix(f"{name}."): value for key, value in facts.pairs.items() if key.startswith(f"{name}.")}
    heads, kv_heads = _most(own, "attention.head_count"), _most(own, "attention.head_count_kv")
    hidden = number(own, "embedding_length")
    width = number(own, "attention.key_length") or (hidden // heads if heads else 0)
    rank = number(own, "attention.kv_lora_rank") if number(own, "attention.key_length_mla") else 0
    rope = number(own, "rope.dimension_count")
    embedded = next((one for one in facts.tensors if one.name == "token_embd.weight"), None)
    is_delta = name.startswith(GATED_QUERIES)
    inside, groups = number(own, "ssm.inner_size"), number(own, "ssm.group_count")
    return Widths(
        hidden=hidden,
        queries=heads * width,
        keys=(kv_heads or heads) * width,
        is_gated=is_delta,
        forward=_dense(facts, own),
        has_gate=name not in PLAIN_FORWARD,
        expert=number(own, "expert_feed_forward_length") or _most(own, "feed_forward_length"),
        experts_used=number(own, "expert_used_count"),
        heads=heads,
        latent=rank,
        latent_rope=rope if rank else 0,
        latent_plain=number(own, "attention.key_length_mla") - rope if rank else 0,
        inner=inside,
        grouped=groups * number(own, "ssm.state_size"),
        is_delta=is_delta,
        convolution=hidden if number(own, "shortconv.l_cache") else 0,
        vocabulary=embedded.shape[-1] if embedded else number(own, "vocab_size"),
    )


def _dense(facts: GgufFacts, own: Facts) -> int:
    """The widest net that each token goes through: the key is also told where there are experts instead."""
    found = [one.shape[-1] for one in facts.tensors if one.name.endswith(DENSE_TENSORS) and len(one.shape) > 1]
    return max(found, default=0) if facts.tensors else _most(own, "feed_forward_length")


def _most(own: Facts, name: str) -> int:
    return max(0, *(numbers(own, name) or [number(own, name)]))


def _widest(facts: Facts, names: Sequence[str]) -> int:
    """The first that is told, once or for each layer."""
    return number(facts, *names) or max((_most(facts, name) for name in names), default=0)


def _has_dense(facts: Facts) -> bool:
    """Whether some layers of a model with experts have a net without."""
    first, listed = number(facts, "first_k_dense_replace"), numbers(facts, "mlp_only_layers")
    every = max(number(facts, name) for name in EVERY_NTH_HAS_EXPERTS)
    return bool(first or listed) or every > 1


def widths_of_config(config: Facts) -> Widths:
    """Out of a config.json."""
    facts = text_part(config)
    name, hidden, heads = str(facts.get("model_type", "")), number(facts, *HIDDEN), number(facts, *HEADS)
    rank = number(facts, "kv_lora_rank")
    width = number(facts, *WIDTHS) or (hidden // heads if heads else 0)
    kv_heads = _widest(facts, KV_HEADS)
    delta = number(facts, "linear_num_value_heads") * number(facts, "linear_value_head_dim")
    delta_keys = number(facts, "linear_num_key_heads") * number(facts, "linear_key_head_dim")
    told = _widest(facts, FEED_FORWARD)
    forward = told or 4 * hidden
    expert = number(facts, "moe_intermediate_size", "expert_ffn_hidden_size") or forward
    experts = number(facts, *EXPERTS) or number(inner(facts, "ffn_config"), *EXPERTS)
    if experts and not _has_dense(facts):
        shared = number(facts, "n_shared_experts", "num_shared_experts") * expert
        forward = number(facts, "shared_expert_intermediate_size", "shared_intermediate_size") or shared
    mamba = number(facts, "mamba_d_ssm") or number(facts, "mamba_num_heads", "mamba_n_heads") * number(
        facts, "mamba_head_dim", "mamba_d_head"
    )
    state = number(facts, "ssm_state_size", "mamba_d_state", "state_size", "d_state")
    groups = number(facts, "mamba_n_groups", "n_groups", "mamba_ngroups")
    expand = number(facts, "mamba_expand", "expand")
    return Widths(
        hidden=hidden,
        queries=heads * width,
        keys=(kv_heads or heads) * width,
        is_gated=name.startswith(GATED_QUERIES),
        forward=forward,
        has_gate=name not in PLAIN_FORWARD,
        expert=expert,
        experts_used=number(facts, *EXPERTS_USED) or number(inner(facts, "ffn_config"), *EXPERTS_USED),
        heads=heads,
        latent=rank,
        latent_rope=number(facts, "qk_rope_head_dim") if rank else 0,
        latent_plain=number(facts, "qk_nope_head_dim") if rank else 0,
        inner=delta or (mamba or expand * hidden if state else 0),
        grouped=delta_keys or groups * state,
        is_delta=bool(delta),
        convolution=hidden if number(facts, "conv_L_cache") else 0,
        vocabulary=number(facts, "vocab_size"),
        is_guessed=not (told and number(facts, "vocab_size")),
    )
