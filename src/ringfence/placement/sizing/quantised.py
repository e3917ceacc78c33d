"""Bytes of a model's weights in quantisations that it does not come in: what another file of it would take.

llama.cpp's types (llama-quant.cpp, `llama_tensor_get_type`): matrices of the layers take the type's name, and in the
mixtures some take another: the output (or the embeddings, where they are the output too) q6_K; of `_M` the values and
the down matrices of the first and last eighth of the layers, and of every third one between, q6_K. With 8 experts, keys
and values are q8_0. Rows that are no multiple of 256 fall back (to q8_0 from q6_K, to q5_0 from q4_K, to q5_1 from
q5_K), norms, routers and convolutions stay f32. vLLM's fp8 takes a byte of each matrix of the layers, its int4 (AWQ,
GPTQ) 4 bits and, for 128 of them, a scale of 2 bytes and an offset of half a byte; embeddings and output stay 16 bits.
Who made a file may have chosen otherwise: an importance matrix or a hand-made mixture changes it by some per cent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from ringfence.placement.sizing.kv_types import LLAMACPP, VLLM
from ringfence.placement.sizing.weights import Part, Tensor, Weights

BLOCKS: Mapping[str, tuple[int, int]] = {
    "f16": (1, 2), "q8_0": (32, 34), "q6_K": (256, 210), "q5_K": (256, 176), "q4_K": (256, 144), "q5_0": (32, 22),
    "q5_1": (32, 24), "q4_0": (32, 18),
}  # fmt: skip
"""Elements and bytes of a block (ggml-common.h)."""
FALLBACK = {"q6_K": "q8_0", "q5_K": "q5_1", "q4_K": "q5_0"}
LAYER = re.compile(r"(?:blk|layers|h|blocks)\.(\d+)\.")
EXPERT = re.compile(r"\.experts\.(\d+)\.")
VALUES = re.compile(r"attn_v\.|v_proj")
KEYS_OR_VALUES = re.compile(r"attn_[kv]\.|[kv]_proj")
DOWN = re.compile(r"ffn_down|down_proj|\.w2\.|\.fc2\.")
ALL_IN_ONE = re.compile(r"attn_qkv|qkv_proj|query_key_value|c_attn|wqkv")
STAYS = re.compile(r"norm|ffn_gate_inp|mlp\.gate\.|router|conv1d|shortconv\.conv\.|conv\.conv\.|ssm_[ad]|bias")


@dataclass(frozen=True, slots=True)
class Quantisation:
    """`each` is the type of most matrices, `better` that of those which a mixture keeps better."""

    name: str
    engine: str
    each: str = ""
    better: str = ""
    output: str = ""


QUANTISATIONS = (
    Quantisation("F16", LLAMACPP, "f16", "f16", "f16"),
    Quantisation("Q8_0", LLAMACPP, "q8_0", "q8_0", "q8_0"),
    Quantisation("Q6_K", LLAMACPP, "q6_K", "q6_K", "q6_K"),
    Quantisation("Q5_K_M", LLAMACPP, "q5_K", "q6_K", "q6_K"),
    Quantisation("Q4_K_M", LLAMACPP, "q4_K", "q6_K", "q6_K"),
    Quantisation("Q4_0", LLAMACPP, "q4_0", "q4_0", "q6_K"),
    Quantisation("BF16", VLLM),
    Quantisation("FP8", VLLM),
    Quantisation("INT4", VLLM),
)
"""The usual ones, the largest of each engine first."""


def quantised_bytes(weights: Weights, quantisation: Quantisation) -> int | None:
    """None where the shapes of the tensors are not told."""
    if weights.parameters is None or not weights.is_whole:  # packed, or not all there
        return None
    if quantisation.engine == VLLM:
        return sum(_in_vllm(one, quantisation.name) for one in weights.tensors)
    layers = 1 + max((layer for one in weights.tensors if (layer := _layer(one)) is not None), default=0)
    eight = _has_eight_experts(weights)
    is_tied = not any(one.part is Part.OUTPUT for one in weights.tensors)
    type_of = _types(quantisation, layers, eight, is_tied)
    return sum(_row_bytes(one.shape, type_of(one)) for one in weights.tensors if one.part is not Part.VISION)


def _types(quantisation: Quantisation, layers: int, eight: bool, is_tied: bool) -> Callable[[Tensor], str]:
    def type_of(tensor: Tensor) -> str:
        if len(tensor.shape) < 2 or STAYS.search(tensor.name):
            return "f32"
        if tensor.part is (Part.EMBEDDING if is_tied else Part.OUTPUT):
            return quantisation.output
        if eight and quantisation.each != "f16" and KEYS_OR_VALUES.search(tensor.name):
            return "q8_0"
        if quantisation.better == quantisation.each:
            return quantisation.each
        if ALL_IN_ONE.search(tensor.name):
            return "q5_K" if quantisation.each == "q4_K" else "q6_K"
        is_better = VALUES.search(tensor.name) or DOWN.search(tensor.name)
        return quantisation.better if is_better and _uses_more(_layer(tensor) or 0, layers) else quantisation.each

    return type_of


def _uses_more(layer: int, layers: int) -> bool:
    """`use_more_bits` of llama-quant.cpp."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _layer(tensor: Tensor) -> int | None:
    found = LAYER.search(tensor.name)
    return int(found[1]) if found else None


def _has_eight_experts(weights: Weights) -> bool:
    """Whether together in one tensor, or each in its own."""
    if any("_exps." in one.name and one.shape[0] == 8 for one in weights.tensors):
        return True
    numbers = {int(found[1]) for one in weights.tensors if (found := EXPERT.search(one.name))}
    return numbers == set(range(8))


def _row_bytes(shape: tuple[int, ...], kind: str) -> int:
    if kind == "f32":
        return 4 * prod(shape)
    elements, size = BLOCKS[kind]
    if shape[-1] % elements:
        kind = FALLBACK.get(kind, "f16")
        elements, size = BLOCKS[kind]
        if shape[-1] % elements:
            elements, size = BLOCKS["f16"]
    return prod(shape) // elements * size


def _in_vllm(tensor: Tensor, name: str) -> int:
    count = prod(tensor.shape)
    is_packed = len(tensor.shape) > 1 and tensor.part not in (Part.EMBEDDING, Part.OUTPUT, Part.VISION)
    if name == "BF16" or not is_packed or STAYS.search(tensor.name):
        return 2 * count
    if name == "FP8":
        return count
    groups = -(-count // 128)
    return count // 2 + groups * 2 + groups // 2
