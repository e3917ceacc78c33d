"""The architecture that a Hugging Face config.json describes: dense, grouped heads, latent attention, sliding windows,
hybrids with Mamba or linear attention, experts, nested text configurations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from ringfence.placement.sizing.architecture import MOST_LAYERS, Architecture, Cache, Kind, NotSized, grouped
from ringfence.placement.sizing.hf_layers import Holds, layer_kinds
from ringfence.placement.sizing.names import (
    EXPERTS,
    EXPERTS_USED,
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    WIDTHS,
    WINDOWS,
    text_part,
)  # fmt: skip
from ringfence.placement.sizing.numbers import Facts, inner, number, numbers
from ringfence.placement.sizing.states import state_bytes

TWO_ATTENTIONS_A_LAYER = ("longcat_flash",)


def from_config(config: Facts) -> Architecture:
    """Raises NotSized where it does not tell its layers or heads."""
    facts = text_part(config)
    layers = number(facts, *LAYERS)
    if not 0 < layers <= MOST_LAYERS:
        raise NotSized("config.json does not tell how many layers the model has (num_hidden_layers)")
    if str(facts.get("model_type", "")).startswith(TWO_ATTENTIONS_A_LAYER):
        layers *= 2
    kinds, notes = layer_kinds(facts, layers)
    reading = _Reading(facts, layers, notes)
    caches = [(layer, cache) for layer, kind in enumerate(kinds) for cache in reading.caches(layer, kind)]
    return Architecture(
        name=str(facts.get("model_type") or "model"),
        layers=layers,
        groups=grouped(caches),
        trained_window=number(facts, *WINDOWS) or None,
        experts=number(facts, *EXPERTS) or number(inner(facts, "ffn_config"), *EXPERTS),
        experts_used=number(facts, *EXPERTS_USED) or number(inner(facts, "ffn_config"), *EXPERTS_USED),
        notes=tuple(dict.fromkeys(notes)),
    )


class _Reading:
    """What the attention layers of one config.json keep."""

    def __init__(self, facts: Facts, layers: int, notes: list[str]) -> None:
        self.facts, self.notes = facts, notes
        self.own_cache_below = layers - number(facts, "num_kv_shared_layers")
        self.kv_heads = next((listed for name in KV_HEADS if (listed := numbers(facts, name))), None)
        blocks = facts.get("block_configs")
        self.blocks = cast("list[Any]", blocks) if isinstance(blocks, list) else []
        if facts.get("use_cla") is True:
            notes.append("some layers share their keys and values; all are counted")
        if numbers(facts, "cross_attention_layers"):
            notes.append("layers that look at an image are counted as if they kept every token")

    def caches(self, layer: int, kind: Holds) -> Iterator[Cache]:
        if Holds.STATE in kind:
            yield self._state(layer)
        if Holds.FULL in kind and number(self.facts, "attention_window_size"):
            kind ^= Holds.FULL | Holds.SLIDING  # RecurrentGemma says attention and means a window
        if kind & (Holds.FULL | Holds.UNKNOWN):
            yield from self._full(layer)
        if Holds.SLIDING in kind:
            yield from self._sliding(layer)
        if self.facts.get("is_encoder_decoder") is True:
            self.notes.append("what the decoder keeps of the encoder is counted as if the input were a whole window")
            yield from self._full(layer)

    def _state(self, layer: int) -> Cache:
        heads, width = number(self.facts, *HEADS), number(self.facts, *WIDTHS)
        size = state_bytes(self.facts, number(self.facts, *HIDDEN), heads, width)
        if size:
            return Cache(Kind.STATE, state_bytes=size)
        self.notes.append("layers with a state of unknown size are counted as full attention")
        return self._attention(layer)

    def _full(self, layer: int) -> Iterator[Cache]:
        if layer >= self.own_cache_below:
            return  # it reads what an earlier layer keeps
        if rank := number(self.facts, "kv_lora_rank"):
            yield Cache(Kind.LATENT, key_width=rank + number(self.facts, "qk_rope_head_dim"))
            if index := number(self.facts, "index_head_dim"):
                yield Cache(Kind.INDEX, key_width=index)
                self.notes.append(
                    "the index beside its latent attention is counted in 16 bits, engines keep it in less"
                )
            return
        cache = self._attention(layer)
        if cache.heads:
            wide = number(self.facts, "global_head_dim")
            heads = number(self.facts, "num_global_key_value_heads") or cache.heads
            yield Cache(Kind.FULL, heads, wide, wide) if wide else cache

    def _sliding(self, layer: int) -> Iterator[Cache]:
        if layer >= self.own_cache_below:
            return
        window = number(
            self.facts, "sliding_window", "sliding_window_size", "attention_window_size", "attention_chunk_size"
        )
        if not window:
            self.notes.append("layers with a sliding window of unknown size are counted as full attention")
            yield from self._full(layer)
            return
        cache = self._attention(layer)
        heads = number(self.facts, "swa_num_key_value_heads") or cache.heads
        key_width = number(self.facts, "swa_head_dim") or cache.key_width
        value_width = number(self.facts, "swa_v_head_dim") or (
            key_width if "swa_head_dim" in self.facts else cache.value_width
        )
        yield Cache(Kind.SLIDING, heads, key_width, value_width, window)

    def _attention(self, layer: int) -> Cache:
        heads = number(self.facts, *HEADS)
        attention = inner(self.facts, "attn_config")
        width = number(self.facts, *WIDTHS) or (number(self.facts, *HIDDEN) // heads if heads else 0)
        if not heads or not width:
            raise NotSized("config.json does not tell how many attention heads the model has, or how wide they are")
        kv_heads = number(self.facts, *KV_HEADS) or number(attention, "kv_n_heads") or self._one_for_all() or heads
        if self.kv_heads:
            kv_heads = max(0, self.kv_heads[layer] if layer < len(self.kv_heads) else max(self.kv_heads))
        if layer < len(self.blocks):
            kv_heads = _of_block(self.blocks[layer], heads, kv_heads)
        return Cache(Kind.FULL, kv_heads, width, number(self.facts, "v_head_dim") or width)

    def _one_for_all(self) -> int:
        """GPT BigCode and the first Falcon: one key and value for all heads."""
        is_new = self.facts.get("new_decoder_architecture") is True
        return 1 if self.facts.get("multi_query") is True and not is_new else 0


def _of_block(block: Any, heads: int, usual: int) -> int:
    """Nemotron's `block_configs`: each layer has its own number of heads in a group, or no attention at all."""
    attention = inner({"block": block}, "block")
    attention = inner(attention, "attention")
    if attention.get("no_op") is True or attention.get("replace_with_linear") is True:
        return 0
    in_group = number(attention, "n_heads_in_group")
    return heads // in_group if in_group else usual
