"""Bytes of a model's weights, counted tensor by tensor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod
from typing import Any, cast

from ringfence.engines.gguf_header import GgufTensor
from ringfence.placement.sizing.numbers import inner

GGML_TYPES: Mapping[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Elements and bytes of a block, by ggml's number of the type (ggml.h, `enum ggml_type`; ggml-common.h)."""
OF_EXPERTS = ("_exps.", ".experts.")
PLAIN = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
"""Bytes of an element in safetensors, of the types whose shapes are those of the model; others are packed."""


class Part(StrEnum):
    """What a tensor belongs to."""

    EMBEDDING = "embeddings"
    ATTENTION = "attention"
    FEED_FORWARD = "feed-forward"
    EXPERTS = "experts"
    STATE = "state layers"
    OUTPUT = "output"
    VISION = "images and sound"
    OTHER = "other"


PARTS: tuple[tuple[Part, re.Pattern[str]], ...] = (
    (Part.VISION, re.compile(r"^(v|a|mm)\.|vision|visual|image|audio|multi_modal_projector|^(?:model\.)?mm_")),
    (Part.EXPERTS, re.compile(r"_exps\.|\.experts\.|\.experts$|block_sparse_moe\.experts|_chexps\.")),
    (Part.STATE, re.compile(r"ssm_|shortconv|time_mix|channel_mix|mamba|mixer\.|linear_attn|\.conv\.|recurrent|rwkv")),
    (Part.ATTENTION, re.compile(r"attn|attention|cross_|\.wqkv|query_key_value")),
    (Part.FEED_FORWARD, re.compile(r"ffn_|mlp|feed_forward|block_sparse_moe|\.ff\.|dense_h_to_4h|dense_4h_to_h")),
    (Part.OUTPUT, re.compile(r"^output\.|lm_head|embed_out")),
    (Part.EMBEDDING, re.compile(r"embd|embed|wte|wpe|embd")),
)
"""The first that is found in a tensor's name: GGUF's names and those of transformers."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its shape as the model has it, rows first; `shape` is empty where the file keeps it packed."""

    name: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def part(self) -> Part:
        return next((part for part, known in PARTS if known.search(self.name)), Part.OTHER)


@dataclass(frozen=True, slots=True)
class Weights:
    """`expert_bytes` is the part of which a token uses only some experts; `is_whole` False: tensors are missing.
    `tensors` is empty where only a total is known."""

    total_bytes: int
    expert_bytes: int = 0
    is_whole: bool = True
    tensors: tuple[Tensor, ...] = field(default=(), compare=False, repr=False)

    def active_bytes(self, experts: int, experts_used: int) -> int:
        """What one token computes with."""
        if not experts or not experts_used:
            return self.total_bytes
        return self.total_bytes - self.expert_bytes + self.expert_bytes * experts_used // experts

    @property
    def parameters(self) -> int | None:
        """How many numbers; None where the shapes are not told."""
        if not self.tensors or any(not one.shape for one in self.tensors):
            return None
        return sum(prod(one.shape) for one in self.tensors)

    def active_parameters(self, experts: int, experts_used: int) -> int | None:
        """Those that one token computes with."""
        whole = self.parameters
        if whole is None or not experts or not experts_used:
            return whole
        of_experts = sum(prod(one.shape) for one in self.tensors if _is_expert(one.name))
        return whole - of_experts + of_experts * experts_used // experts

    def by_part(self) -> dict[Part, int]:
        """Bytes of each kind of layer, the largest first; what is not told tensor by tensor counts as other."""
        found: dict[Part, int] = {}
        for one in self.tensors:
            found[one.part] = found.get(one.part, 0) + one.size_bytes
        if rest := self.total_bytes - sum(found.values()):
            found[Part.OTHER] = found.get(Part.OTHER, 0) + rest
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def _is_expert(name: str) -> bool:
    return any(mark in name for mark in OF_EXPERTS)


def of_tensors(tensors: Iterable[Tensor]) -> Weights:
    """Of all tensors of a file."""
    listed = tuple(tensors)
    experts = sum(one.size_bytes for one in listed if _is_expert(one.name))
    return Weights(sum(one.size_bytes for one in listed), experts, tensors=listed)


def of_gguf(tensors: Iterable[GgufTensor], data_bytes: int) -> Weights:
    """Of one file's table; a tensor of a type unknown here is as long as the place up to the next one.

    `data_bytes` is the file's length from its first tensor on, or more.
    """
    ordered = sorted(tensors, key=lambda one: one.offset)
    ends = [one.offset for one in ordered[1:]] + [data_bytes]
    return of_tensors(
        Tensor(one.name, one.shape[::-1], _size(one, end - one.offset)) for one, end in zip(ordered, ends, strict=True)
    )


def _size(tensor: GgufTensor, room: int) -> int:
    block = GGML_TYPES.get(tensor.kind)
    if block is None:
        return max(room, 0)
    elements, size = block
    return prod(tensor.shape) // elements * size


def of_safetensors(header: Mapping[str, Any]) -> Weights:
    """Of one file's header: each tensor has the offsets of its begin and end."""
    found: list[Tensor] = []
    for name in header:
        told = inner(header, name)
        offsets, shape = told.get("data_offsets"), told.get("shape")
        if name != "__metadata__" and isinstance(offsets, list):
            begin, end = cast("list[int]", offsets)
            is_plain = told.get("dtype") in PLAIN and isinstance(shape, list)
            kept = tuple(cast("list[int]", shape)) if is_plain else ()
            found.append(Tensor(name, kept, end - begin))
    return of_tensors(found)


def added(parts: Iterable[Weights]) -> Weights:
    """Of a model in several files."""
    listed = list(parts)
    return Weights(
        sum(one.total_bytes for one in listed),
        sum(one.expert_bytes for one in listed),
        all(one.is_whole for one in listed),
        tuple(tensor for one in listed for tensor in one.tensors),
    )
