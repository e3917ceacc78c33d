"""The types in which engines keep keys and values, and the bytes that one token takes in each.

Blocks of llama.cpp (ggml-common.h, `block_q8_0` and so on): 32 elements share a scale of 2 bytes, and in the `_1` types
an offset of 2 more: q8_0 34 bytes, q5_1 24, q5_0 22, q4_1 20, q4_0 and iq4_nl 18.

vLLM: bf16 and fp8 are 2 and 1 bytes an element; the scale of fp8 belongs to the layer, not to the token. TurboQuant
(vllm/model_executor/layers/quantization/turboquant/config.py) packs one key and one value of a head into a slot:
key ceil(width x bits / 8) + 2 for its norm (nothing but the bytes where keys are fp8), value ceil(width x bits / 8) + 4
for scale and offset, rounded up to an even number: 134 bytes at width 128 for 4bit_nc, where bf16 takes 512. The first
and last two layers of a model that is not a hybrid stay in bf16, `n = min(2, layers // 2)` of each end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.placement.sizing.architecture import Architecture, Cache, Kind

BLOCK = 32
LLAMACPP, VLLM = "llama.cpp", "vLLM"
INDEX_BYTES = 2
"""An upper bound for an element of an index: vLLM keeps it in fp8 with a scale, others in 16 bits."""
KEPT_AT_EACH_END = 2


@dataclass(frozen=True, slots=True)
class KvType:
    """`block_bytes` for `block` elements; or, for TurboQuant, bits of a key and of a value."""

    name: str
    engines: tuple[str, ...]
    block: int = 1
    block_bytes: int = 2
    key_bits: int = 0
    value_bits: int = 0

    @property
    def is_turboquant(self) -> bool:
        return self.key_bits > 0

    def row_bytes(self, elements: int) -> int:
        """A row of so many elements, in whole blocks."""
        return -(-elements // self.block) * self.block_bytes

    def token_bytes(self, cache: Cache) -> int:
        """Of one token in one layer."""
        if cache.kind is Kind.STATE:
            return 0
        if cache.kind is Kind.INDEX:
            return cache.key_width * INDEX_BYTES
        if self.is_turboquant:
            return cache.heads * self._slot_bytes(cache)
        return self.row_bytes(cache.heads * cache.key_width) + self.row_bytes(cache.heads * cache.value_width)

    def _slot_bytes(self, cache: Cache) -> int:
        norm = 0 if self.key_bits == 8 else 2
        slot = -(-cache.key_width * self.key_bits // 8) + norm + -(-cache.value_width * self.value_bits // 8) + 4
        return slot + slot % 2


F16 = KvType("f16", (LLAMACPP, VLLM))
TYPES: Mapping[str, KvType] = {
    one.name: one
    for one in (
        F16,
        KvType("fp8", (VLLM,), block_bytes=1),
        KvType("q8_0", (LLAMACPP,), BLOCK, 34),
        KvType("q5_1", (LLAMACPP,), BLOCK, 24),
        KvType("q5_0", (LLAMACPP,), BLOCK, 22),
        KvType("q4_1", (LLAMACPP,), BLOCK, 20),
        KvType("q4_0", (LLAMACPP,), BLOCK, 18),
        KvType("iq4_nl", (LLAMACPP,), BLOCK, 18),
        KvType("turboquant_k8v4", (VLLM,), key_bits=8, value_bits=4),
        KvType("turboquant_4bit_nc", (VLLM,), key_bits=4, value_bits=4),
        KvType("turboquant_k3v4_nc", (VLLM,), key_bits=3, value_bits=4),
        KvType("turboquant_3bit_nc", (VLLM,), key_bits=3, value_bits=3),
    )
}
"""By name; f16 stands for bf16 too, which takes the same bytes."""


def why_not(architecture: Architecture, kv_type: KvType) -> str:
    """Why no engine keeps this model's cache in this type; empty where one does."""
    typed = [group for group in architecture.groups if group.cache.kind not in (Kind.STATE, Kind.INDEX)]
    caches = [group.cache for group in typed]
    if kv_type.is_turboquant and any(cache.kind is Kind.LATENT for cache in caches):
        return "vLLM has no TurboQuant for latent attention"
    kept = {layer_type(architecture, layer, group.cache, kv_type) for group in typed for layer in group.layers}
    if kv_type not in kept:
        return "it would leave every layer of this model in 16 bits" if kept else "this model has no keys and values"
    if kv_type.block > 1:
        uneven = {width for cache in caches for width in (cache.key_width, cache.value_width) if width % kv_type.block}
        if uneven:
            return f"needs heads of a multiple of {kv_type.block}, this model's are {min(uneven)} wide"
    return ""


def layer_type(architecture: Architecture, layer: int, cache: Cache, kv_type: KvType) -> KvType:
    """What a layer is really kept in: TurboQuant leaves the ends of a model in 16 bits, unless it is a hybrid.

    vLLM has no TurboQuant for sliding windows yet (pull request 40108): those layers are counted in 16 bits.
    """
    if not kv_type.is_turboquant:
        return kv_type
    kept = 0 if architecture.is_hybrid else min(KEPT_AT_EACH_END, architecture.layers // 2)
    is_end = layer < kept or layer >= architecture.layers - kept
    return F16 if is_end or cache.kind is Kind.SLIDING else kv_type
