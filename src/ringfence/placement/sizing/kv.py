"""Bytes of the KV cache: of a token, of a sequence, and the window that fits into so many bytes.

Of a layer, with `b` bytes an element: full attention `2 x heads x width x b` a token (keys and values may differ in
width); latent attention `(kv_lora_rank + qk_rope_head_dim) x b`; a sliding window the same as full attention, but only
for the tokens that it holds; a state a constant. Beside its window a sliding layer holds the tokens of the step being
computed: llama.cpp keeps `min(tokens, window + batch)` cells, in steps of 256 (llama-kv-cache-iswa.cpp), vLLM
`window - 1 + max_num_batched_tokens` (kv_cache_interface.py, SlidingWindowSpec). An engine that keeps one cache for all
layers (llama.cpp with --swa-full, vLLM without its hybrid allocator) holds every token there as well: that is told
apart, as `unseparated`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.placement.sizing.architecture import GROWS, Architecture, Group, Kind
from ringfence.placement.sizing.kv_types import KvType, layer_type

USUAL_STEP = 2048
"""Tokens computed in one step: the largest batch that a llama.cpp of ours is given, and vLLM's usual one."""
CELLS = 256
"""Engines hand out windows in steps; llama.cpp's is the largest."""

MOST_CELLS = 2**40 // CELLS


@dataclass(frozen=True, slots=True)
class GroupBytes:
    """One group of layers: bytes of each further token, and of a whole sequence; `tokens` is how many it holds."""

    group: Group
    token_bytes: int
    sequence_bytes: int
    tokens: int


def bytes_per_token(architecture: Architecture, kv_type: KvType) -> int:
    """What each further token adds, once sliding windows are full: of the layers that keep all tokens."""
    return sum(_token_bytes(architecture, group, kv_type) for group in architecture.groups if group.cache.kind in GROWS)


def group_bytes(
    architecture: Architecture, kv_type: KvType, tokens: int, step: int = USUAL_STEP, unseparated: bool = False
) -> tuple[GroupBytes, ...]:
    """Each term of `bytes_per_sequence`."""
    return tuple(_group_bytes(architecture, one, kv_type, tokens, step, unseparated) for one in architecture.groups)


def bytes_per_sequence(
    architecture: Architecture, kv_type: KvType, tokens: int, step: int = USUAL_STEP, unseparated: bool = False
) -> int:
    """One request with a window of so many tokens. `unseparated`: sliding layers hold every token as well."""
    return sum(one.sequence_bytes for one in group_bytes(architecture, kv_type, tokens, step, unseparated))


def window_that_fits(
    architecture: Architecture, kv_type: KvType, available_bytes: int, parallel: int = 1, step: int = USUAL_STEP
) -> int | None:
    """The largest window in tokens, in steps of 256, of which `parallel` fit at a time; None where memory sets no
    limit, as nothing grows with it."""

    def fits(cells: int) -> bool:
        return parallel * bytes_per_sequence(architecture, kv_type, cells * CELLS, step) <= available_bytes

    if not fits(1):
        return 0
    low, high = 1, 2
    while fits(high):
        low, high = high, high * 2
        if high > MOST_CELLS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low * CELLS


def sliding_cells(window: int, tokens: int, step: int = USUAL_STEP) -> int:
    """Tokens that a layer with a sliding window holds of a request."""
    return min(tokens, -(-(window + step) // CELLS) * CELLS)


def _token_bytes(architecture: Architecture, group: Group, kv_type: KvType) -> int:
    kept = (layer_type(architecture, layer, group.cache, kv_type) for layer in group.layers)
    return sum(one.token_bytes(group.cache) for one in kept)


def _group_bytes(
    architecture: Architecture, group: Group, kv_type: KvType, tokens: int, step: int, unseparated: bool
) -> GroupBytes:
    if group.cache.kind is Kind.STATE:
        return GroupBytes(group, 0, group.cache.state_bytes * len(group.layers), 0)
    held = tokens
    if group.cache.kind is Kind.SLIDING and not unseparated:
        held = sliding_cells(group.cache.window, tokens, step)
    each = _token_bytes(architecture, group, kv_type)
    return GroupBytes(group, each, each * held, held)
