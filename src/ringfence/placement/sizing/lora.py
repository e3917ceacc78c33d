"""Bytes that LoRA slots take: for each slot, the two small matrices of each matrix that an adapter may change.

A slot of rank r beside a matrix of `out x in` takes r x (in + out) elements of 2 bytes. vLLM allocates all slots at its
start, at its largest rank, for every linear layer of the blocks, with `--max-loras` and `--max-lora-rank`
(vllm/lora/layers, `create_lora_weights`: `lora_a_stacked` and `lora_b_stacked`). llama.cpp loads adapters as they come;
one that changes all these matrices in f16 takes as much.
"""

from __future__ import annotations

import re
from math import prod

from ringfence.placement.sizing.weights import Part, Weights

ELEMENT_BYTES = 2
USUAL_RANK = 16
"""vLLM's own `--max-lora-rank`."""
LINEAR = frozenset((Part.ATTENTION, Part.FEED_FORWARD, Part.EXPERTS, Part.STATE))
NOT_LINEAR = re.compile(r"norm|conv|ssm_[ad]\b|rel_b|ffn_gate_inp|router|mlp\.gate\.|bias")


def lora_bytes(weights: Weights, slots: int, rank: int = USUAL_RANK) -> int | None:
    """None where the shapes of the tensors are not told."""
    if slots == 0:
        return 0
    if weights.parameters is None or not weights.is_whole:
        return None
    elements = 0
    for one in weights.tensors:
        if len(one.shape) >= 2 and one.part in LINEAR and not NOT_LINEAR.search(one.name):
            elements += prod(one.shape[:-2]) * (one.shape[-1] + one.shape[-2])
    return slots * rank * elements * ELEMENT_BYTES
