"""The architecture that the header of a GGUF file describes, as llama.cpp reads it (llama-model.cpp, `load_hparams`).

Which layers have keys and values, and which a state, is told by the tensors of each layer; their widths by the keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringfence.engines.gguf_header import GgufFacts
from ringfence.placement.sizing.architecture import MOST_LAYERS, Architecture, Cache, Kind, NotSized, grouped
from ringfence.placement.sizing.numbers import Facts, number, numbers
from ringfence.placement.sizing.states import ELEMENT_BYTES, mamba

EVERY_NTH_IS_FULL = {
    "gemma2": 2, "gemma3": 6, "cohere2": 4, "gpt-oss": 2, "llama4": 4, "exaone4": 4, "olmo2": 4, "exaone-moe": 4,
}  # fmt: skip
"""Architectures whose older files do not tell which layers slide; llama.cpp knows (`set_swa_pattern`)."""
CHUNK = {"llama4": 8192}
"""Windows that llama.cpp knows and the file does not tell."""
NO_WINDOW = frozenset(("llama", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "starcoder2", "mistral3"))
"""Architectures whose window llama.cpp does not use, though some files tell one."""
STATE_TENSORS = ("ssm_", "shortconv", "time_mix")


def from_gguf(facts: GgufFacts) -> Architecture:
    """Raises NotSized where it does not tell its layers or heads."""
    name = str(facts.pairs.get("general.architecture", ""))
    own = {key.removeprefix(f"{name}."): value for key, value in facts.pairs.items() if key.startswith(f"{name}.")}
    layers = number(own, "block_count") - number(own, "nextn_predict_layers")
    if not name or not 0 < layers <= MOST_LAYERS:
        raise NotSized("the file does not tell how many layers the model has (block_count)")
    reading = _Reading(name, own, layers, _names(facts))
    caches = [(layer, cache) for layer in range(layers) for cache in reading.caches(layer)]
    return Architecture(
        name=name,
        layers=layers,
        groups=grouped(caches),
        trained_window=number(own, "context_length") or None,
        experts=number(own, "expert_count"),
        experts_used=number(own, "expert_used_count"),
        notes=tuple(dict.fromkeys(reading.notes)),
    )


def _names(facts: GgufFacts) -> dict[int, set[str]]:
    """The tensors of each layer: blk.7.attn_k.weight is attn_k of 7."""
    found: dict[int, set[str]] = {}
    for tensor in facts.tensors:
        first, _, rest = tensor.name.partition(".")
        layer, _, name = rest.partition(".")
        if first == "blk" and layer.isdigit():
            found.setdefault(int(layer), set()).add(name)
    return found


class _Reading:
    """What the layers of one file keep."""

    def __init__(self, name: str, own: Facts, layers: int, names: dict[int, set[str]]) -> None:
        self.name, self.own, self.layers, self.names = name, own, layers, names
        self.notes: list[str] = []
        self.heads = self._each("attention.head_count", 0)
        self.kv_heads = self._each("attention.head_count_kv", None)
        self.slides = self._sliding()
        if name == "t5":
            self.notes.append("what the decoder keeps of the encoder is counted as if the input were a whole window")

    def caches(self, layer: int) -> Iterator[Cache]:
        if self.own.get("attention.causal") is False:
            return  # an embedding model reads its whole input at once and keeps nothing
        has_attention, has_state = self._holds(layer)
        if has_state:
            if size := self._state_bytes():
                yield Cache(Kind.STATE, state_bytes=size)
            else:
                self.notes.append("layers with a state of unknown size are counted as full attention")
                has_attention = True
        if has_attention and layer < self.layers - number(self.own, "attention.shared_kv_layers"):
            yield self._attention(layer)
            if self.name == "t5":
                yield self._attention(layer)

    def _each(self, key: str, usual: int | None) -> list[int]:
        """A value of each layer, which the file tells once or as a list."""
        listed = numbers(self.own, key)
        if listed is not None:
            return (listed + listed[-1:] * self.layers)[: self.layers] if listed else []
        one = number(self.own, key)
        return [one] * self.layers if one or usual is not None else []

    def _holds(self, layer: int) -> tuple[bool, bool]:
        """Whether it has keys and values, and whether it has a state."""
        interval = number(self.own, "full_attention_interval")
        if interval:
            is_full = (layer + 1) % interval == 0
            return is_full, not is_full
        names = self.names.get(layer)
        if names is None:  # a header without its tensors
            is_state = self.name.startswith(("mamba", "rwkv"))
            return not is_state and self._heads_of(layer) > 0, is_state
        has_state = any(name.startswith(STATE_TENSORS) for name in names)
        has_attention = any(name.startswith("attn_") and "norm" not in name for name in names)
        is_told_apart = bool(self.kv_heads) and self.kv_heads[layer] == 0
        return has_attention and not is_told_apart, has_state

    def _heads_of(self, layer: int) -> int:
        return self.kv_heads[layer] if self.kv_heads else self.heads[layer] if self.heads else 0

    def _attention(self, layer: int) -> Cache:
        rank = number(self.own, "attention.kv_lora_rank")
        if rank and number(self.own, "attention.key_length_mla"):  # older files hold whole keys instead
            return Cache(Kind.LATENT, key_width=rank + number(self.own, "rope.dimension_count"))
        heads = max(self.heads, default=0)
        usual = number(self.own, "embedding_length") // heads if heads else 0
        key_width = number(self.own, "attention.key_length") or usual
        value_width = number(self.own, "attention.value_length") or usual
        kv_heads = self._heads_of(layer)
        if not kv_heads or not key_width:
            raise NotSized("the file does not tell how many attention heads the model has, or how wide they are")
        window = number(self.own, "attention.sliding_window") or CHUNK.get(self.name, 0)
        if not self.slides[layer]:
            return Cache(Kind.FULL, kv_heads, key_width, value_width)
        key_width = number(self.own, "attention.key_length_swa") or key_width
        value_width = number(self.own, "attention.value_length_swa") or value_width
        return Cache(Kind.SLIDING, kv_heads, key_width, value_width, window)

    def _sliding(self) -> list[bool]:
        """Which layers keep a window only."""
        pattern: Any = numbers(self.own, "attention.sliding_window_pattern")
        has_window = number(self.own, "attention.sliding_window") or self.name in CHUNK
        if not has_window or self.name in NO_WINDOW:
            return [False] * self.layers
        if pattern and len(pattern) >= self.layers:
            return [bool(one) for one in pattern[: self.layers]]
        nth = number(self.own, "attention.sliding_window_pattern") or EVERY_NTH_IS_FULL.get(self.name, 0)
        if nth:
            return [(layer + 1) % nth != 0 for layer in range(self.layers)]
        note = "it has a sliding window, but does not tell in which layers: all are counted as full attention"
        self.notes.append(note)
        return [False] * self.layers

    def _state_bytes(self) -> int:
        own, hidden = self.own, number(self.own, "embedding_length")
        if head := number(own, "wkv.head_size"):
            return ELEMENT_BYTES * (hidden * head + (number(own, "token_shift_count") or 2) * hidden)
        if kernel := number(own, "shortconv.l_cache"):
            return ELEMENT_BYTES * (kernel - 1) * hidden
        kernel, heads = number(own, "ssm.conv_kernel"), max(self.heads, default=0)
        if width := number(own, "kda.head_dim"):
            return ELEMENT_BYTES * (3 * (kernel - 1) * heads * width + heads * width * width)
        inner, state = number(own, "ssm.inner_size"), number(own, "ssm.state_size")
        return mamba(kernel, inner, number(own, "ssm.group_count"), state) if kernel and inner and state else 0
