"""Bytes of the state that a layer without keys and values keeps of a sequence.

Counted at 4 bytes an element, as llama.cpp keeps them (llama-memory-recurrent.cpp: both parts in f32); vLLM keeps parts
in the model's own type, which is no more. Shapes as in llama-hparams.cpp (`n_embd_r`, `n_embd_s`) and vLLM's
mamba_utils.py:

- Mamba: a convolution `(kernel - 1) x (inner + 2 x groups x state)`, and `inner x state`; Mamba 1 has no groups;
- gated delta net (Qwen3-Next): `(kernel - 1) x (2 x key heads x key width + value heads x value width)`, and
  `value heads x key width x value width`;
- delta attention (Kimi Linear): three convolutions of `(kernel - 1) x heads x width`, and `heads x width x width`;
- lightning attention (MiniMax): `heads x width x width`;
- short convolution (LFM2): `(kernel - 1) x hidden`;
- recurrent unit (RecurrentGemma): `(kernel - 1) x width + width`.
"""

from __future__ import annotations

from ringfence.placement.sizing.numbers import Facts, inner, number

ELEMENT_BYTES = 4


def mamba(kernel: int, inner_width: int, groups: int, state: int) -> int:
    """Mamba of either kind; also a gated delta net, whose heads are its groups."""
    return ELEMENT_BYTES * ((kernel - 1) * (inner_width + 2 * groups * state) + inner_width * state)


def state_bytes(config: Facts, hidden: int, heads: int, width: int) -> int:
    """Of one layer, out of a config.json; 0 where it does not tell enough."""
    if number(config, "linear_num_value_heads"):
        return _gated_delta_net(config)
    if inner(config, "linear_attn_config"):
        return _delta_attention(inner(config, "linear_attn_config"))
    if "attn_type_list" in config:
        return ELEMENT_BYTES * heads * width * width
    if kernel := number(config, "conv_L_cache"):
        return ELEMENT_BYTES * (kernel - 1) * hidden
    if unit := number(config, "lru_width"):
        return ELEMENT_BYTES * unit * max(number(config, "conv1d_width"), 1)
    return _mamba(config, hidden)


def _gated_delta_net(config: Facts) -> int:
    key_heads, key_width = number(config, "linear_num_key_heads"), number(config, "linear_key_head_dim")
    value_heads, value_width = number(config, "linear_num_value_heads"), number(config, "linear_value_head_dim")
    kernel = number(config, "linear_conv_kernel_dim")
    if not (key_heads and key_width and value_width and kernel):
        return 0
    convolution = (kernel - 1) * (2 * key_heads * key_width + value_heads * value_width)
    return ELEMENT_BYTES * (convolution + value_heads * key_width * value_width)


def _delta_attention(config: Facts) -> int:
    heads, width = number(config, "num_heads"), number(config, "head_dim")
    kernel = number(config, "short_conv_kernel_size")
    return ELEMENT_BYTES * (3 * (kernel - 1) * heads * width + heads * width * width) if kernel else 0


def _mamba(config: Facts, hidden: int) -> int:
    heads = number(config, "mamba_num_heads", "mamba_n_heads", "n_mamba_heads")
    width = number(config, "mamba_head_dim", "mamba_d_head", "mamba_headdim")
    expand = number(config, "mamba_expand", "expand", "mamba_d_expand")
    inner_width = number(config, "mamba_d_ssm") or heads * width or expand * hidden
    if not heads and str(config.get("model_type", "")).startswith(("mamba", "falcon_mamba")):
        inner_width = number(config, "intermediate_size") or inner_width
    state = number(config, "ssm_state_size", "mamba_d_state", "state_size", "d_state")
    kernel = number(config, "conv_kernel", "mamba_d_conv", "d_conv")
    groups = number(config, "mamba_n_groups", "n_groups", "mamba_ngroups") or (1 if heads else 0)
    return mamba(kernel, inner_width, groups, state) if inner_width and state and kernel else 0
