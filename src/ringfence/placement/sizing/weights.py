"""Bytes of a model's weights, counted tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, cast

from ringfence.engines.gguf_header import GgufTensor

GGML_TYPES: Mapping[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Elements and bytes of a block, by ggml's number of the type (ggml.h, `enum ggml_type`; ggml-common.h)."""
OF_EXPERTS = ("_exps.", ".experts.")


@dataclass(frozen=True, slots=True)
class Weights:
    """`expert_bytes` is the part of which a token uses only some experts; `is_whole` False: tensors are missing."""

    total_bytes: int
    expert_bytes: int = 0
    is_whole: bool = True

    def active_bytes(self, experts: int, experts_used: int) -> int:
        """What one token computes with."""
        if not experts or not experts_used:
            return self.total_bytes
        return self.total_bytes - self.expert_bytes + self.expert_bytes * experts_used // experts


def of_tensors(sizes: Iterable[tuple[str, int]]) -> Weights:
    """Of names and bytes."""
    listed = list(sizes)
    experts = sum(size for name, size in listed if any(mark in name for mark in OF_EXPERTS))
    return Weights(sum(size for _, size in listed), experts)


def of_gguf(tensors: Iterable[GgufTensor], data_bytes: int) -> Weights:
    """Of one file's table; a tensor of a type unknown here is as long as the place up to the next one.

    `data_bytes` is the file's length from its first tensor on, or more.
    """
    ordered = sorted(tensors, key=lambda one: one.offset)
    ends = [one.offset for one in ordered[1:]] + [data_bytes]
    return of_tensors((one.name, _size(one, end - one.offset)) for one, end in zip(ordered, ends, strict=True))


def _size(tensor: GgufTensor, room: int) -> int:
    block = GGML_TYPES.get(tensor.kind)
    if block is None:
        return max(room, 0)
    elements, size = block
    return prod(tensor.shape) // elements * size


def of_safetensors(header: Mapping[str, Any]) -> Weights:
    """Of one file's header: each tensor has the offsets of its begin and end."""
    sizes: list[tuple[str, int]] = []
    for name, entry in header.items():
        offsets = cast("Mapping[str, Any]", entry).get("data_offsets") if isinstance(entry, Mapping) else None
        if name != "__metadata__" and isinstance(offsets, list):
            begin, end = cast("list[int]", offsets)
            sizes.append((name, end - begin))
    return of_tensors(sizes)


def added(parts: Iterable[Weights]) -> Weights:
    """Of a model in several files."""
    listed = list(parts)
    return Weights(
        sum(one.total_bytes for one in listed),
        sum(one.expert_bytes for one in listed),
        all(one.is_whole for one in listed),
    )
